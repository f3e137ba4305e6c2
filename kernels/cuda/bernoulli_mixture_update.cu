#include "kernels/cuda/bernoulli_mixture.hpp"
#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/reduce.cuh"

namespace culatent::bernoulli_mixture {
namespace {

using device::div_up;

constexpr int kThreads = 256;

// ---- maximise -----------------------------------------------------------------------------------
//
//   weight_k = count_k / weight,   mean_kj = (ones_kj + α) / (ones_kj + zeros_kj + 2 α)
//
// One block a component. Where there are no sums of zeros the component's count stands for both.

__global__ void __launch_bounds__(kThreads)
    maximise_kernel(const double* sums, std::int64_t n_components, std::int64_t d,
                    UpdateOptions options, DeviceModel before, DeviceModel after,
                    std::int64_t* empty) {
  const std::int64_t k = blockIdx.x;
  const double count = sums[kHeads + k];
  const bool alive = count > 0.0;
  if (threadIdx.x == 0) {
    after.weights[k] = count / sums[0];
    empty[k] = alive ? 0 : 1;
  }
  const double* ones = sums + kHeads + n_components + k * options.n_products;
  const double least = options.least_probability;
  for (std::int64_t j = threadIdx.x; j < d; j += kThreads) {
    const double rows = options.n_products > d ? ones[j] + ones[d + j] : count;
    const double most = rows + 2.0 * options.smoothing;
    double mean = before.means[k * d + j];
    if (alive && most > 0.0) {
      mean = min(max((ones[j] + options.smoothing) / most, least), 1.0 - least);
    }
    after.means[k * d + j] = mean;
  }
}

// ---- prepare ------------------------------------------------------------------------------------
//
// One block a component, those that only pad included. Logarithms as on the host (log_pair()).

// log of the least normal double, in place of −∞.
constexpr double kLeast = -708.39641853226408;

struct Logs {
  double one, zero;
};
__device__ __forceinline__ Logs logs_of(double mean) {
  return {mean > 0.0 ? max(log(mean), kLeast) : kLeast, mean < 1.0 ? log1p(-mean) : kLeast};
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    prepare_kernel(DeviceModel model, std::int64_t d, DeviceParameters<T> parameters,
                   std::int64_t pitch, double* priors) {
  CULATENT_SHARED(scratch, double[kThreads / 32]);
  const std::int64_t k = blockIdx.x;
  const std::int64_t lines = parameters.missing ? 2 : 1;
  const bool pads = k >= parameters.n_components;
  double zeros = 0.0, prior = 0.0;
  for (std::int64_t j = threadIdx.x; j < d; j += kThreads) {
    const Logs logs = pads ? Logs{0.0, 0.0} : logs_of(model.means[k * d + j]);
    T* const line = parameters.factors + lines * j * pitch + k;
    *line = static_cast<T>(logs.one - logs.zero);
    if (parameters.missing) line[pitch] = static_cast<T>(logs.zero);
    zeros += logs.zero;
    prior += logs.one + logs.zero;
  }
  zeros = device::block_sum<kThreads>(zeros, scratch);
  prior = device::block_sum<kThreads>(prior, scratch);
  if (threadIdx.x > 0 || pads) return;
  // A component without weight takes no row; its log stays finite.
  const double weight = model.weights[k];
  const double constant = weight > 0.0 ? log(weight) : -1e30;
  parameters.constants[k] = static_cast<T>(parameters.missing ? constant : constant + zeros);
  priors[k] = prior;
}

// ---- finish_update ------------------------------------------------------------------------------

__global__ void __launch_bounds__(kThreads)
    finish_kernel(const double* sums, std::int64_t n_components, const double* priors,
                  const std::int64_t* empty, UpdateStatus* status) {
  CULATENT_SHARED(scratch, double[kThreads / 32]);
  CULATENT_SHARED(counts, std::int64_t[kThreads / 32]);
  double prior = 0.0;
  std::int64_t n_empty = 0;
  for (std::int64_t k = threadIdx.x; k < n_components; k += kThreads) {
    prior += priors[k];
    n_empty += empty[k];
  }
  prior = device::block_sum<kThreads>(prior, scratch);
  n_empty = device::block_sum<kThreads>(n_empty, counts);
  if (threadIdx.x > 0) return;
  status->weight = sums[0];
  status->log_likelihood = sums[1];
  status->entropy = sums[3];
  status->prior = prior;
  status->n_empty = n_empty;
}

}  // namespace

void maximise(const CudaBackend& backend, const double* sums, std::int64_t n_components,
              std::int64_t n_features, const UpdateOptions& options, const DeviceModel& before,
              const DeviceModel& after, std::int64_t* empty) {
  device::launch(maximise_kernel, static_cast<unsigned>(n_components), kThreads, 0,
                 backend.device.stream(), sums, n_components, n_features, options, before, after,
                 empty);
}

template <class T>
void prepare(const CudaBackend& backend, const DeviceModel& model, std::int64_t n_features,
             const DeviceParameters<T>& parameters, double* priors) {
  const std::int64_t pitch = padded_components(parameters.n_components);
  device::launch(prepare_kernel<T>, static_cast<unsigned>(pitch), kThreads, 0,
                 backend.device.stream(), model, n_features, parameters, pitch, priors);
}

void finish_update(const CudaBackend& backend, const double* sums, std::int64_t n_components,
                   const double* priors, const std::int64_t* empty, UpdateStatus* status) {
  device::launch(finish_kernel, 1, kThreads, 0, backend.device.stream(), sums, n_components, priors,
                 empty, status);
}

template void prepare(const CudaBackend&, const DeviceModel&, std::int64_t,
                      const DeviceParameters<float>&, double*);
template void prepare(const CudaBackend&, const DeviceModel&, std::int64_t,
                      const DeviceParameters<double>&, double*);

}  // namespace culatent::bernoulli_mixture
