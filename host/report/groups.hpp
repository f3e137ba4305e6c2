#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "culatent/gaussian_mixture.hpp"

namespace culatent::report {

/// Where component k lies, in words: "eruptions 4.29 ± 0.41 min, waiting 80 ± 6 min". Up to four
/// features all are named; of more, the three whose mean is furthest from the mixture's (in its
/// standard deviations): "x37 high (14 ± 2), x22 low (0.3 ± 0.6)", or "near the middle in every
/// feature" when none is half a deviation away.
std::string whereabouts(const gaussian_mixture::Model& model, std::int64_t k,
                        std::span<const std::string> column_names);

/// "2 groups", "1 group".
std::string group_count(const gaussian_mixture::Model& model);

/// How far apart the groups are, from the mean entropy of the rows' responsibilities; one sentence.
std::string separation(const gaussian_mixture::Fit& fit);

}  // namespace culatent::report
