#pragma once

#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/gaussian_mixture.hpp"

/// What the kernels of the update share.
namespace culatent::gaussian_mixture {

// Sums over all rows, the points that they were taken about, and the frame of both.
template <class T>
struct Statistics {
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

/// The covariances of full and tied mixtures, reg_covar included, in the units of the data.
template <class T>
void write_matrices(const CudaBackend& backend, const Statistics<T>& m, double reg_covar,
                    double* covariances);

}  // namespace culatent::gaussian_mixture
