#pragma once

#include "kernels/cuda/gaussian_mixture.hpp"

namespace culatent::gaussian_mixture {

/// add_moments() of tied mixtures: wide_tails, and the counts in the heads, both of
/// responsibilities that are made to sum to the weight of the row in double. With rounded ones,
/// scatter − sum_k N_k mean_k mean_kᵀ would lose what the means are away from the centre.
template <class T>
void add_tied_moments(const CudaBackend& backend, const DeviceRows<T>& rows,
                      const DeviceFrame<T>& frame, std::int64_t n_components,
                      const DeviceResponsibilities<T>& resp, bool scatter,
                      const DevicePartials<T>& partials);

}  // namespace culatent::gaussian_mixture
