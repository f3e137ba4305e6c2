#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/prefix_sums.hpp"

namespace culatent {
namespace {

using device::div_up;

constexpr int kThreads = 256;
constexpr int kOwn = 4;  // counts of a thread
constexpr int kTile = kThreads * kOwn;

// Sum of the values of the threads before; *total = that of all. Ends without a barrier.
__device__ __forceinline__ std::int64_t sum_before(std::int64_t value,
                                                   std::int64_t (&scratch)[kThreads / 32],
                                                   std::int64_t* total) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  std::int64_t sum = value;
#pragma unroll
  for (unsigned offset = 1; offset < 32; offset *= 2) {
    const std::int64_t before = __shfl_up_sync(device::kAllLanes, sum, offset);
    if (lane >= static_cast<int>(offset)) sum += before;
  }
  __syncthreads();
  if (lane == 31) scratch[warp] = sum;
  __syncthreads();
  std::int64_t base = 0, all = 0;
#pragma unroll
  for (int other = 0; other < kThreads / 32; ++other) {
    if (other == warp) base = all;
    all += scratch[other];
  }
  *total = all;
  return base + sum - value;
}

// Tiles of counts are added up, their sums become offsets in one block, then the tiles are gone
// through again: no block waits for another.
//   bytes: 8 n read, 8 n written

__global__ void __launch_bounds__(kThreads)
    tile_sums_kernel(const std::int32_t* counts, std::int64_t n, std::int64_t* tiles) {
  CULATENT_SHARED(scratch, std::int64_t[kThreads / 32]);
  const std::int64_t first = std::int64_t{blockIdx.x} * kTile;
  std::int64_t own = 0;
#pragma unroll
  for (int c = 0; c < kOwn; ++c) {
    const std::int64_t i = first + c * kThreads + threadIdx.x;
    if (i < n) own += counts[i];
  }
  const std::int64_t sum = device::block_sum<kThreads>(own, scratch);
  if (threadIdx.x == 0) tiles[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kThreads)
    tile_offsets_kernel(std::int64_t n_tiles, std::int64_t* tiles, std::int64_t* last) {
  CULATENT_SHARED(scratch, std::int64_t[kThreads / 32]);
  std::int64_t offset = 0;
  for (std::int64_t first = 0; first < n_tiles; first += kThreads) {
    const std::int64_t i = first + threadIdx.x;
    std::int64_t total = 0;
    const std::int64_t before = sum_before(i < n_tiles ? tiles[i] : 0, scratch, &total);
    if (i < n_tiles) tiles[i] = offset + before;
    offset += total;
  }
  if (threadIdx.x == 0) *last = offset;
}

__global__ void __launch_bounds__(kThreads)
    tile_prefix_kernel(const std::int32_t* counts, std::int64_t n, const std::int64_t* tiles,
                       std::int64_t* sums) {
  CULATENT_SHARED(scratch, std::int64_t[kThreads / 32]);
  const std::int64_t first = std::int64_t{blockIdx.x} * kTile + kOwn * threadIdx.x;
  std::int32_t own[kOwn];
  std::int64_t sum = 0;
#pragma unroll
  for (int c = 0; c < kOwn; ++c) {
    own[c] = first + c < n ? counts[first + c] : 0;
    sum += own[c];
  }
  std::int64_t total = 0;
  std::int64_t at = tiles[blockIdx.x] + sum_before(sum, scratch, &total);
#pragma unroll
  for (int c = 0; c < kOwn; ++c) {
    if (first + c < n) sums[first + c] = at;
    at += own[c];
  }
}

}  // namespace

std::int64_t prefix_scratch(std::int64_t n) { return div_up<std::int64_t>(n, kTile); }

void exclusive_sums(const CudaBackend& backend, const std::int32_t* counts, std::int64_t n,
                    std::int64_t* sums, std::int64_t* scratch) {
  CUstream_st* stream = backend.device.stream();
  const std::int64_t n_tiles = prefix_scratch(n);
  const auto grid = static_cast<unsigned>(n_tiles);
  device::launch(tile_sums_kernel, grid, kThreads, 0, stream, counts, n, scratch);
  device::launch(tile_offsets_kernel, 1, kThreads, 0, stream, n_tiles, scratch, sums + n);
  device::launch(tile_prefix_kernel, grid, kThreads, 0, stream, counts, n, scratch, sums);
}

}  // namespace culatent
