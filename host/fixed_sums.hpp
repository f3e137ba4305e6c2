#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <vector>

/// Sums of bounded values as integers: their bits do not depend on the order of the additions, so
/// every thread, block or device may add where it likes. Cheaper than ExactSums (an addition is
/// one), for values whose bound is known.
namespace culatent {

/// A value v with |v| ≤ 2 reach (one of at most reach times a weight of at most 2) is the integer
/// nearest to v · unit, unit = 2^bits / reach, with `bits` so many that a sum of n of them stays
/// below 2^62; at most 49, because integers are formed in double. With two limbs what that leaves
/// over is multiplied by 2^bits and kept likewise. Resolution: reach · 2^-bits, squared with two
/// limbs; bits is 41 for a million, 31 for a billion.
struct FixedPoint {
  /// `reach` of every column, each a power of two.
  FixedPoint(std::span<const double> reach, std::int64_t n_values, int n_limbs);

  int n_limbs;
  double fine;                ///< 2^bits
  std::vector<double> units;  ///< [columns]
  std::vector<double> steps;  ///< [columns] 1 / units, exactly: products are faster than quotients

  std::int64_t n_columns() const { return static_cast<std::int64_t>(units.size()); }
  /// The value of limbs of column j.
  double value(std::int64_t j, std::int64_t coarse, std::int64_t rest) const {
    const double sum = static_cast<double>(coarse) + static_cast<double>(rest) * (1.0 / fine);
    return sum * steps[static_cast<std::size_t>(j)];
  }
};

/// Adding this to |v| < 2^51 leaves the nearest integer in the lower bits.
inline constexpr double kToInteger = 0x1.8p52;

/// The integer nearest to |v| < 2^51.
inline std::int64_t to_integer(double v) {
  return std::bit_cast<std::int64_t>(v + kToInteger) - std::bit_cast<std::int64_t>(kToInteger);
}

}  // namespace culatent
