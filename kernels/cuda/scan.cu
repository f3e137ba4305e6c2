#include <algorithm>
#include <limits>

#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/scan.hpp"

namespace culatent {
namespace {

using device::div_up;

constexpr int kThreads = 256;
constexpr int kMostColumns = 32;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kNone = -1;  // the greatest of unsigned numbers

// ---- scan_columns -------------------------------------------------------------------------------
//
// One block for kBlockRows rows and `columns` columns, a power of two: thread t has column
// t mod columns and every (kThreads / columns)-th row, so that neighbours read neighbours. Sums are
// in double, rows in ascending order, then the threads of a column in ascending order.
//   bytes: N D sizeof(T)

template <class T>
struct ScanInput {
  const T* rows = nullptr;
  const T* weights = nullptr;
  std::int64_t n_rows = 0;
  std::int64_t n_features = 0;
  std::int64_t stride = 0;
  int columns = 1;
  std::int64_t chunks = 1;  // of columns
  bool weightless = true;   // rows of weight 0 count in the ranges
};

// What a thread, or several, saw of a column.
struct ColumnShare {
  double minimum = kInfinity;
  double maximum = -kInfinity;
  double sum = 0.0;
  double weight = 0.0;
  std::int64_t n_missing = 0;
};

__device__ __forceinline__ void merge(ColumnShare& into, const ColumnShare& from) {
  into.minimum = min(into.minimum, from.minimum);
  into.maximum = max(into.maximum, from.maximum);
  into.sum += from.sum;
  into.weight += from.weight;
  into.n_missing += from.n_missing;
}

__global__ void __launch_bounds__(kThreads)
    clear_kernel(std::int64_t n_blocks, std::int64_t* bad_cell) {
  const std::int64_t block = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (block < n_blocks) bad_cell[block] = kNone;
}

template <class T>
__global__ void __launch_bounds__(kThreads) scan_kernel(ScanInput<T> input, DeviceScan out) {
  CULATENT_SHARED(shares, ColumnShare[kThreads]);
  const std::int64_t d = input.n_features;
  const std::int64_t block = blockIdx.x / input.chunks;
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t column = blockIdx.x % input.chunks * input.columns + thread % input.columns;
  const std::int64_t first = block * kBlockRows;
  const std::int64_t count = min(kBlockRows, input.n_rows - first);
  ColumnShare share;
  std::int64_t bad_row = kNone;
  if (column < d) {
    const T* cell = input.rows + first * input.stride + column;
#pragma unroll 4
    for (std::int64_t row = thread / input.columns; row < count; row += kThreads / input.columns) {
      const double value = static_cast<double>(cell[row * input.stride]);
      const double weight =
          input.weights != nullptr ? static_cast<double>(input.weights[first + row]) : 1.0;
      const bool finite = isfinite(value);
      const bool missing = value != value && out.n_missing != nullptr;
      if (missing) ++share.n_missing;
      if (!finite && !missing && bad_row < 0) bad_row = row;
      const bool ranges = finite && (input.weightless || weight != 0.0);
      share.minimum = ranges ? min(share.minimum, value) : share.minimum;
      share.maximum = ranges ? max(share.maximum, value) : share.maximum;
      share.sum += finite ? weight * value : 0.0;
      share.weight += finite ? weight : 0.0;
    }
  }
  // The least of integers does not depend on the order, and kNone is greater than any.
  if (bad_row >= 0) {
    atomicMin(reinterpret_cast<unsigned long long*>(out.bad_cell + block),
              static_cast<unsigned long long>(bad_row * d + column));
  }
  shares[thread] = share;
  __syncthreads();
  if (thread >= input.columns || column >= d) return;
  for (int other = thread + input.columns; other < kThreads; other += input.columns) {
    merge(share, shares[other]);
  }
  if (share.n_missing > 0) {
    auto* const missing = reinterpret_cast<unsigned long long*>(out.n_missing);
    atomicAdd(missing, static_cast<unsigned long long>(share.n_missing));
  }
  out.minimum[block * d + column] = share.minimum;
  out.maximum[block * d + column] = share.maximum;
  out.sums[block * 2 * d + column] = share.sum;
  out.sums[block * 2 * d + d + column] = share.weight;
}

// ---- merge_scans --------------------------------------------------------------------------------
//
// Extremes and the first of integers do not depend on the order, and sums are exact. A block has
// 32 columns side by side and 8 threads a column, which take every 8th record.
//   bytes: 32 n_blocks D read

constexpr int kMergeColumns = 32;

__global__ void __launch_bounds__(kThreads)
    merge_ranges_kernel(DeviceScan records, std::int64_t n_blocks, std::int64_t n_features,
                        DeviceScanTotals totals) {
  CULATENT_SHARED(minima, double[kThreads]);
  CULATENT_SHARED(maxima, double[kThreads]);
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t column = std::int64_t{blockIdx.x} * kMergeColumns + thread % kMergeColumns;
  double least = kInfinity;
  double greatest = -kInfinity;
  if (column < n_features) {
#pragma unroll 4
    for (std::int64_t b = thread / kMergeColumns; b < n_blocks; b += kThreads / kMergeColumns) {
      least = min(least, records.minimum[b * n_features + column]);
      greatest = max(greatest, records.maximum[b * n_features + column]);
    }
  }
  minima[thread] = least;
  maxima[thread] = greatest;
  __syncthreads();
  if (thread >= kMergeColumns || column >= n_features) return;
  for (int other = thread + kMergeColumns; other < kThreads; other += kMergeColumns) {
    least = min(least, minima[other]);
    greatest = max(greatest, maxima[other]);
  }
  totals.minimum[column] = min(totals.minimum[column], least);
  totals.maximum[column] = max(totals.maximum[column], greatest);
}

__global__ void __launch_bounds__(kThreads)
    first_bad_kernel(const std::int64_t* bad_cell, std::int64_t n_blocks, std::int64_t n_features,
                     std::int64_t first_row, std::int64_t* first) {
  const std::int64_t block = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (block >= n_blocks || bad_cell[block] < 0) return;
  const std::int64_t cell = (first_row + block * kBlockRows) * n_features + bad_cell[block];
  atomicMin(reinterpret_cast<unsigned long long*>(first), static_cast<unsigned long long>(cell));
}

// ---- gather_rows --------------------------------------------------------------------------------
//
// One thread an element of the result.
//   bytes: 2 count D sizeof(T)

template <class T>
__global__ void __launch_bounds__(kThreads)
    gather_kernel(const T* rows, std::int64_t stride, std::int64_t n_features,
                  const std::int64_t* index, std::int64_t count, T* out) {
  const std::int64_t at = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= count * n_features) return;
  out[at] = rows[index[at / n_features] * stride + at % n_features];
}

unsigned grid(std::int64_t blocks) { return static_cast<unsigned>(blocks); }

}  // namespace

