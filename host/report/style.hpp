#pragma once

#include <string_view>

namespace culatent::report {

/// The style sheet of every page: light, dark and print. Any two of the eight colours of series are
/// at least 12 apart (CIE 1976 ΔE) for normal sight and full protanopia, deuteranopia and
/// tritanopia (Machado, Oliveira & Fernandes 2009); series carry numbers besides.
std::string_view style_sheet();

}  // namespace culatent::report
