#include "host/fixed_sums.hpp"

#include <algorithm>
#include <cmath>

namespace culatent {

FixedPoint::FixedPoint(std::span<const double> reach, std::int64_t n_values, int limbs)
    : n_limbs(limbs) {
  const auto n = static_cast<std::uint64_t>(std::max<std::int64_t>(n_values, 1));
  const int bits = std::min(49, 61 - static_cast<int>(std::bit_width(n)));
  fine = std::ldexp(1.0, bits);
  for (const double r : reach) {
    units.push_back(fine / r);
    steps.push_back(r / fine);
  }
}

}  // namespace culatent
