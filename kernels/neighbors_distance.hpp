#pragma once

#include <cmath>
#include <cstdint>

/// The distance that decides which rows are neighbours, for all backends alike.
namespace culatent::neighbors {

/// Feature j goes to sum j mod kDistanceLanes.
inline constexpr int kDistanceLanes = 8;

/// The sums of squared_distance() as a balanced tree.
template <class Sums>
double add_lanes(const Sums& s) {
  return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

/// sum_j (a_j − b_j)² in double: the difference rounded once, each square rounded with its sum,
/// eight sums side by side. The same bits on every backend; relative error at most
/// (D / 8 + 6) 2^-53. Neither overflows nor vanishes, whatever the floats.
///   flops: 3 D
inline double squared_distance(const float* a, const float* b, std::int64_t n_features) {
  double sums[kDistanceLanes] = {};
  std::int64_t j = 0;
  for (; j + kDistanceLanes <= n_features; j += kDistanceLanes) {
    for (int lane = 0; lane < kDistanceLanes; ++lane) {
      const double delta = static_cast<double>(a[j + lane]) - static_cast<double>(b[j + lane]);
      sums[lane] = std::fma(delta, delta, sums[lane]);
    }
  }
  for (int lane = 0; j + lane < n_features; ++lane) {
    const double delta = static_cast<double>(a[j + lane]) - static_cast<double>(b[j + lane]);
    sums[lane] = std::fma(delta, delta, sums[lane]);
  }
  return add_lanes(sums);
}

}  // namespace culatent::neighbors
