#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/gaussian_mixture_statistics.cuh"

namespace culatent::gaussian_mixture {
namespace {

constexpr int kLanes = 32;

// The limits of host/gaussian_mixture_update.cpp.
constexpr double kVanished = 1e-15;
constexpr double kPoint = 1e-12;

// ---- means, and the variances of all rows together ----------------------------------------------
//
//   pooled_j = sum_k n_k (σ_kj² + (μ_kj − μ_j)²) / sum_k n_k,   μ_j = sum_k n_k μ_kj / sum_k n_k
//
// Threads (j, lane): lane l takes every 32nd component. The last block sums the weights instead.
//   bytes: 8 K D (4, full 11)

template <class T>
__device__ __forceinline__ void write_status(const Statistics<T>& m, double* total,
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
    means_kernel(Statistics<T> m, double* means, double* pooled, UpdateStatus* status) {
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
__device__ __forceinline__ bool on_one_point(const Statistics<T>& m, std::int64_t k,
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
    components_kernel(Statistics<T> m, double reg_covar, const double* pooled, double* weights,
                      UpdateStatus* status) {
  const std::int64_t k = std::int64_t{blockIdx.x} * kWarps + threadIdx.y;
  if (k >= m.n_components) return;  // whole warps
  if (threadIdx.x == 0) weights[k] = m.count(k) / m.weight() / pooled[m.n_features];
  const bool vanished = !(m.count(k) > kVanished * m.weight());
  const bool tied = m.covariance == Covariance::tied;
  const bool collapsed = vanished || (!tied && on_one_point(m, k, pooled, reg_covar));
  // A count: the order of the additions is of no account.
  if (threadIdx.x == 0 && collapsed) {
    atomicAdd(reinterpret_cast<unsigned long long*>(&status->n_collapsed), 1ULL);
  }
}

// ---- diagonal and spherical ---------------------------------------------------------------------
//
// One warp a component.
//   bytes: 8 K D (3, spherical 2)

template <class T>
__global__ void __launch_bounds__(kLanes* kWarps)
    variances_kernel(Statistics<T> m, double reg_covar, double* variances) {
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
  const Statistics<T> m{layout, covariance, n_components, n_features,
                        values, centre,     scale,        shifts};
  const auto blocks = static_cast<unsigned>(div_up<std::int64_t>(n_features, kLanes) + 1);
  launch(means_kernel<T>, blocks, dim3(kLanes, kLanes), 0, stream, m, model.means, scratch, status);
  const auto warps = static_cast<unsigned>(div_up<std::int64_t>(n_components, kWarps));
  launch(components_kernel<T>, warps, dim3(kLanes, kWarps), 0, stream, m, reg_covar, scratch,
         model.weights, status);
  if (covariance == Covariance::full || covariance == Covariance::tied) {
    write_matrices(backend, m, reg_covar, model.covariances);
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
