#pragma once

#include <cstdint>

#include "kernels/cpu/simd.hpp"
#include "kernels/neighbors.hpp"

/// Products of a panel of rows with a few rows of another.
namespace culatent::neighbors {

inline constexpr int kColumns = 4;  ///< rows of the other panel at a time

/// dots[c * kPanelRows + i] = (`add`: dots +) sum over `count` features of a's row i and b's row c.
/// Twelve sums are in registers, three loads and a broadcast feed three of them: a function of its
/// own, since inlined the sums would share the registers with the caller's.
[[gnu::noinline]] inline void add_products(const float* a, const float* b, std::int64_t count,
                                           bool add, float* dots) {
  using S = cpu::Simd<float>;
  constexpr int kVectors = kPanelRows / S::kLanes;
  S::Vec sum[kColumns][kVectors] = {};
  for (std::int64_t k = 0; k < count; ++k) {
    S::Vec x[kVectors];
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) x[v] = S::load(a + v * S::kLanes);
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) {
      const S::Vec y = S::fill(b[c]);
#pragma GCC unroll 3
      for (int v = 0; v < kVectors; ++v) sum[c][v] += x[v] * y;
    }
    a += kPanelRows;
    b += kPanelRows;
  }
#pragma GCC unroll 4
  for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) {
      float* out = dots + c * kPanelRows + v * S::kLanes;
      S::store(out, add ? S::load(out) + sum[c][v] : sum[c][v]);
    }
  }
}

}  // namespace culatent::neighbors
