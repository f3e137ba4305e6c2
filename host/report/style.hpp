#pragma once

#include <string_view>

namespace culatent::report {

/// The style sheet of every page: light, dark and print; colours of series are told apart with the
/// common kinds of colour blindness, and series carry numbers besides.
std::string_view style_sheet();

}  // namespace culatent::report
