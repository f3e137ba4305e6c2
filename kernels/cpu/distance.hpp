#pragma once

#include <cstdint>

#include "kernels/cpu/simd.hpp"
#include "kernels/cpu/tile.hpp"

namespace culatent::cpu {

//   out[k * kTileStride + row] = sum_j ((x[j * kTileStride + row] − means[k, j]) factors[k, j])²
//
// for `count` centres; without kScaled the factors are 1. Four vectors of rows at a time, which
// stay in the first-level cache for all centres. Subtracts before it squares. `factor_step` is D,
// or 0 when all centres share their factors.
//   flops per row and centre 4 D, without kScaled 3 D
template <bool kScaled, class T>
void norms(const T* x, std::int64_t d, const T* means, std::int64_t count, const T* factors,
           std::int64_t factor_step, int active, T* out) {
  using S = Simd<T>;
  using Vec = typename S::Vec;
  constexpr int kVectors = 4;
  constexpr int kChunk = kVectors * S::kLanes;
  for (int row = 0; row < active; row += kChunk) {
    for (std::int64_t k = 0; k < count; ++k) {
      const T* mean = means + k * d;
      Vec acc[kVectors] = {};
      for (std::int64_t j = 0; j < d; ++j) {
        const Vec centre = S::fill(mean[j]);
        Vec scale{};
        if constexpr (kScaled) scale = S::fill(factors[k * factor_step + j]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          Vec z = S::load(x + j * kTileStride + row + v * S::kLanes) - centre;
          if constexpr (kScaled) z *= scale;
          acc[v] += z * z;
        }
      }
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        S::store(out + k * kTileStride + row + v * S::kLanes, acc[v]);
      }
    }
  }
}

template <class T>
void scaled_norms(const T* x, std::int64_t d, const T* means, std::int64_t count, const T* factors,
                  std::int64_t factor_step, int active, T* out) {
  norms<true>(x, d, means, count, factors, factor_step, active, out);
}

template <class T>
void norms(const T* x, std::int64_t d, const T* means, std::int64_t count, int active, T* out) {
  norms<false, T>(x, d, means, count, nullptr, 0, active, out);
}

}  // namespace culatent::cpu
