#pragma once

#include <cstdint>

#include "kernels/cpu/simd.hpp"
#include "kernels/cpu/tile.hpp"

namespace culatent::cpu {

//   out[k * kTileStride + row] = sum_j ((x[j * kTileStride + row] − means[k, j]) factors[k, j])²
//
// for `count` centres. Four vectors of rows at a time, which stay in the first-level cache for all
// centres. Subtracts before it squares. `factor_step` is D, or 0 when all centres share their
// factors.
//   flops per row and centre 4 D
template <class T>
void scaled_norms(const T* x, std::int64_t d, const T* means, std::int64_t count, const T* factors,
                  std::int64_t factor_step, int active, T* out) {
  using S = Simd<T>;
  using Vec = typename S::Vec;
  constexpr int kVectors = 4;
  constexpr int kChunk = kVectors * S::kLanes;
  for (int row = 0; row < active; row += kChunk) {
    for (std::int64_t k = 0; k < count; ++k) {
      const T* mean = means + k * d;
      const T* factor = factors + k * factor_step;
      Vec acc[kVectors] = {};
      for (std::int64_t j = 0; j < d; ++j) {
        const Vec centre = S::fill(mean[j]);
        const Vec scale = S::fill(factor[j]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          const Vec z = (S::load(x + j * kTileStride + row + v * S::kLanes) - centre) * scale;
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

//   out[k * kTileStride + row] = sum_j (x[j * kTileStride + row] − means[k, j])²
//
//   flops per row and centre 3 D
template <class T>
void norms(const T* x, std::int64_t d, const T* means, std::int64_t count, int active, T* out) {
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
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          const Vec z = S::load(x + j * kTileStride + row + v * S::kLanes) - centre;
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

}  // namespace culatent::cpu
