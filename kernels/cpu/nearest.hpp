#pragma once

#include <cstdint>
#include <limits>

#include "kernels/cpu/simd.hpp"
#include "kernels/cpu/tile.hpp"

/// The two largest of many scores  x · c_k + offset_k  for the rows of a tile: what nearest
/// neighbours in Euclidean distance come down to, with offset_k = −|c_k|² / 2.
namespace culatent::cpu {

/// Centres whose products with two vectors of rows are in registers together.
inline constexpr int kCentreGroup = 6;

// out[2 k + v] = x_v · c_k + offsets[k]: 12 sums, and 3 registers for the operands. A function of
// its own: inlined, the sums would share the registers with the caller's.
template <class T>
[[gnu::noinline]] void group_scores(const T* x, std::int64_t d, const T* centres, const T* offsets,
                                    T* out) {
  using S = Simd<T>;
  typename S::Vec sum[kCentreGroup][2];
#pragma GCC unroll 6
  for (int k = 0; k < kCentreGroup; ++k) sum[k][0] = sum[k][1] = S::fill(offsets[k]);
  for (std::int64_t j = 0; j < d; ++j) {
    const typename S::Vec x0 = S::load(x);
    const typename S::Vec x1 = S::load(x + S::kLanes);
#pragma GCC unroll 6
    for (int k = 0; k < kCentreGroup; ++k) {
      const typename S::Vec c = S::fill(centres[k]);
      sum[k][0] += c * x0;
      sum[k][1] += c * x1;
    }
    centres += kCentreGroup;
    x += kTileStride;
  }
#pragma GCC unroll 6
  for (int k = 0; k < kCentreGroup; ++k) {
    S::store(out + 2 * k * S::kLanes, sum[k][0]);
    S::store(out + (2 * k + 1) * S::kLanes, sum[k][1]);
  }
}

/// For every row below `active` of the tile x ([D, kTileStride]): the largest score, its index
/// (lowest on ties) and the second largest. `centres` holds groups of kCentreGroup centres, feature
/// by feature; `offsets` of the centres that fill the last group are the lowest number.
///   flops per row and centre 2 D + 5
template <class T>
void two_best(const T* x, std::int64_t d, const T* centres, const T* offsets, std::int64_t n_groups,
              int active, T* best_out, T* second_out, std::int32_t* index_out) {
  using S = Simd<T>;
  using Vec = typename S::Vec;
  using Index = typename S::Index;
  alignas(32) T scores[2 * kCentreGroup * S::kLanes];
  for (int row = 0; row < active; row += 2 * S::kLanes) {
    Vec best[2], second[2];
    Index index[2] = {};
    for (int v = 0; v < 2; ++v) best[v] = second[v] = S::fill(std::numeric_limits<T>::lowest());
    for (std::int64_t group = 0; group < n_groups; ++group) {
      group_scores(x + row, d, centres + group * d * kCentreGroup, offsets + group * kCentreGroup,
                   scores);
#pragma GCC unroll 6
      for (int k = 0; k < kCentreGroup; ++k) {
        const Index current = Index{} + static_cast<S::Integer>(group * kCentreGroup + k);
#pragma GCC unroll 2
        for (int v = 0; v < 2; ++v) {
          const Vec score = S::load(scores + (2 * k + v) * S::kLanes);
          const Index better = score > best[v];
          const Vec lesser = better ? best[v] : score;
          second[v] = lesser > second[v] ? lesser : second[v];
          best[v] = better ? score : best[v];
          index[v] = better ? current : index[v];
        }
      }
    }
    for (int v = 0; v < 2; ++v) {
      const int first = row + v * S::kLanes;
      S::store(best_out + first, best[v]);
      S::store(second_out + first, second[v]);
      for (int lane = 0; lane < S::kLanes; ++lane) {
        index_out[first + lane] = static_cast<std::int32_t>(index[v][lane]);
      }
    }
  }
}

}  // namespace culatent::cpu
