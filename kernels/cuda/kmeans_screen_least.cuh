#pragma once

#include "kernels/cuda/kmeans_screen.cuh"

/// The two least scores of each row, from registers to the block. Scores that are not negative have
/// the order of their bits, so integers are compared; negative ones, which bounds rule out, would
/// come first, in doubt among themselves.
namespace culatent::kmeans::screening {

// Rows, in 16s, and centroids, in 8s, of a warp.
inline constexpr int kRowTiles = 4, kColumnTiles = 8;
inline constexpr int kOwnRows = 2 * kRowTiles;  // of a lane

using Scores = float[kRowTiles][kColumnTiles][4];

inline constexpr std::int32_t kMost = 0x7f7fffff;  // the bits of the largest number
inline constexpr std::int32_t kPlaceBits = 15;

/// The least L of a lane's candidates of each of its rows, with the candidate's place in its panel
// in the last bits, the second least, and the panel.
struct Least {
  std::int32_t first[kOwnRows];
  std::int32_t second[kOwnRows];
  std::int32_t panel[kOwnRows];
};

/// Goes on with the scores of a panel. `row` is the warp's first, `column` the lane's first.
__device__ __forceinline__ void meet(const ScreenProblem& p, const ScreenTile& tile, int row,
                                     int column, std::int32_t panel, const Scores& scores,
                                     Least& least) {
  float errors[kOwnRows], lifts[kOwnRows];
#pragma unroll
  for (int r = 0; r < kOwnRows; ++r) {
    const int own = row + r / 2 * 16 + r % 2 * 8 + static_cast<int>(threadIdx.x) % 32 / 4;
    errors[r] = tile.errors[own];
    lifts[r] = tile.lifts[own];
  }
  std::int32_t before[kOwnRows];
#pragma unroll
  for (int r = 0; r < kOwnRows; ++r) before[r] = least.first[r];
#pragma unroll
  for (int n = 0; n < kColumnTiles; ++n) {
    const float2 length =
        *reinterpret_cast<const float2*>(&tile.lengths[panel % 2][column + 8 * n]);
#pragma unroll
    for (int r = 0; r < kOwnRows; ++r) {
      const float left = fma(-errors[r], length.x, scores[r / 2][n][r % 2 * 2]) + lifts[r];
      const float right = fma(-errors[r], length.y, scores[r / 2][n][r % 2 * 2 + 1]) + lifts[r];
      const std::int32_t a = (__float_as_int(left) & p.score_bits) | (2 * n);
      const std::int32_t b = (__float_as_int(right) & p.score_bits) | (2 * n + 1);
      const std::int32_t low = min(a, b), high = max(a, b);
      const std::int32_t beaten = max(low, least.first[r]);
      least.first[r] = min(low, least.first[r]);
      least.second[r] = min(min(least.second[r], beaten), high);
    }
  }
#pragma unroll
  for (int r = 0; r < kOwnRows; ++r) {
    least.panel[r] = least.first[r] != before[r] ? panel : least.panel[r];
  }
}

/// Which of equal ones is kept does not matter: the row is in doubt.
__device__ __forceinline__ void join(std::int32_t& first, std::int32_t& second, std::int32_t& label,
                                     std::int32_t other_first, std::int32_t other_second,
                                     std::int32_t other_label) {
  const std::int32_t beaten = max(first, other_first);
  label = other_first < first ? other_label : label;
  first = min(first, other_first);
  second = min(min(second, other_second), beaten);
}

/// Joins the four lanes that share rows, and leaves the result to the block.
__device__ __forceinline__ void settle(const Least& least, int row, int half, ScreenTile& tile) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int r = 0; r < kOwnRows; ++r) {
    std::int32_t first = least.first[r], second = least.second[r];
    const std::int32_t place = first & kPlaceBits;
    std::int32_t label =
        least.panel[r] * kPanel + 64 * half + place / 2 * 8 + lane % 4 * 2 + place % 2;
#pragma unroll
    for (int offset = 1; offset < 4; offset *= 2) {
      join(first, second, label, __shfl_xor_sync(device::kAllLanes, first, offset),
           __shfl_xor_sync(device::kAllLanes, second, offset),
           __shfl_xor_sync(device::kAllLanes, label, offset));
    }
    if (lane % 4 != 0) continue;
    const int at = row + r / 2 * 16 + r % 2 * 8 + lane / 4;
    tile.first[half][at] = first;
    tile.second[half][at] = second;
    tile.labels[half][at] = label;
  }
}

}  // namespace culatent::kmeans::screening
