#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/gaussian_mixture.hpp"

namespace culatent::gaussian_mixture {
namespace {

constexpr int kLanes = 32;

// The limits of host/gaussian_mixture_update.cpp.
constexpr double kVanished = 1e-15;
constexpr double kPoint = 1e-12;

// Sums over all rows, the points that they were taken about, and the frame of both.
template <class T>
struct Moments {
  Layout layout;
  Covariance covariance = Covariance::full;
  std::int64_t n_components = 0;
  std::int64_t n_features = 0;
  const double* values = nullptr;  // by Layout
  const double* centre = nullptr;  // [D]
  const double* scale = nullptr;   // [D]
  const T* shifts = nullptr;       // [K, D]

  __device__ __forceinline__ double weight() const { return values[Layout::kWeight]; }
  __device__ __forceinline__ double count(std::int64_t k) const {
    return values[layout.counts + k];
  }
  // In the frame, as the other two.
  __device__ __forceinline__ double mean(std::int64_t k, std::int64_t j) const {
    const std::int64_t at = k * n_features + j;
    const double n = count(k);
    const double shift = static_cast<double>(shifts[at]);
    if (!(n > 0.0)) return shift;
    return (covariance == Covariance::tied ? 0.0 : shift) + values[layout.sums + at] / n;
  }
  // Element (i, j), j ≤ i, of component k's covariance; not for tied.
  __device__ __forceinline__ double covariance_at(std::int64_t k, std::int64_t i,
                                                  std::int64_t j) const {
    const double n = count(k);
    if (!(n > 0.0)) return 0.0;
    const std::int64_t d = n_features;
    const double square = values[layout.squares + (covariance == Covariance::full
                                                       ? k * (d * (d + 1) / 2) + i * (i + 1) / 2 + j
                                                       : k * d + i)];
    const double* first = values + layout.sums + k * d;
    return square / n - first[i] / n * (first[j] / n);
  }
  __device__ __forceinline__ double unscaled(double value, std::int64_t i, std::int64_t j) const {
    return value / scale[i] / scale[j];
  }
};

// ---- means, and the variances of all rows together ----------------------------------------------
//
//   pooled_j = sum_k n_k (σ_kj² + (μ_kj − μ_j)²) / sum_k n_k,   μ_j = sum_k n_k μ_kj / sum_k n_k
//
// Threads (j, lane): lane l takes every 32nd component. The last block sums the weights instead.
//   bytes: 8 K D (4, full 11)

template <class T>
__device__ __forceinline__ void write_status(const Moments<T>& m, double* total,
                                             UpdateStatus* status) {
  CULATENT_SHARED(scratch, double[kLanes]);
  const std::int64_t thread = threadIdx.y * kLanes + threadIdx.x;
  double share = 0.0;
  for (std::int64_t k = thread; k < m.n_components; k += kLanes * kLanes) {
    share += m.count(k) / m.weight();
  }
  share = device::block_sum<kLanes * kLanes>(share, scratch);
  if (thread > 0) return;
  *total = share;
  status->weight = m.weight();
  status->log_likelihood = m.values[Layout::kLogLikelihood];
  status->joint = m.values[Layout::kJoint];
  status->entropy = m.values[Layout::kEntropy];
  status->n_collapsed = 0;
}

// Every thread gets the sum over the lanes of its feature.
__device__ __forceinline__ double sum_lanes(double value, double (&shares)[kLanes][kLanes]) {
  __syncthreads();
  shares[threadIdx.y][threadIdx.x] = value;
  __syncthreads();
  double sum = 0.0;
  for (int lane = 0; lane < kLanes; ++lane) sum += shares[lane][threadIdx.x];
  return sum;
}

template <class T>
__global__ void __launch_bounds__(kLanes* kLanes)
    means_kernel(Moments<T> m, double* means, double* pooled, UpdateStatus* status) {
  CULATENT_SHARED(shares, double[kLanes][kLanes]);
  const std::int64_t d = m.n_features;
  if (blockIdx.x + 1 == gridDim.x) {
    write_status(m, pooled + d, status);
    return;
  }
  const std::int64_t j = std::int64_t{blockIdx.x} * kLanes + threadIdx.x;
  double sum = 0.0;
  for (std::int64_t k = threadIdx.y; j < d && k < m.n_components; k += kLanes) {
    const double mean = m.mean(k, j);
    means[k * d + j] = m.centre[j] + mean / m.scale[j];
    sum += m.count(k) * mean;
  }
  if (m.covariance == Covariance::tied) return;
  const double mean = sum_lanes(sum, shares) / m.weight();
  sum = 0.0;
  for (std::int64_t k = threadIdx.y; j < d && k < m.n_components; k += kLanes) {
    const double offset = m.mean(k, j) - mean;
    sum += m.count(k) * (m.covariance_at(k, j, j) + offset * offset);
  }
  sum = sum_lanes(sum, shares);
  if (threadIdx.y == 0 && j < d) pooled[j] = sum / m.weight();
}

// ---- weights and collapse -----------------------------------------------------------------------
//
// One warp a component. Collapsed: it holds less than kVanished of the weight, or, its variances
// with reg_covar being no more than kPoint beside those of all rows together, it lies on one point.
//   bytes: 16 K D (not tied)

constexpr int kWarps = 8;

// Whether component k's rows lie on one point; all lanes get the answer.
template <class T>
__device__ __forceinline__ bool on_one_point(const Moments<T>& m, std::int64_t k,
                                             const double* pooled, double reg_covar) {
  double share = 0.0;
  int spread = 0;
  for (std::int64_t j = threadIdx.x; j < m.n_features; j += kLanes) {
    if (!(pooled[j] > 0.0)) continue;  // a constant feature tells nothing
    spread = 1;
    share += (m.covariance_at(k, j, j) + reg_covar * m.scale[j] * m.scale[j]) / pooled[j];
  }
  share = device::warp_sum(share);
  return device::warp_max(spread) > 0 && share <= kPoint;
}

template <class T>
__global__ void __launch_bounds__(kLanes* kWarps)
    components_kernel(Moments<T> m, double reg_covar, const double* pooled, double* weights,
                      UpdateStatus* status) {
  const std::int64_t d = m.n_features;
  const std::int64_t k = std::int64_t{blockIdx.x} * kWarps + threadIdx.y;
  if (k >= m.n_components) return;  // whole warps
  const bool tied = m.covariance == Covariance::tied;
  bool collapsed = !(m.count(k) > kVanished * m.weight());
  if (!tied && on_one_point(m, k, pooled, reg_covar)) collapsed = true;
  if (threadIdx.x == 0) {
    weights[k] = m.count(k) / m.weight() / pooled[d];
    // A count: the order of the additions is of no account.
    if (collapsed) {
      atomicAdd(reinterpret_cast<unsigned long long*>(&status->n_collapsed), 1ULL);
    }
  }
}

// ---- diagonal and spherical ---------------------------------------------------------------------
//
// One warp a component.
//   bytes: 8 K D (3, spherical 2)

template <class T>
__global__ void __launch_bounds__(kLanes* kWarps)
    variances_kernel(Moments<T> m, double reg_covar, double* variances) {
  const std::int64_t d = m.n_features;
  const std::int64_t k = std::int64_t{blockIdx.x} * kWarps + threadIdx.y;
  if (k >= m.n_components) return;  // whole warps
  double sum = 0.0;
  for (std::int64_t j = threadIdx.x; j < d; j += kLanes) {
    const double variance = m.unscaled(max(m.covariance_at(k, j, j), 0.0), j, j);
    if (m.covariance == Covariance::diagonal) variances[k * d + j] = variance + reg_covar;
    sum += variance;
  }
  if (m.covariance == Covariance::diagonal) return;
  sum = device::warp_sum(sum);
  if (threadIdx.x == 0) variances[k] = sum / static_cast<double>(d) + reg_covar;
}

// ---- matrices -----------------------------------------------------------------------------------
//
// One block of 32 x 8 threads a 32 x 32 tile of the lower triangle; thread (x, y) has column x and
// every 8th row. The tile goes out twice, the second time turned in shared memory.
//   flops: full 4 K D², tied K D²     bytes: full K D² (4 + 8), tied 8 D² + K D²/2 from L2

constexpr int kTile = 32;
constexpr int kRows = 8;
constexpr int kOwn = kTile / kRows;

struct Tile {
  std::int64_t i, j;  // first row and column
};

__device__ __forceinline__ Tile tile_at(std::int64_t index, std::int64_t tiles) {
  return {index / tiles * kTile, index % tiles * kTile};
}

// Writes a thread's elements of the tile, in the frame, to both triangles of `out`.
template <class T>
__device__ __forceinline__ void write_tile(const Moments<T>& m, Tile tile,
                                           const double (&elements)[kOwn], double reg_covar,
                                           double* out) {
  CULATENT_SHARED(turned, double[kTile][kTile + 1]);
  const std::int64_t d = m.n_features;
  const std::int64_t j = tile.j + threadIdx.x;
#pragma unroll
  for (int a = 0; a < kOwn; ++a) {
    const int row = static_cast<int>(threadIdx.y) + kRows * a;
    const std::int64_t i = tile.i + row;
    if (i >= d || j > i) continue;
    const double value = m.unscaled(elements[a], i, j) + (i == j ? reg_covar : 0.0);
    turned[threadIdx.x][row] = value;
    out[i * d + j] = value;
  }
  __syncthreads();
  const std::int64_t column = tile.i + threadIdx.x;
#pragma unroll
  for (int a = 0; a < kOwn; ++a) {
    const int at = static_cast<int>(threadIdx.y) + kRows * a;
    const std::int64_t row = tile.j + at;
    if (column < d && row < column) out[row * d + column] = turned[at][threadIdx.x];
  }
}

template <class T>
__global__ void __launch_bounds__(kTile* kRows)
    full_kernel(Moments<T> m, double reg_covar, double* covariances) {
  const std::int64_t d = m.n_features;
  const std::int64_t tiles = (d + kTile - 1) / kTile;
  const std::int64_t k = blockIdx.x / (tiles * tiles);
  const Tile tile = tile_at(blockIdx.x % (tiles * tiles), tiles);
  if (tile.j > tile.i) return;
  double elements[kOwn];
#pragma unroll
  for (int a = 0; a < kOwn; ++a) {
    const std::int64_t i = tile.i + threadIdx.y + kRows * a, j = tile.j + threadIdx.x;
    elements[a] = i < d && j <= i ? m.covariance_at(k, i, j) : 0.0;
  }
  write_tile(m, tile, elements, reg_covar, covariances + k * d * d);
}

// (scatter − sum_k s_k s_kᵀ / n_k) / weight with s_k the sums over rows; 32 components at a time
// are staged.
template <class T>
__global__ void __launch_bounds__(kTile* kRows)
    tied_kernel(Moments<T> m, double reg_covar, double* covariance) {
  CULATENT_SHARED(sums, double[kTile][kTile]);   // [k][i]
  CULATENT_SHARED(means, double[kTile][kTile]);  // [k][j]
  const std::int64_t d = m.n_features;
  const Tile tile = tile_at(blockIdx.x, (d + kTile - 1) / kTile);
  if (tile.j > tile.i) return;
  const double* first = m.values + m.layout.sums;
  const std::int64_t j = tile.j + threadIdx.x;
  double elements[kOwn];
#pragma unroll
  for (int a = 0; a < kOwn; ++a) {
    const std::int64_t i = tile.i + threadIdx.y + kRows * a;
    elements[a] = i < d && j <= i ? m.values[m.layout.squares + i * (i + 1) / 2 + j] : 0.0;
  }
  for (std::int64_t begin = 0; begin < m.n_components; begin += kTile) {
    __syncthreads();
#pragma unroll
    for (int a = 0; a < kOwn; ++a) {
      const int at = static_cast<int>(threadIdx.y) + kRows * a;
      const std::int64_t k = begin + at, i = tile.i + threadIdx.x;
      const bool counts = k < m.n_components && m.count(k) > 0.0;
      sums[at][threadIdx.x] = counts && i < d ? first[k * d + i] : 0.0;
      means[at][threadIdx.x] = counts && j < d ? first[k * d + j] / m.count(k) : 0.0;
    }
    __syncthreads();
    for (int k = 0; k < kTile; ++k) {
      const double mean = means[k][threadIdx.x];
#pragma unroll
      for (int a = 0; a < kOwn; ++a) elements[a] -= sums[k][threadIdx.y + kRows * a] * mean;
    }
  }
#pragma unroll
  for (int a = 0; a < kOwn; ++a) elements[a] /= m.weight();
  write_tile(m, tile, elements, reg_covar, covariance);
}

}  // namespace

// Scratch: [D] variances of all rows together, then the sum of the weights before they are
// normalised.
template <class T>
void maximise(const CudaBackend& backend, Covariance covariance, std::int64_t n_components,
              std::int64_t n_features, const double* values, const double* centre,
              const double* scale, const T* shifts, double reg_covar, double* scratch,
              const DeviceModel& model, UpdateStatus* status) {
  using device::div_up;
  using device::launch;
  CUstream_st* stream = backend.device.stream();
  const Layout layout(covariance, n_components, n_features);
  const Moments<T> m{layout, covariance, n_components, n_features, values, centre, scale, shifts};
  const auto blocks = static_cast<unsigned>(div_up<std::int64_t>(n_features, kLanes) + 1);
  launch(means_kernel<T>, blocks, dim3(kLanes, kLanes), 0, stream, m, model.means, scratch, status);
  const auto warps = static_cast<unsigned>(div_up<std::int64_t>(n_components, kWarps));
  launch(components_kernel<T>, warps, dim3(kLanes, kWarps), 0, stream, m, reg_covar, scratch,
         model.weights, status);
  const std::int64_t tiles = div_up<std::int64_t>(n_features, kTile);
  if (covariance == Covariance::full) {
    launch(full_kernel<T>, static_cast<unsigned>(n_components * tiles * tiles), dim3(kTile, kRows),
           0, stream, m, reg_covar, model.covariances);
  } else if (covariance == Covariance::tied) {
    launch(tied_kernel<T>, static_cast<unsigned>(tiles * tiles), dim3(kTile, kRows), 0, stream, m,
           reg_covar, model.covariances);
  } else {
    launch(variances_kernel<T>, warps, dim3(kLanes, kWarps), 0, stream, m, reg_covar,
           model.covariances);
  }
}

std::int64_t maximise_scratch(Covariance, std::int64_t, std::int64_t n_features) {
  return n_features + 1;
}

template void maximise(const CudaBackend&, Covariance, std::int64_t, std::int64_t, const double*,
                       const double*, const double*, const float*, double, double*,
                       const DeviceModel&, UpdateStatus*);
template void maximise(const CudaBackend&, Covariance, std::int64_t, std::int64_t, const double*,
                       const double*, const double*, const double*, double, double*,
                       const DeviceModel&, UpdateStatus*);

}  // namespace culatent::gaussian_mixture
