#include <algorithm>
#include <limits>

#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/kmeans.hpp"

namespace culatent::kmeans {
namespace {

using device::div_up;
using gaussian_mixture::DeviceFrame;
using gaussian_mixture::DeviceRows;

constexpr int kThreads = 256;

template <class T>
struct Centroids {
  const T* values = nullptr;  // [K, D]
  const T* metric = nullptr;  // [D]
  std::int64_t n_clusters = 0;
};

template <class T>
__device__ __forceinline__ T in_frame(const DeviceRows<T>& rows, const DeviceFrame<T>& frame,
                                      std::int64_t row, std::int64_t feature) {
  return fma(rows.data[row * rows.stride + feature], frame.scale[feature], frame.offset[feature]);
}

// ---- nearest centroid ---------------------------------------------------------------------------
//
//   labels_i = argmin_k sum_j (metric_j (x'_ij − centroid_kj))²,   distances_i that minimum
//
// One block for 64 rows meets the centroids 64 at a time and features 16 at a time. Thread (x, y)
// holds the distances of rows 4 y … 4 y + 3 to centroids 4 x … 4 x + 3 and the best so far of its
// rows; 16 lanes share rows and settle at the end. Features, rows and centroids beyond the last
// are 0, which adds nothing.
//   flops: 4 N K D     bytes: N D sizeof(T) ceil(K / 64) from L2, once from memory
//   per thread and feature: 48 instructions of arithmetic for 9 values of shared memory

constexpr int kTile = 64;
constexpr int kOwn = 4;
constexpr int kSide = kTile / kOwn;   // threads along either side
constexpr int kDepth = 16;            // features staged at a time
constexpr int kPitch = kTile + kOwn;  // of a staged feature: a warp's stores meet few banks twice

template <class T>
constexpr T kFarthest = std::numeric_limits<T>::max();

template <class T>
struct Nearest {
  T distance;
  std::int32_t label;
};

template <class T>
struct Stage {
  alignas(16) T rows[kDepth][kPitch];
  alignas(16) T centroids[kDepth][kPitch];
  T metric[kDepth];
};

template <class T>
__device__ __forceinline__ void stage_features(const DeviceRows<T>& rows,
                                               const DeviceFrame<T>& frame,
                                               const Centroids<T>& centroids,
                                               std::int64_t first_row, std::int64_t first_centroid,
                                               std::int64_t first, Stage<T>& stage) {
  const int thread = static_cast<int>(threadIdx.x);
  const int feature = thread % kDepth;
  const std::int64_t j = first + feature;
#pragma unroll
  for (int at = thread / kDepth; at < kTile; at += kThreads / kDepth) {
    const std::int64_t row = first_row + at, k = first_centroid + at;
    const bool inside = j < rows.n_features;
    stage.rows[feature][at] =
        inside && row < rows.n_rows ? in_frame(rows, frame, row, j) : static_cast<T>(0);
    stage.centroids[feature][at] = inside && k < centroids.n_clusters
                                       ? centroids.values[k * rows.n_features + j]
                                       : static_cast<T>(0);
  }
  if (thread < kDepth) {
    stage.metric[feature] = j < rows.n_features ? centroids.metric[j] : static_cast<T>(0);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads, 2)
    nearest_kernel(DeviceRows<T> rows, DeviceFrame<T> frame, Centroids<T> centroids,
                   std::int32_t* labels, T* distances) {
  CULATENT_SHARED(stage, Stage<T>);
  const int tx = static_cast<int>(threadIdx.x) % kSide;
  const int ty = static_cast<int>(threadIdx.x) / kSide;
  const std::int64_t first_row = std::int64_t{blockIdx.x} * kTile;
  Nearest<T> best[kOwn];
#pragma unroll
  for (int r = 0; r < kOwn; ++r) best[r] = {kFarthest<T>, 0};

  for (std::int64_t first_k = 0; first_k < centroids.n_clusters; first_k += kTile) {
    T distance[kOwn][kOwn] = {};
    for (std::int64_t first = 0; first < rows.n_features; first += kDepth) {
      __syncthreads();
      stage_features(rows, frame, centroids, first_row, first_k, first, stage);
      __syncthreads();
#pragma unroll
      for (int j = 0; j < kDepth; ++j) {
        const T metric = stage.metric[j];
        T x[kOwn], centroid[kOwn];
#pragma unroll
        for (int a = 0; a < kOwn; ++a) {
          x[a] = stage.rows[j][kOwn * ty + a];
          centroid[a] = stage.centroids[j][kOwn * tx + a];
        }
#pragma unroll
        for (int r = 0; r < kOwn; ++r) {
#pragma unroll
          for (int c = 0; c < kOwn; ++c) {
            const T z = (x[r] - centroid[c]) * metric;
            distance[r][c] = fma(z, z, distance[r][c]);
          }
        }
      }
    }
#pragma unroll
    for (int r = 0; r < kOwn; ++r) {
#pragma unroll
      for (int c = 0; c < kOwn; ++c) {
        const std::int64_t k = first_k + kOwn * tx + c;
        if (k < centroids.n_clusters && distance[r][c] < best[r].distance) {
          best[r] = {distance[r][c], static_cast<std::int32_t>(k)};
        }
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kOwn; ++r) {
#pragma unroll
    for (int offset = kSide / 2; offset > 0; offset /= 2) {
      const T distance = __shfl_xor_sync(device::kAllLanes, best[r].distance, offset);
      const std::int32_t label = __shfl_xor_sync(device::kAllLanes, best[r].label, offset);
      if (distance < best[r].distance || (distance == best[r].distance && label < best[r].label)) {
        best[r] = {distance, label};
      }
    }
    const std::int64_t row = first_row + kOwn * ty + r;
    if (tx == 0 && row < rows.n_rows) {
      labels[row] = best[r].label;
      distances[row] = best[r].distance;
    }
  }
}

// ---- sums of the clusters -----------------------------------------------------------------------
//
// One block for kBlockRows rows and a chunk of `lanes` features sorts (label, row) keys, so that
// the rows of a cluster lie together in ascending order; then groups of `lanes` threads take a
// cluster each and add its rows up in registers. Every cluster of the record is written, and no
// two threads write to one place.
//   flops: 2 N D     bytes: N D sizeof(T), written 8 K D an block of rows
//   sort: 55 steps of 512 exchanges in shared memory

struct Plan {
  int lanes = 1;            // a power of two, at most 32
  std::int64_t chunks = 1;  // of features
};

constexpr int kKeys = static_cast<int>(kBlockRows);
constexpr std::int64_t kNoKey = std::numeric_limits<std::int64_t>::max();

// Bitonic, ascending.
__device__ __forceinline__ void sort_keys(std::int64_t (&keys)[kKeys]) {
  for (int size = 2; size <= kKeys; size *= 2) {
    for (int step = size / 2; step > 0; step /= 2) {
      for (int at = static_cast<int>(threadIdx.x); at < kKeys / 2; at += kThreads) {
        const int low = at / step * (2 * step) + at % step;
        const int high = low + step;
        const bool ascending = low / size % 2 == 0;
        const std::int64_t a = keys[low], b = keys[high];
        if ((a > b) == ascending) {
          keys[low] = b;
          keys[high] = a;
        }
      }
      __syncthreads();
    }
  }
}

// Number of keys below `key`.
__device__ __forceinline__ int keys_below(const std::int64_t (&keys)[kKeys], std::int64_t key) {
  int low = 0, high = kKeys;
  while (low < high) {
    const int middle = (low + high) / 2;
    if (keys[middle] < key) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

template <class T>
__device__ __forceinline__ double weight_of(const DeviceRows<T>& rows, std::int64_t row) {
  return rows.weights != nullptr ? static_cast<double>(rows.weights[row]) : 1.0;
}

// Weight and inertia of the block's rows.
template <class T>
__device__ __forceinline__ void sum_rows(const DeviceRows<T>& rows, const T* distances,
                                         std::int64_t first, std::int64_t count, double* record) {
  CULATENT_SHARED(scratch, double[kThreads / 32]);
  double weight = 0.0, inertia = 0.0;
  for (std::int64_t at = threadIdx.x; at < count; at += kThreads) {
    const double w = weight_of(rows, first + at);
    weight += w;
    inertia += w * static_cast<double>(distances[first + at]);
  }
  weight = device::block_sum<kThreads>(weight, scratch);
  inertia = device::block_sum<kThreads>(inertia, scratch);
  if (threadIdx.x > 0) return;
  record[Layout::kWeight] = weight;
  record[Layout::kInertia] = inertia;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    sums_kernel(DeviceRows<T> rows, DeviceFrame<T> frame, std::int64_t n_clusters, Plan plan,
                const std::int32_t* labels, const T* distances, double* partials) {
  CULATENT_SHARED(keys, std::int64_t[kKeys]);
  const std::int64_t d = rows.n_features;
  const std::int64_t block = blockIdx.x / plan.chunks;
  const std::int64_t chunk = blockIdx.x % plan.chunks;
  const std::int64_t first = block * kBlockRows;
  const std::int64_t count = min(kBlockRows, rows.n_rows - first);
  const int thread = static_cast<int>(threadIdx.x);
  double* record = partials + block * (Layout::counts + n_clusters * (d + 1));
  if (chunk == 0) sum_rows(rows, distances, first, count, record);
  for (int at = thread; at < kKeys; at += kThreads) {
    // A row without weight may lie anywhere, even where x' has overflowed.
    const bool counts = at < count && weight_of(rows, first + at) != 0.0;
    keys[at] = counts ? labels[first + at] * kBlockRows + at : kNoKey;
  }
  __syncthreads();
  sort_keys(keys);

  const std::int64_t j = chunk * plan.lanes + thread % plan.lanes;
  for (std::int64_t k = thread / plan.lanes; k < n_clusters; k += kThreads / plan.lanes) {
    const int end = keys_below(keys, (k + 1) * kBlockRows);
    double weight = 0.0, sum = 0.0;
    for (int at = keys_below(keys, k * kBlockRows); at < end; ++at) {
      const std::int64_t row = first + keys[at] % kBlockRows;
      const double w = weight_of(rows, row);
      weight += w;
      if (j < d) sum += w * static_cast<double>(in_frame(rows, frame, row, j));
    }
    if (j == 0) record[Layout::counts + k] = weight;
    if (j < d) record[Layout::counts + n_clusters + k * d + j] = sum;
  }
}

unsigned grid(std::int64_t blocks) { return static_cast<unsigned>(blocks); }

}  // namespace

template <class T>
void assign(const CudaBackend& backend, const DeviceRows<T>& rows, const DeviceFrame<T>& frame,
            const T* centroids, const T* metric, std::int64_t n_clusters, std::int32_t* labels,
            T* distances, double* partials) {
  if (rows.n_rows == 0) return;
  CUstream_st* stream = backend.device.stream();
  device::launch(nearest_kernel<T>, grid(div_up<std::int64_t>(rows.n_rows, kTile)), kThreads, 0,
                 stream, rows, frame, Centroids<T>{centroids, metric, n_clusters}, labels,
                 distances);
  Plan plan;
  while (plan.lanes < std::min<std::int64_t>(rows.n_features, 32)) plan.lanes *= 2;
  plan.chunks = div_up<std::int64_t>(rows.n_features, plan.lanes);
  device::launch(sums_kernel<T>, grid(div_up(rows.n_rows, kBlockRows) * plan.chunks), kThreads, 0,
                 stream, rows, frame, n_clusters, plan, labels, distances, partials);
}

template void assign(const CudaBackend&, const DeviceRows<float>&, const DeviceFrame<float>&,
                     const float*, const float*, std::int64_t, std::int32_t*, float*, double*);
template void assign(const CudaBackend&, const DeviceRows<double>&, const DeviceFrame<double>&,
                     const double*, const double*, std::int64_t, std::int32_t*, double*, double*);

}  // namespace culatent::kmeans
