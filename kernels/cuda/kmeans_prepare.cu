#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/kmeans_tile.cuh"

namespace culatent::kmeans {
namespace {

using device::div_up;

// ---- prepare_centroids --------------------------------------------------------------------------
//
//   packed[j, k] = values[k, j],   offsets[k] = −|c_k|² / 2,   longest = max |c_k|
//
// but for centroids longer than `beyond`, whose offset is the lowest number.
//
// A block has 32 centroids, and goes through the features 32 at a time by way of a square in shared
// memory, so that reads and writes are both side by side. Warp y adds up the squares of features y,
// y + 8, … of lane x's centroid in double; 8 warps settle at the end.
//   bytes: 2 K D sizeof(T)

constexpr int kSquare = 32;
constexpr int kWarps = kThreads / 32;

__device__ __forceinline__ void raise_to(float* highest, float value) {
  atomicMax(reinterpret_cast<int*>(highest), __float_as_int(value));
}
__device__ __forceinline__ void raise_to(double* highest, double value) {
  atomicMax(reinterpret_cast<long long*>(highest), __double_as_longlong(value));
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    prepare_kernel(DeviceCentroids<T> centroids, std::int64_t n_features) {
  CULATENT_SHARED(square, T[kSquare][kSquare + 1]);
  CULATENT_SHARED(partial, double[kWarps][kSquare]);
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const std::int64_t first_k = std::int64_t{blockIdx.x} * kSquare;
  const std::int64_t pitch = packed_clusters(centroids.n_clusters);
  double sum = 0.0;
  for (std::int64_t first = 0; first < n_features; first += kSquare) {
    __syncthreads();
    for (int at = warp; at < kSquare; at += kWarps) {
      const std::int64_t k = first_k + at, j = first + lane;
      square[at][lane] =
          k < centroids.n_clusters && j < n_features ? centroids.values[k * n_features + j] : T{0};
    }
    __syncthreads();
    for (int at = warp; at < kSquare; at += kWarps) {
      const T value = square[lane][at];
      if (first + at < n_features) centroids.packed[(first + at) * pitch + first_k + lane] = value;
      sum = fma(static_cast<double>(value), static_cast<double>(value), sum);
    }
  }
  partial[warp][lane] = sum;
  __syncthreads();
  if (warp > 0) return;
#pragma unroll
  for (int other = 1; other < kWarps; ++other) sum += partial[other][lane];
  const std::int64_t k = first_k + lane;
  const double length = sqrt(sum);
  const bool screened = k < centroids.n_clusters && length <= static_cast<double>(centroids.beyond);
  centroids.offsets[k] = screened ? static_cast<T>(-0.5 * sum) : kLowest<T>;
  // Not negative, so in the order of the bits.
  if (screened) raise_to(centroids.longest, static_cast<T>(length));
}

// ---- unit_factors -------------------------------------------------------------------------------
//
// One block for kUnitRows rows, staged kSquare features at a time; then a thread a row adds up its
// squares in the order of the features. As rows are read side by side, that order costs nothing.
// Rows whose squares vanish, which are rare, are read by their thread alone.

constexpr int kUnitRows = 128;

template <class T>
__global__ void __launch_bounds__(kUnitRows)
    unit_factors_kernel(ClusterRows<T> rows, std::int64_t first_row, T* factors,
                        PassCounters* counters) {
  CULATENT_SHARED(tile, T[kUnitRows][kSquare + 1]);
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % 32, warp = thread / 32;
  const std::int64_t first = std::int64_t{blockIdx.x} * kUnitRows;
  T square{};
  for (std::int64_t begin = 0; begin < rows.n_features; begin += kSquare) {
    __syncthreads();
    const std::int64_t j = begin + lane;
    for (int at = warp; at < kUnitRows; at += kUnitRows / 32) {
      const bool inside = j < rows.n_features && first + at < rows.n_rows;
      tile[at][lane] = inside ? in_coordinates(rows, first + at, j) : T{0};
    }
    __syncthreads();
#pragma unroll
    for (int at = 0; at < kSquare; ++at) square = fma(tile[thread][at], tile[thread][at], square);
  }
  const std::int64_t row = first + thread;
  if (row >= rows.n_rows) return;
  const auto feature = [&](std::int64_t j) { return in_coordinates(rows, row, j); };
  const T factor =
      square < kSmallSquare<T> ? unit_factor<T>(rows.n_features, feature) : T{1} / sqrt(square);
  factors[row] = factor;
  if (counters != nullptr && factor == T{0} && weight_of(rows, row) != 0.0) {
    atomicMin(&counters->zero_row, static_cast<unsigned long long>(first_row + row));
  }
}

}  // namespace

template <class T>
void prepare_centroids(const CudaBackend& backend, std::int64_t n_features,
                       const DeviceCentroids<T>& centroids) {
  if (centroids.n_clusters == 0) return;
  backend.device.fill_zero(centroids.longest, sizeof(T));
  const std::int64_t blocks = packed_clusters(centroids.n_clusters) / kSquare;
  device::launch(prepare_kernel<T>, static_cast<unsigned>(blocks), kThreads, 0,
                 backend.device.stream(), centroids, n_features);
}

template <class T>
void unit_factors(const CudaBackend& backend, const ClusterRows<T>& rows, std::int64_t first_row,
                  T* factors, PassCounters* counters) {
  if (rows.n_rows == 0) return;
  device::launch(unit_factors_kernel<T>,
                 static_cast<unsigned>(div_up<std::int64_t>(rows.n_rows, kUnitRows)), kUnitRows, 0,
                 backend.device.stream(), rows, first_row, factors, counters);
}

#define CULATENT_INSTANTIATE(T)                                                                 \
  template void prepare_centroids(const CudaBackend&, std::int64_t, const DeviceCentroids<T>&); \
  template void unit_factors(const CudaBackend&, const ClusterRows<T>&, std::int64_t, T*,       \
                             PassCounters*);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::kmeans
