#include "kernels/cuda/affinities.hpp"
#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/reduce.cuh"

namespace culatent::affinities {
namespace {

using device::div_up;

// The graph of N k directed edges is made by rows, not by sorting all edges at once: each edge goes
// into its two rows, in any order, and the rows, which are short, are sorted where they lie. Of
// 2 N k keys of 8 bytes that moves (bytes over N k)
//   4 counted, 8 read, 48 written (a random 8 of a sector of 32), 32 sorted, 16 + 16 merged: 124,
// and holds 16. A radix sort of 2 N k pairs of an 8-byte key and a 4-byte value by the bits of row
// and column moves 48 a digit of 8 bits, 4 digits for 60,000 rows and 5 for 1M: 192 and 240, and as
// much again to make pairs and merge them; it holds 48.
// 60,000 x 90: 0.67 GB, 0.16 ms of an H200; 1M x 90: 11 GB, 2.6 ms; and what sorting takes longer
// than its bytes: 0.27 and 4.4 ms.

constexpr int kThreads = 256;
constexpr int kRowsBlock = kThreads / 32;
constexpr int kShortRow = 512;    // keys of a row that a warp sorts
constexpr int kSharedRow = 4096;  // that a block sorts in shared memory

__device__ __forceinline__ EdgeKey key_of(std::int64_t column, float value) {
  return static_cast<EdgeKey>(column) << 32 | __float_as_uint(value);
}
__device__ __forceinline__ std::int32_t column_of(EdgeKey key) {
  return static_cast<std::int32_t>(key >> 32);
}
__device__ __forceinline__ float value_of(EdgeKey key) {
  return __uint_as_float(static_cast<unsigned>(key));
}

// Where a row's keys are.
struct Slot {
  std::int64_t first, length;
};
__device__ __forceinline__ Slot slot_of(const EdgeSlots& slots, std::int64_t i) {
  const std::int64_t before = slots.incoming_starts[i];
  return {i * slots.n_neighbors + before,
          slots.n_neighbors + slots.incoming_starts[i + 1] - before};
}

__device__ __forceinline__ std::int64_t row_of_warp() {
  return std::int64_t{blockIdx.x} * kRowsBlock + static_cast<int>(threadIdx.x) / 32;
}

// ---- count and scatter --------------------------------------------------------------------------
//
// Counters of 4 bytes stay in L2. scatter takes the counts down again for the places of its keys.

__global__ void __launch_bounds__(kThreads)
    count_kernel(const std::int32_t* indices, std::int64_t size, std::int32_t* counts) {
  const std::int64_t e = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (e < size) atomicAdd(counts + indices[e], 1);
}

__global__ void __launch_bounds__(kThreads)
    scatter_kernel(const std::int32_t* indices, const float* conditional, EdgeSlots slots,
                   std::int32_t* counts) {
  const std::int64_t i = row_of_warp();
  if (i >= slots.n_rows) return;
  const std::int64_t k = slots.n_neighbors;
  EdgeKey* const own = slots.keys + slot_of(slots, i).first;
  for (std::int64_t j = static_cast<int>(threadIdx.x) % 32; j < k; j += 32) {
    const std::int32_t other = indices[i * k + j];
    const float p = conditional[i * k + j];
    own[j] = key_of(other, p);
    const std::int64_t place = atomicSub(counts + other, 1) - 1;
    slots.keys[slot_of(slots, other).first + k + place] = key_of(i, p);
  }
}

// ---- sort ---------------------------------------------------------------------------------------
//
// A bitonic network that begins each merge with a mirror image, so that every exchange puts the
// lesser key first: keys beyond the last would be infinite, and need not be there.
//   L = 180: 36 rounds of 90 exchanges, 16 instructions each and 12 a round: about 2,300 warp
//   instructions a row; 60,000 rows take an H200 0.15 ms, 1M rows 2.5 ms, more than their bytes.
// Long rows, in shared memory or where they lie, are rare: hubs, and all rows where all pairs have
// affinities.

template <int kLanes, class Index, class Sync>
__device__ __forceinline__ void sort_keys(EdgeKey* keys, Index length, int lane, Sync&& sync) {
  const auto exchange = [&](Index a, Index b) {
    const EdgeKey low = keys[a], high = keys[b];
    if (low <= high) return;
    keys[a] = high;
    keys[b] = low;
  };
  for (Index half = 1; half < length; half *= 2) {  // of a run that is sorted now
    for (Index t = lane;; t += kLanes) {
      const Index in = t & (half - 1), base = 2 * (t - in);
      if (base + in >= length) break;
      const Index mirror = base + 2 * half - 1 - in;
      if (mirror < length) exchange(base + in, mirror);
    }
    sync();
    for (Index stride = half / 2; stride > 0; stride /= 2) {
      for (Index t = lane;; t += kLanes) {
        const Index a = 2 * t - (t & (stride - 1));
        if (a + stride >= length) break;
        exchange(a, a + stride);
      }
      sync();
    }
  }
}

// Different columns among every kLanes-th sorted key.
template <int kLanes, class Index>
__device__ __forceinline__ int count_columns(const EdgeKey* keys, Index length, int lane) {
  int count = 0;
  for (Index e = lane; e < length; e += kLanes) {
    if (e == 0 || column_of(keys[e]) != column_of(keys[e - 1])) ++count;
  }
  return count;
}

// long_rows[0]: how many there are, then which.
__global__ void __launch_bounds__(kThreads)
    sort_short_rows_kernel(EdgeSlots slots, std::int32_t* sizes, std::int32_t* long_rows) {
  CULATENT_SHARED(shared, EdgeKey[kRowsBlock][kShortRow]);
  const std::int64_t i = row_of_warp();
  if (i >= slots.n_rows) return;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const Slot slot = slot_of(slots, i);
  if (slot.length > kShortRow) {
    if (lane == 0) long_rows[1 + atomicAdd(long_rows, 1)] = static_cast<std::int32_t>(i);
    return;
  }
  const auto length = static_cast<int>(slot.length);
  EdgeKey* const own = shared[threadIdx.x / 32];
  for (int e = lane; e < length; e += 32) own[e] = slots.keys[slot.first + e];
  __syncwarp();
  sort_keys<32>(own, length, lane, [] { __syncwarp(); });
  const int count = device::warp_sum(count_columns<32>(own, length, lane));
  if (lane == 0) sizes[i] = count;
  for (int e = lane; e < length; e += 32) slots.keys[slot.first + e] = own[e];
}

__global__ void __launch_bounds__(kThreads)
    sort_long_rows_kernel(EdgeSlots slots, std::int32_t* sizes, const std::int32_t* long_rows) {
  CULATENT_SHARED(shared, EdgeKey[kSharedRow]);
  CULATENT_SHARED(scratch, int[kThreads / 32]);
  const int thread = static_cast<int>(threadIdx.x);
  const std::int32_t n_long = long_rows[0];
  for (std::int64_t at = blockIdx.x; at < n_long; at += gridDim.x) {
    const std::int64_t i = long_rows[1 + at];
    const Slot slot = slot_of(slots, i);
    EdgeKey* const there = slots.keys + slot.first;
    const bool fits = slot.length <= kSharedRow;
    EdgeKey* const keys = fits ? shared : there;
    if (fits) {
      for (std::int64_t e = thread; e < slot.length; e += kThreads) keys[e] = there[e];
      __syncthreads();
    }
    sort_keys<kThreads>(keys, slot.length, thread, [] { __syncthreads(); });
    const int count =
        device::block_sum<kThreads>(count_columns<kThreads>(keys, slot.length, thread), scratch);
    if (thread == 0) sizes[i] = count;
    if (fits) {
      for (std::int64_t e = thread; e < slot.length; e += kThreads) there[e] = keys[e];
    }
    __syncthreads();
  }
}

// ---- merge --------------------------------------------------------------------------------------
//
// A warp has a row. A column is there once or twice, side by side: the first of them writes.

__global__ void __launch_bounds__(kThreads)
    merge_kernel(EdgeSlots slots, float share, const std::int64_t* starts, std::int32_t* columns,
                 float* values) {
  const std::int64_t i = row_of_warp();
  if (i >= slots.n_rows) return;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const Slot slot = slot_of(slots, i);
  const EdgeKey* const keys = slots.keys + slot.first;
  std::int64_t to = starts[i];
  for (std::int64_t first = 0; first < slot.length; first += 32) {
    const std::int64_t e = first + lane;
    const EdgeKey key = e < slot.length ? keys[e] : 0;
    const std::int32_t column = column_of(key);
    const bool head = e < slot.length && (e == 0 || column_of(keys[e - 1]) != column);
    const unsigned heads = __ballot_sync(device::kAllLanes, head);
    if (head) {
      float value = value_of(key);
      if (e + 1 < slot.length && column_of(keys[e + 1]) == column) value += value_of(keys[e + 1]);
      const std::int64_t out = to + __popc(heads & ((1u << lane) - 1u));
      columns[out] = column;
      values[out] = value * share;
    }
    to += __popc(heads);
  }
}

// ---- sums ---------------------------------------------------------------------------------------

__global__ void __launch_bounds__(kThreads)
    graph_sums_kernel(const float* values, std::int64_t size, double* parts) {
  CULATENT_SHARED(scratch, double[kThreads / 32]);
  const std::int64_t step = std::int64_t{gridDim.x} * kThreads;
  double total = 0.0, entropy = 0.0;
  for (std::int64_t e = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; e < size; e += step) {
    const auto p = static_cast<double>(values[e]);
    total += p;
    if (p > 0.0) entropy += p * log(p);
  }
  total = device::block_sum<kThreads>(total, scratch);
  entropy = device::block_sum<kThreads>(entropy, scratch);
  if (threadIdx.x > 0) return;
  parts[blockIdx.x] = total;
  parts[gridDim.x + blockIdx.x] = entropy;
}

unsigned blocks_of(std::int64_t n, int of_block) {
  return static_cast<unsigned>(div_up<std::int64_t>(n, of_block));
}

}  // namespace

void count_incoming(const CudaBackend& backend, const std::int32_t* indices, std::int64_t size,
                    std::int64_t n_rows, std::int32_t* counts) {
  backend.device.fill_zero(counts, n_rows * static_cast<std::int64_t>(sizeof(std::int32_t)));
  device::launch(count_kernel, blocks_of(size, kThreads), kThreads, 0, backend.device.stream(),
                 indices, size, counts);
}

void scatter_edges(const CudaBackend& backend, const std::int32_t* indices,
                   const float* conditional, const EdgeSlots& slots, std::int32_t* counts) {
  device::launch(scatter_kernel, blocks_of(slots.n_rows, kRowsBlock), kThreads, 0,
                 backend.device.stream(), indices, conditional, slots, counts);
}

void sort_edges(const CudaBackend& backend, const EdgeSlots& slots, std::int32_t* sizes,
                std::int32_t* long_rows) {
  CUstream_st* stream = backend.device.stream();
  backend.device.fill_zero(long_rows, sizeof(std::int32_t));
  device::launch(sort_short_rows_kernel, blocks_of(slots.n_rows, kRowsBlock), kThreads, 0, stream,
                 slots, sizes, long_rows);
  const std::int64_t enough = 4 * std::int64_t{backend.device.n_multiprocessors()};
  const auto grid = static_cast<unsigned>(slots.n_rows < enough ? slots.n_rows : enough);
  device::launch(sort_long_rows_kernel, grid, kThreads, 0, stream, slots, sizes, long_rows);
}

void merge_edges(const CudaBackend& backend, const EdgeSlots& slots, const std::int64_t* starts,
                 std::int32_t* columns, float* values) {
  const auto share = static_cast<float>(0.5 / static_cast<double>(slots.n_rows));
  device::launch(merge_kernel, blocks_of(slots.n_rows, kRowsBlock), kThreads, 0,
                 backend.device.stream(), slots, share, starts, columns, values);
}

std::int64_t graph_parts(std::int64_t size) {
  constexpr std::int64_t kMost = 512, kLeastValues = 4096;
  const std::int64_t parts = div_up(size, kLeastValues);
  return parts < kMost ? parts : kMost;
}

void graph_sums(const CudaBackend& backend, const float* values, std::int64_t size, double* parts) {
  device::launch(graph_sums_kernel, static_cast<unsigned>(graph_parts(size)), kThreads, 0,
                 backend.device.stream(), values, size, parts);
}

}  // namespace culatent::affinities
