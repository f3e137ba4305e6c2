#pragma once

#include <cstdint>

#include "kernels/cuda/device/async.cuh"
#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/gaussian_mixture.hpp"

/// What log_joint_tensor() multiplies, in shared memory: rows of x' as the fragments that the lanes
/// of a warp need, and panels of W.
namespace culatent::gaussian_mixture::tensor_panels {

using device::cp_async;

inline constexpr int kWarpRows = 32;
inline constexpr int kSide = 64;   // of a panel: features and outputs
inline constexpr int kPitch = 68;  // of a panel of W. Twice that is 8 banks on: a warp reads four
                                   // pairs of features by eight outputs without a conflict
inline constexpr int kPanel = (kSide + 1) * kPitch;  // and a line of b
inline constexpr int kOutputTiles = kSide / 8;
inline constexpr int kRowTiles = kWarpRows / 16;
inline constexpr int kMostWarps = 8;

// A lane's fragments of x': 16 bytes a thread, those of the block's threads side by side.
//
// Stages features [first_feature, first_feature + n_features) of the warp's rows: each lane the
// elements that it will multiply, so that no barrier is needed. Rows and features beyond the last,
// which are not read, and NaN become 0. A warp reads eight rows by eight features at a time, whole
// sectors.
template <class Kind>
__device__ __forceinline__ void stage_fragments(const DeviceRows<float>& rows,
                                                const DeviceFrame<float>& frame,
                                                std::int64_t first_row, int first_feature,
                                                int n_features, uint4* fragments) {
  constexpr int kOwn = Kind::kDepth / 4;  // features of a lane in a step
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t row = first_row + lane / 4;
#pragma unroll 1
  for (int step = 0; step < n_features; step += Kind::kDepth) {
    float x[2 * kRowTiles][kOwn];
#pragma unroll
    for (int e = 0; e < kOwn; ++e) {
      const std::int64_t feature = first_feature + step + 2 * (lane % 4) + e % 2 + e / 2 * 8;
      const bool inside = feature < rows.n_features;
      const float scale = inside ? frame.scale[feature] : 0.0f;
      const float offset = inside ? frame.offset[feature] : 0.0f;
      const float* const source = rows.data + row * rows.stride + feature;
#pragma unroll
      for (int i = 0; i < 2 * kRowTiles; ++i) {
        const bool there = inside && row + 8 * i < rows.n_rows;
        const float value = there ? source[8 * i * rows.stride] * scale + offset : 0.0f;
        x[i][e] = value == value ? value : 0.0f;
      }
    }
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
      float own[2][kOwn];
#pragma unroll
      for (int e = 0; e < kOwn; ++e) {
        own[0][e] = x[2 * m][e];
        own[1][e] = x[2 * m + 1][e];
      }
      uint4 slots[Kind::kSlots];
      Kind::pack(own, slots);
#pragma unroll
      for (int slot = 0; slot < Kind::kSlots; ++slot) {
        *fragments = slots[slot];
        fragments += blockDim.x;
      }
    }
  }
}

// The panel that comes next: W of component k, outputs from 64 group, features from 64 part.
struct PanelPlace {
  int k, group, part;

  __device__ __forceinline__ void advance(int d) {
    if (++part <= group) return;
    part = 0;
    if (++group * kSide < d) return;
    group = 0;
    ++k;
  }
};

// Starts copying a panel, zero beyond D, all threads together, and of b the group's part.
template <int kCopied>
__device__ __forceinline__ void fetch_panel(const DeviceParameters<float>& parameters,
                                            const PanelPlace& place, float* panel) {
  constexpr int kWidth = kSide / kCopied;  // threads along outputs
  const int d = static_cast<int>(parameters.n_features);
  const int thread = static_cast<int>(threadIdx.x);
  const int first_output = place.group * kSide, first_feature = place.part * kSide;
  const int n_features = min(kSide, (d - first_feature + 15) / 16 * 16);
  const int i = thread % kWidth * kCopied;
  // On the diagonal no product meets what lies above it.
  const int until = place.part == place.group ? min(n_features, i / 16 * 16 + 16) : n_features;
  const int inside = first_output + i < d ? d - first_feature : 0;
  const int step = static_cast<int>(blockDim.x) / kWidth;
  int j = thread / kWidth;
  const float* from = parameters.whitening + static_cast<std::int64_t>(place.k) * d * d +
                      static_cast<std::int64_t>(first_feature + j) * d + first_output + i;
  const std::int64_t stride = static_cast<std::int64_t>(step) * d;
#pragma unroll 4
  for (; j < until; j += step) {
    cp_async<4 * kCopied>(panel + j * kPitch + i, from, j < inside ? 4 * kCopied : 0);
    from += stride;
  }
  if (thread < kSide) {
    const bool valid = first_output + thread < d;
    const float* b = parameters.whitened_means + static_cast<std::int64_t>(place.k) * d;
    cp_async<4>(panel + kSide * kPitch + thread, valid ? b + first_output + thread : b,
                valid ? 4 : 0);
  }
}

}  // namespace culatent::gaussian_mixture::tensor_panels
