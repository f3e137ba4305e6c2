#pragma once

#include <limits>

#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/neighbors.hpp"

/// What the kernels of the search share.
namespace culatent::neighbors {

inline constexpr float kUnbounded = std::numeric_limits<float>::infinity();

/// A float at least as great as x, or as small: about a step beyond the nearest one.
__device__ __forceinline__ float above(double x) {
  const auto nearest = static_cast<float>(x);
  return nearest + (fabsf(nearest) * 0x1p-23f + 0x1p-126f);
}
__device__ __forceinline__ float below(double x) {
  const auto nearest = static_cast<float>(x);
  return nearest - (fabsf(nearest) * 0x1p-23f + 0x1p-126f);
}

/// The row at a position of a screen; −1: none.
__device__ __forceinline__ std::int64_t row_at(const DeviceScreen& screen, std::int64_t position) {
  if (screen.order != nullptr) return screen.order[position];
  return position < screen.rows.n_rows ? position : -1;
}

}  // namespace culatent::neighbors
