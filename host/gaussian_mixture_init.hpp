#pragma once

#include <functional>

#include "host/gaussian_mixture.hpp"
#include "host/kmeans.hpp"
#include "kernels/cpu/gaussian_mixture.hpp"

namespace culatent::gaussian_mixture {

/// What an initialisation works with.
template <class T>
struct InitContext {
  const Context& context;
  const CpuBackend& backend;
  const FitRows<T>& rows;
  const Frame& frame;
  const Options& options;
  CpuWorkspace<T>& workspace;
  ExactSums& sums;
  std::vector<double>& values;          ///< `sums`, rounded
  std::function<bool(double)> proceed;  ///< told the inertia after each k-means pass
};

/// The parameters that restart `restart` begins at, by Options::start and Options::init: centroids,
/// then one M-step of the rows' nearest centroid (Init::random: of random responsibilities). For
/// tied models `scatter` receives the sum of w x xᵀ over all rows.
template <class T>
Model initial_model(const InitContext<T>& init, std::uint64_t seed, std::vector<double>& scatter,
                    std::int64_t& n_collapsed);

/// Bytes that initial_model() takes beyond the workspace.
template <class T>
std::int64_t init_bytes(std::int64_t n_rows, std::int64_t n_features, bool in_place, int n_workers,
                        const Options& options);

}  // namespace culatent::gaussian_mixture
