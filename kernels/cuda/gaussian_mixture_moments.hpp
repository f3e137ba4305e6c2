#pragma once

#include "kernels/cuda/gaussian_mixture.hpp"

/// The arms of add_moments(), one a file.
namespace culatent::gaussian_mixture {

/// Full components by FMA.
template <class T>
void add_full_moments(const CudaBackend& backend, const DeviceRows<T>& rows,
                      const DeviceFrame<T>& frame, const DeviceParameters<T>& parameters,
                      const DeviceResponsibilities<T>& resp, const DevicePartials<T>& partials);

/// Full components by tensor cores: Tf32x3 for fp32, Bf16x3 for fast. False, with nothing done,
/// where the device or the build has none.
bool add_moments_tensor(const CudaBackend& backend, const DeviceRows<float>& rows,
                        const DeviceFrame<float>& frame, const DeviceParameters<float>& parameters,
                        const DeviceResponsibilities<float>& resp, Precision precision,
                        const DevicePartials<float>& partials);

/// Tied mixtures: wide_tails, and the counts in the heads, both of responsibilities that are made
/// to sum to the weight of the row in double. With rounded ones, scatter − sum_k N_k mean_k mean_kᵀ
/// would lose what the means are away from the centre.
template <class T>
void add_tied_moments(const CudaBackend& backend, const DeviceRows<T>& rows,
                      const DeviceFrame<T>& frame, std::int64_t n_components,
                      const DeviceResponsibilities<T>& resp, bool scatter,
                      const DevicePartials<T>& partials);

}  // namespace culatent::gaussian_mixture
