#include "host/fixed_sums.hpp"

#include <algorithm>
#include <cmath>

namespace culatent {

FixedPoint::FixedPoint(std::span<const double> reach, std::int64_t n_values, int limbs)
    : n_limbs(limbs) {
  const int bits = std::min(50, 62 - static_cast<int>(std::bit_width(static_cast<std::uint64_t>(
                                         std::max<std::int64_t>(n_values, 1)))));
  fine = std::ldexp(1.0, bits);
  for (const double r : reach) units.push_back(fine / r);
}

}  // namespace culatent
