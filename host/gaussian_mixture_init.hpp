#pragma once

#include <functional>

#include "host/gaussian_mixture.hpp"
#include "host/kmeans.hpp"

namespace culatent::gaussian_mixture {

/// What an initialisation works with. Engine is CpuEngine<T> or CudaEngine<T>.
template <class T, class Engine>
struct InitContext {
  const CpuBackend& host;
  const FitRows<T>& rows;
  const Frame& frame;
  const Options& options;
  Engine& engine;
  std::function<bool(double)> proceed;  ///< told the inertia after each k-means pass
};

/// The parameters that restart `restart` begins at, by Options::start and Options::init: centroids,
/// then one M-step of the rows' nearest centroid (Init::random: of random responsibilities).
template <class T, class Engine>
Model initial_model(const InitContext<T, Engine>& init, std::uint64_t seed,
                    std::int64_t& n_collapsed);

/// Bytes that initial_model() takes beyond the workspace.
template <class T>
std::int64_t init_bytes(std::int64_t n_rows, std::int64_t n_features, bool in_place, int n_workers,
                        const Options& options);

}  // namespace culatent::gaussian_mixture
