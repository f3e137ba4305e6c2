#pragma once

#include <cstdint>

#include "kernels/cpu/simd.hpp"
#include "kernels/cpu/tile.hpp"

namespace culatent::cpu {

//   out[row] = sum_j ((x_j − mean_j) factor_j)²         factor null: 1
//
// Four vectors of rows at a time. Subtracts before it squares.
//   flops per row 4 D
template <class T>
void scaled_norms(const T* x, std::int64_t d, const T* mean, const T* factor, int active, T* out) {
  using S = Simd<T>;
  using Vec = typename S::Vec;
  constexpr int kVectors = 4;
  constexpr int kChunk = kVectors * S::kLanes;
  for (int row = 0; row < active; row += kChunk) {
    Vec acc[kVectors] = {};
    for (std::int64_t j = 0; j < d; ++j) {
      const Vec centre = S::fill(mean[j]);
      const Vec scale = S::fill(factor == nullptr ? T{1} : factor[j]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const Vec z = (S::load(x + j * kTileStride + row + v * S::kLanes) - centre) * scale;
        acc[v] += z * z;
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) S::store(out + row + v * S::kLanes, acc[v]);
  }
}

}  // namespace culatent::cpu
