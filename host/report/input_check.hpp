#pragma once

#include <cstdint>

#include "host/report/page_input.hpp"

namespace culatent::report {

/// Checks what all pages share: the widths of sample and names against `n_features`, one label a
/// sampled row, an image shape of n_features pixels. Throws invalid_argument.
void check_input(const PageInput& input, std::int64_t n_features);

}  // namespace culatent::report
