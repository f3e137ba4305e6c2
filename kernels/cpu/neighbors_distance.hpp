#pragma once

#include <cmath>

#include "kernels/cpu/simd.hpp"
#include "kernels/neighbors_distance.hpp"

/// squared_distance() with its eight sums in two vectors: the same bits.
namespace culatent::neighbors::cpu_distance {

using Vec = cpu::Simd<double>::Vec;
inline constexpr int kLanes = cpu::Simd<double>::kLanes;

// Loops over lanes, which the compiler makes one conversion and one multiply-add of. A conversion
// of the vector would be two, and a product plus a sum may or may not be rounded once.
inline Vec widen(const float* p) {
  Vec wide{};
  for (int lane = 0; lane < kLanes; ++lane) wide[lane] = static_cast<double>(p[lane]);
  return wide;
}
inline Vec add_squares(Vec sums, Vec x) {
  for (int lane = 0; lane < kLanes; ++lane) sums[lane] = std::fma(x[lane], x[lane], sums[lane]);
  return sums;
}

inline double squared_distance(const float* a, const float* b, std::int64_t n_features) {
  static_assert(kDistanceLanes == 2 * kLanes);
  Vec low{}, high{};
  std::int64_t j = 0;
  for (; j + kDistanceLanes <= n_features; j += kDistanceLanes) {
    low = add_squares(low, widen(a + j) - widen(b + j));
    high = add_squares(high, widen(a + j + kLanes) - widen(b + j + kLanes));
  }
  double sums[kDistanceLanes];
  cpu::Simd<double>::store(sums, low);
  cpu::Simd<double>::store(sums + kLanes, high);
  for (int lane = 0; j + lane < n_features; ++lane) {
    const double delta = static_cast<double>(a[j + lane]) - static_cast<double>(b[j + lane]);
    sums[lane] = std::fma(delta, delta, sums[lane]);
  }
  return add_lanes(sums);
}

}  // namespace culatent::neighbors::cpu_distance
