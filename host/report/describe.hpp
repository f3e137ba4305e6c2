#pragma once

#include <span>
#include <string>

#include "culatent/gaussian_mixture.hpp"

namespace culatent::report {

/// A mixture in plain words for a terminal, a line a group, largest first:
///
///     2 groups, converged after 8 iterations
///        64 %  eruptions 4.29 ± 0.41 min, waiting 80 ± 6 min
///        36 %  eruptions 2.04 ± 0.26 min, waiting 54 ± 6 min
///     Groups are clearly apart: …
///
/// Of many features only those that set a group apart are named. `column_names` is [D] or empty.
/// UTF-8, no escape sequences; control characters in names are replaced. Ends with a newline.
std::string describe(const gaussian_mixture::Fit& fit, std::span<const std::string> column_names);

}  // namespace culatent::report
