#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "culatent/gaussian_mixture.hpp"
#include "host/exact_sums.hpp"
#include "kernels/backend.hpp"
#include "kernels/cost.hpp"

/// The steps of the Gaussian mixture (METHODS: Gaussian mixture). N rows of the chunk, D features,
/// K components; everything in the coordinates of a Frame.
namespace culatent::gaussian_mixture {

/// Where each statistic lies in the vector of sums over rows. w is the row's weight, r a
/// responsibility, z = x' − shift_k (full, diagonal, spherical) or z = x' (tied, in double:
/// the scatter about one point minus the scatter of the means must not cancel).
struct Layout {
  Layout(Covariance covariance, std::int64_t n_components, std::int64_t n_features);

  static constexpr std::int64_t kWeight = 0;         // sum w
  static constexpr std::int64_t kLogLikelihood = 1;  // sum w log p(x)
  static constexpr std::int64_t kJoint = 2;          // sum w sum_k r log p(x, k)
  static constexpr std::int64_t kEntropy = 3;        // sum w sum_k −r log r
  std::int64_t counts = 4;                           // [K] sum w r
  std::int64_t sums = 0;                             // [K, D] sum w r z
  std::int64_t squares = 0;  // full [K, D (D+1) / 2] lower sum w r z zᵀ; tied [D (D+1) / 2] sum w z
                             // zᵀ; diagonal and spherical [K, D] sum w r z²
  std::int64_t size = 0;
};

/// A mixture prepared for the steps.
template <class T>
struct Parameters {
  Covariance covariance = Covariance::full;
  std::int64_t n_components = 0;
  std::int64_t n_features = 0;
  /// [K, D] means in the frame. The statistics are taken about exactly these values.
  Matrix<T> shifts;
  /// Inverse Cholesky factors, lower, so that |L⁻¹ (x' − shift)|² is the squared Mahalanobis
  /// distance. full [K * P, D] and tied [P, D] where P = D rounded up to 4, padded with
  /// zero rows; diagonal and spherical [K, D]: 1 / standard deviation.
  Matrix<T> whitening;
  /// tied: [K, D] whitened means.
  Matrix<T> whitened_means;
  /// [K] log weight − log |L| − D/2 log 2π, in the units of the data. −inf at weight 0.
  std::vector<T> log_constants;
  /// Only for missing values, in the frame: full and tied [K or 1, D, D], diagonal and spherical
  /// [K, D]; log weights [K].
  std::vector<double> covariances;
  std::vector<double> log_weights;
};

/// A chunk's rows may have missing values (NaN), which are marginalised, only when
/// `Parameters::covariances` is there.

/// How the responsibilities of an initial M-step come about.
template <class T>
struct InitialResponsibilities {
  const Matrix<T>* centroids = nullptr;  ///< [K, D] in the frame: all to the nearest; null: random
  std::span<const T> metric;             ///< [D] factor of each feature in that distance
  std::uint64_t seed = 0;                ///< of random ones
};

/// Scratch of the CPU steps: one set a worker, taken before the loop.
template <class T>
class CpuWorkspace;

/// Flops of the E- and the M-step with triangles counted once: full 2 N K D (D + 1), tied N D (D +
/// 1) + 5 N K D, diagonal and spherical 9 N K D.
inline Cost expectation_maximisation_cost(Covariance covariance, double n_rows, double n_components,
                                          double n_features, double element_bytes) {
  const double triangle = n_features * (n_features + 1.0);
  const double cells = n_rows * n_components * n_features;
  const double bytes = n_rows * n_features * element_bytes;
  switch (covariance) {
    case Covariance::full:
      return {2.0 * n_rows * n_components * triangle, bytes};
    case Covariance::tied:
      return {n_rows * triangle + 5.0 * cells, bytes};
    case Covariance::diagonal:
    case Covariance::spherical:
      return {9.0 * cells, bytes};
  }
  return {};
}

/// E- and M-step in one pass: adds the chunk's statistics to `sums` (Layout). With `scatter` the
/// tied statistics include z zᵀ, which is constant over a fit without missing values.
/// Cost: expectation_maximisation_cost().
template <class T>
void expectation_maximisation(const CpuBackend& backend, CpuWorkspace<T>& workspace,
                              const RowChunk<T>& chunk, const Frame& frame,
                              const Parameters<T>& parameters, bool scatter, ExactSums& sums);

/// The M-step of given responsibilities, taken about `parameters.shifts`.
template <class T>
void initial_maximisation(const CpuBackend& backend, CpuWorkspace<T>& workspace,
                          const RowChunk<T>& chunk, const Frame& frame,
                          const Parameters<T>& parameters,
                          const InitialResponsibilities<T>& responsibilities, ExactSums& sums);

/// The E-step with its results written out, chunk.first + i to outputs row i of the whole source;
/// adds sum log p, entropy and the number of rows to `sums` (the first four of Layout).
template <class T>
void expectation(const CpuBackend& backend, CpuWorkspace<T>& workspace, const RowChunk<T>& chunk,
                 const Frame& frame, const Parameters<T>& parameters, const Outputs<T>& outputs,
                 ExactSums& sums);

}  // namespace culatent::gaussian_mixture