template <class T>
void scan_columns(const CudaBackend& backend, const T* rows, std::int64_t n_rows,
                  std::int64_t n_features, std::int64_t stride, const T* weights,
                  const DeviceScan& out, bool weightless) {
  if (n_rows == 0) return;
  CUstream_st* stream = backend.device.stream();
  const std::int64_t n_blocks = div_up(n_rows, kBlockRows);
  int columns = 1;
  while (columns < std::min<std::int64_t>(n_features, kMostColumns)) columns *= 2;
  const std::int64_t chunks = div_up<std::int64_t>(n_features, columns);
  device::launch(clear_kernel, grid(div_up<std::int64_t>(n_blocks, kThreads)), kThreads, 0, stream,
                 n_blocks, out.bad_cell);
  device::launch(
      scan_kernel<T>, grid(n_blocks * chunks), kThreads, 0, stream,
      ScanInput<T>{rows, weights, n_rows, n_features, stride, columns, chunks, weightless}, out);
}

void merge_scans(const CudaBackend& backend, const DeviceScan& records, std::int64_t n_blocks,
                 std::int64_t n_features, std::int64_t first_row, const DeviceScanTotals& totals) {
  if (n_blocks == 0) return;
  CUstream_st* stream = backend.device.stream();
  device::launch(merge_ranges_kernel, grid(div_up<std::int64_t>(n_features, kMergeColumns)),
                 kThreads, 0, stream, records, n_blocks, n_features, totals);
  device::launch(first_bad_kernel, grid(div_up<std::int64_t>(n_blocks, kThreads)), kThreads, 0,
                 stream, records.bad_cell, n_blocks, n_features, first_row, totals.bad_cell);
  add_partials(backend, records.sums, n_blocks, 2 * n_features, 2 * n_features, totals.sums);
}

template <class T>
void gather_rows(const CudaBackend& backend, const T* rows, std::int64_t stride,
                 std::int64_t n_features, const std::int64_t* index, std::int64_t count, T* out) {
  if (count == 0) return;
  device::launch(gather_kernel<T>, grid(div_up<std::int64_t>(count * n_features, kThreads)),
                 kThreads, 0, backend.device.stream(), rows, stride, n_features, index, count, out);
}

template void scan_columns(const CudaBackend&, const float*, std::int64_t, std::int64_t,
                           std::int64_t, const float*, const DeviceScan&, bool);
template void scan_columns(const CudaBackend&, const double*, std::int64_t, std::int64_t,
                           std::int64_t, const double*, const DeviceScan&, bool);
template void gather_rows(const CudaBackend&, const float*, std::int64_t, std::int64_t,
                          const std::int64_t*, std::int64_t, float*);
template void gather_rows(const CudaBackend&, const double*, std::int64_t, std::int64_t,
                          const std::int64_t*, std::int64_t, double*);

}  // namespace culatent
