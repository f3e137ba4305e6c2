#pragma once

#include <memory>
#include <vector>

#include "kernels/cpu/gaussian_mixture_tile.hpp"

namespace culatent::gaussian_mixture {

template <class T>
class CpuWorkspace {
 public:
  CpuWorkspace(const CpuBackend& backend, Covariance covariance, std::int64_t n_components,
               std::int64_t n_features, bool in_place);
  /// Bytes that each worker takes; with `missing` also the factors of a pattern.
  static std::int64_t bytes_per_worker(Covariance covariance, std::int64_t n_components,
                                       std::int64_t n_features, bool in_place, bool missing);

  Layout layout;
  std::vector<std::unique_ptr<cpu::TileScratch<T>>> workers;
};

}  // namespace culatent::gaussian_mixture
