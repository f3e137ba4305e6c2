#pragma once

#include "kernels/backend.hpp"
#include "kernels/cuda/device/reduce.cuh"

/// How a block of threads works on the responsibilities of kBlockRows rows, which make one record
/// of partial sums.
namespace culatent::device {

inline constexpr int kRecordThreads = 256;
inline constexpr int kRecordWarps = kRecordThreads / 32;
inline constexpr int kRecordRows = static_cast<int>(kBlockRows) / kRecordThreads;  // of a thread
inline constexpr int kCountChunk = 8;                                              // components
inline constexpr int kCountFlush = 64;

/// Row in the block of a thread's own row r: a warp meets 32 rows side by side.
__device__ __forceinline__ int record_row(int r) {
  const int thread = static_cast<int>(threadIdx.x);
  return thread / 32 * (32 * kRecordRows) + r * 32 + thread % 32;
}

/// Place among kCountChunk of the sum that column_sum() gives to a lane.
__device__ __forceinline__ int column_of(int lane) {
  return (lane >> 4 & 1) * 4 + (lane >> 3 & 1) * 2 + (lane >> 2 & 1);
}

/// The warp's sum of values[column_of(lane)], in a fixed order: halves of the columns change lanes
/// until one is left, 9 exchanges where eight separate sums would take 40.
__device__ __forceinline__ double column_sum(double (&values)[kCountChunk], int lane) {
#pragma unroll
  for (int half = kCountChunk / 2; half > 0; half /= 2) {
    const int partner = 4 * half;
    const bool upper = (lane & partner) != 0;
#pragma unroll
    for (int i = 0; i < half; ++i) {
      const double keep = upper ? values[i + half] : values[i];
      const double give = upper ? values[i] : values[i + half];
      values[i] = keep + __shfl_xor_sync(kAllLanes, give, partner);
    }
  }
  return warp_sum<4>(values[0]);
}

/// counts[k] = the block's sum over rows of what each thread has for component k: fill(k, values)
/// sets values[c] for components k + c, 0 beyond the last. Called by all kRecordThreads threads;
/// ends with a barrier.
template <class Fill>
__device__ __forceinline__ void block_counts(int n_components, double* counts, Fill&& fill) {
  CULATENT_SHARED(sums, double[kRecordWarps][kCountFlush]);
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % 32;
  for (int first = 0; first < n_components; first += kCountFlush) {
    const int count = min(n_components - first, kCountFlush);
#pragma unroll 1
    for (int c = 0; c < count; c += kCountChunk) {
      double values[kCountChunk];
      fill(first + c, values);
      const double sum = column_sum(values, lane);
      if (lane % 4 == 0) sums[thread / 32][c + column_of(lane)] = sum;
    }
    __syncthreads();
    if (thread < count) {
      double sum = sums[0][thread];
      for (int warp = 1; warp < kRecordWarps; ++warp) sum += sums[warp][thread];
      counts[first + thread] = sum;
    }
    __syncthreads();
  }
}

}  // namespace culatent::device
