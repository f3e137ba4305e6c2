#include <cmath>
#include <limits>
#include <numbers>

#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/gaussian_mixture.hpp"
#include "kernels/cuda/inverse_cholesky.hpp"

namespace culatent::gaussian_mixture {
namespace {

using device::div_up;

constexpr int kLanes = 32;
constexpr double kNoValue = std::numeric_limits<double>::quiet_NaN();

// A model and the frame it is moved into.
struct Source {
  DeviceModel model;
  const double* centre = nullptr;  // [D]
  const double* scale = nullptr;   // [D]
  double normal = 0.0;             // sum_j log scale_j − D/2 log 2π
};

__device__ __forceinline__ double mean_in_frame(const Source& source, std::int64_t n_features,
                                                std::int64_t k, std::int64_t j) {
  return (source.model.means[k * n_features + j] - source.centre[j]) * source.scale[j];
}

// ---- full and tied: means -----------------------------------------------------------------------
//
//   whitened_means_ki = sum_j≤i W_ij μ_kj,   W as the other steps see it, rounded to T
//   ratio = sum_i ((W μ)_i² + sum_j W_ij² (μ_kj² + σ_kj²))      of the 32 features i of a block
//
// Threads (i, part): part p of kParts takes every kParts-th j, so that a warp reads a row of the
// stored transpose. One block for 32 features of one component.
//   flops: K D²     bytes: sizeof(T) (full K, tied up to K times from L2) D²

constexpr int kParts = 8;

template <class T>
__global__ void __launch_bounds__(kLanes* kParts)
    means_kernel(Source source, DeviceParameters<T> parameters, double* ratios) {
  CULATENT_SHARED(shares, double[kParts][kLanes]);
  CULATENT_SHARED(squares, double[kParts][kLanes]);
  const std::int64_t d = parameters.n_features;
  const std::int64_t chunks = (d + kLanes - 1) / kLanes;
  const std::int64_t k = blockIdx.x / chunks;
  const std::int64_t i = blockIdx.x % chunks * kLanes + threadIdx.x;
  const std::int64_t matrix = parameters.covariance == Covariance::full ? k * d * d : 0;
  const T* whitening = parameters.whitening + matrix;
  const double* covariance = source.model.covariances + matrix;
  double share = 0.0, square = 0.0;
  for (std::int64_t j = threadIdx.y; i < d && j <= i; j += kParts) {
    const double factor = static_cast<double>(whitening[j * d + i]);
    const double mean = mean_in_frame(source, d, k, j);
    const double variance = covariance[j * d + j] * source.scale[j] * source.scale[j];
    share += factor * mean;
    square += factor * factor * (mean * mean + variance);
  }
  shares[threadIdx.y][threadIdx.x] = share;
  squares[threadIdx.y][threadIdx.x] = square;
  __syncthreads();
  if (threadIdx.y > 0) return;
  for (int part = 1; part < kParts; ++part) {
    share += shares[part][threadIdx.x];
    square += squares[part][threadIdx.x];
  }
  const double ratio = device::warp_sum(share * share + square);
  if (threadIdx.x == 0) ratios[blockIdx.x] = ratio;
  if (i >= d) return;
  parameters.whitened_means[k * d + i] = static_cast<T>(share);
  parameters.shifts[k * d + i] = static_cast<T>(mean_in_frame(source, d, k, i));
}

// ---- diagonal and spherical ---------------------------------------------------------------------
//
// One warp a component: 1 / σ, means, log |L| and offset_ratio of the component. A component whose
// deviation is not finite or not above 0 fails: log |L| is NaN.
//   bytes: K D (16 + 3 sizeof(T))

constexpr int kWarps = 4;

template <class T>
__global__ void __launch_bounds__(kLanes* kWarps)
    diagonal_kernel(Source source, DeviceParameters<T> parameters, double* log_determinants,
                    double* ratios) {
  const std::int64_t d = parameters.n_features;
  const std::int64_t k = std::int64_t{blockIdx.x} * kWarps + threadIdx.y;
  if (k >= parameters.n_components) return;  // whole warps
  double log_determinant = 0.0, ratio = 0.0;
  for (std::int64_t j = threadIdx.x; j < d; j += kLanes) {
    const std::int64_t at = k * d + j;
    const double variance =
        source.model.covariances[parameters.covariance == Covariance::diagonal ? at : k];
    const double deviation = sqrt(variance) * source.scale[j];
    const double mean = mean_in_frame(source, d, k, j);
    parameters.shifts[at] = static_cast<T>(mean);
    const bool usable = deviation > 0.0 && isfinite(deviation);
    const T whitening = usable ? static_cast<T>(1.0 / deviation) : static_cast<T>(0);
    parameters.whitening[at] = whitening;
    parameters.whitened_means[at] = static_cast<T>(static_cast<double>(whitening) * mean);
    // NaN of one feature is NaN of the sum.
    log_determinant += usable ? log(deviation) : kNoValue;
    if (usable) ratio = max(ratio, mean / deviation * (mean / deviation));
  }
  log_determinant = device::warp_sum(log_determinant);
  ratio = device::warp_max(ratio);
  if (threadIdx.x > 0) return;
  log_determinants[k] = log_determinant;
  ratios[k] = ratio;
}

// ---- what all types share -----------------------------------------------------------------------
//
// One warp: K is small and there is nothing to wait for.

template <class T>
__global__ void __launch_bounds__(kLanes)
    finish_kernel(Source source, DeviceParameters<T> parameters, const double* log_determinants,
                  const double* ratios, std::int64_t component_ratios, UpdateStatus* status) {
  const bool tied = parameters.covariance == Covariance::tied;
  int n_failed = 0;
  double ratio = 0.0;
  for (std::int64_t k = threadIdx.x; k < parameters.n_components; k += kLanes) {
    const double log_determinant = log_determinants[tied ? 0 : k];
    const bool failed = isnan(log_determinant);
    n_failed += failed ? 1 : 0;
    parameters.log_constants[k] =
        failed ? static_cast<T>(0)
               : static_cast<T>(log(source.model.weights[k]) - log_determinant + source.normal);
    double own = 0.0;
    for (std::int64_t i = 0; i < component_ratios; ++i) own += ratios[k * component_ratios + i];
    ratio = max(ratio, own);
  }
  n_failed = device::warp_sum(n_failed);
  ratio = device::warp_max(ratio);
  if (threadIdx.x > 0) return;
  status->n_failed = n_failed;
  status->offset_ratio = ratio;
  if (parameters.offset_ratio != nullptr) *parameters.offset_ratio = ratio;
}

bool has_matrices(Covariance covariance) {
  return covariance == Covariance::full || covariance == Covariance::tied;
}

// One a component, or one for 32 features of a component.
std::int64_t ratios_of(Covariance covariance, std::int64_t n_components, std::int64_t n_features) {
  return n_components * (has_matrices(covariance) ? div_up<std::int64_t>(n_features, kLanes) : 1);
}

}  // namespace

// Scratch: what inverse_cholesky() needs, aligned to 16 bytes; offset ratios; [K] log |L|.
template <class T>
void factorise(const CudaBackend& backend, const DeviceModel& model, const double* centre,
               const double* scale, double log_scale, double* scratch,
               const DeviceParameters<T>& parameters, UpdateStatus* status) {
  CUstream_st* stream = backend.device.stream();
  const std::int64_t n_components = parameters.n_components;
  const std::int64_t d = parameters.n_features;
  const double normal = log_scale - 0.5 * static_cast<double>(d) * std::log(2.0 * std::numbers::pi);
  const Source source{model, centre, scale, normal};
  const std::int64_t n_ratios = ratios_of(parameters.covariance, n_components, d);
  const std::int64_t inverse_scratch =
      factorise_scratch(parameters.covariance, n_components, d) - n_components - n_ratios;
  double* ratios = scratch + inverse_scratch;
  double* log_determinants = ratios + n_ratios;
  if (has_matrices(parameters.covariance)) {
    const bool full = parameters.covariance == Covariance::full;
    inverse_cholesky(backend, model.covariances, full ? n_components : 1, d, scale, scratch,
                     inverse_scratch, parameters.whitening, log_determinants);
    device::launch(means_kernel<T>, static_cast<unsigned>(n_ratios), dim3(kLanes, kParts), 0,
                   stream, source, parameters, ratios);
  } else {
    const std::int64_t blocks = div_up<std::int64_t>(n_components, kWarps);
    device::launch(diagonal_kernel<T>, static_cast<unsigned>(blocks), dim3(kLanes, kWarps), 0,
                   stream, source, parameters, log_determinants, ratios);
  }
  device::launch(finish_kernel<T>, 1, kLanes, 0, stream, source, parameters, log_determinants,
                 ratios, n_ratios / n_components, status);
}

std::int64_t factorise_scratch(Covariance covariance, std::int64_t n_components,
                               std::int64_t n_features) {
  const std::int64_t small = n_components + ratios_of(covariance, n_components, n_features);
  if (!has_matrices(covariance)) return small;
  const std::int64_t n_matrices = covariance == Covariance::full ? n_components : 1;
  return small + inverse_cholesky_scratch(n_matrices, n_features);
}

template void factorise(const CudaBackend&, const DeviceModel&, const double*, const double*,
                        double, double*, const DeviceParameters<float>&, UpdateStatus*);
template void factorise(const CudaBackend&, const DeviceModel&, const double*, const double*,
                        double, double*, const DeviceParameters<double>&, UpdateStatus*);

}  // namespace culatent::gaussian_mixture
