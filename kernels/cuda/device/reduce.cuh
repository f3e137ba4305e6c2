#pragma once

#include "kernels/cuda/device/launch.cuh"

/// Reductions in a fixed order, so that the same input gives the same bits.
namespace culatent::device {

inline constexpr unsigned kAllLanes = 0xffffffffu;

/// Every lane gets the sum over its group of Width lanes.
template <int Width = 32, class T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int offset = Width / 2; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, offset);
  }
  return value;
}

template <int Width = 32, class T>
__device__ __forceinline__ T warp_max(T value) {
#pragma unroll
  for (int offset = Width / 2; offset > 0; offset /= 2) {
    const T other = __shfl_xor_sync(kAllLanes, value, offset);
    value = other > value ? other : value;
  }
  return value;
}

/// Every thread of the block gets the sum. `scratch` holds one value a warp; it may be used again
/// after the next barrier.
template <int Threads, class T>
__device__ __forceinline__ T block_sum(T value, T (&scratch)[Threads / 32]) {
  value = warp_sum(value);
  const int thread = static_cast<int>(threadIdx.x + blockDim.x * threadIdx.y);
  __syncthreads();
  if (thread % 32 == 0) scratch[thread / 32] = value;
  __syncthreads();
  T sum = scratch[0];
#pragma unroll
  for (int warp = 1; warp < Threads / 32; ++warp) sum += scratch[warp];
  return sum;
}

}  // namespace culatent::device
