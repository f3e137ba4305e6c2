#pragma once

#include <cstdint>

#include "kernels/cuda/mixture.hpp"
#include "kernels/gaussian_mixture.hpp"

/// The CUDA steps of the Gaussian mixture. Every pointer is to device memory, every call is ordered
/// on backend.device.stream() and does not wait. N rows, D features, K components.
///
/// Rows are worked on in waves, as many rows as host/device_flow.hpp says. A wave starts at a
/// multiple of kBlockRows. Every sum over rows is taken block by block
/// (kBlockRows rows counted from row 0 of the data) in a fixed order into *partials*, one record a
/// block, and block records are added exactly (add_partials): so no bit depends on the size of a
/// wave or chunk.
namespace culatent::gaussian_mixture {

using culatent::DeviceOutputs;
using culatent::DeviceResponsibilities;
using culatent::DeviceRows;
using culatent::write_outputs;

/// Frame: x' = x * scale + offset, one fma each; scale is a power of two, offset = −centre * scale.
template <class T>
struct DeviceFrame {
  const T* scale = nullptr;   // [D]
  const T* offset = nullptr;  // [D]
};

/// A mixture prepared for the steps, W = L⁻¹ with L Lᵀ the covariance in the frame.
template <class T>
struct DeviceParameters {
  Covariance covariance = Covariance::full;
  std::int64_t n_components = 0;
  std::int64_t n_features = 0;
  T* shifts = nullptr;  // [K, D] means in the frame; the statistics are taken about exactly these
  /// full [K, D, D], tied [D, D]: element (j, i) is W_ij (the transpose, so that the columns that
  /// one row of X meets lie side by side), zero for j > i. diagonal, spherical [K, D]: 1 / σ.
  T* whitening = nullptr;
  /// full, tied [K, D]: W μ; diagonal, spherical [K, D]: μ / σ, in double rounded once. So
  /// W (x' − μ) = W x' − whitened_means. Diagonal and spherical lose u |x'| / σ by that, no more
  /// than by the rounding of x' itself; full and tied up to D + 1 times as much (log_joint()).
  T* whitened_means = nullptr;
  T* log_constants = nullptr;  // [K] log weight − log |L| − D/2 log 2π in the data's units
  /// What products about the frame's centre would lose, squared (one value), in the frame.
  /// Diagonal, spherical: max over k, j of (μ_kj / σ_kj)². Full, tied: max over k of sum_i ((W
  /// μ)_i² + sum_j W_ij² (μ_j² + σ_j²)), σ_j² the variance of feature j: the terms of W x' − W μ,
  /// squared, as a row of the component has them in the mean.
  double* offset_ratio = nullptr;
};

/// Records of partial sums, block b of the wave at index b. `heads` [n_blocks, 4 + K] by Layout:
/// weight, log-likelihood, joint, entropy, counts. `tails` [n_blocks, K D + squares] by Layout
/// minus the heads. Tied records are double (`wide_tails`), others of type T.
template <class T>
struct DevicePartials {
  double* heads = nullptr;
  T* tails = nullptr;
  double* wide_tails = nullptr;
};

// ---- E-step ---------------------------------------------------------------------------------

/// How y = W (x' − μ) of full and tied covariances is formed. What it loses, for an element:
///
///   expanded   W x' − W μ    FMA: at most (D + 1) u (|W| |x'| + |W μ|), u = 2⁻²⁴ (double: 2⁻⁵³).
///                            Tensor cores: (|W| |x'|)_i times 5 · 2⁻²² (fast: 3 · 2⁻¹⁶) for the
///                            split, and 3 ⌈D / 8⌉ (⌈D / 16⌉) cuts at 2⁻²³ of the sum so far
///   centred    W (x' − μ)    FMA: at most (D + 1) u |W| |x' − μ|, and u |W| |μ| for μ itself
///
/// beside u |W| |x'| for x' itself: so centred loses what float's rows and means lose, wherever
/// the components are.
enum class Whitening { expanded, centred };

/// What the expanded form costs log p(x, k) in nats, root mean square over the rows x of a
/// component, about: this times √offset_ratio. An estimate of rounding as it comes, not of the
/// worst. Held against emulated kernels for covariances from the identity to a condition of 1e4,
/// means 0 to 1e4 deviations off and D from 8 to 256, it was at most 1.3 times too small and 10
/// times too great, as long as less than a nat is lost. Of full and tied.
///   FMA √D u / 4     Tf32x3 2⁻²³ + D 2⁻²⁸     Bf16x3 2⁻¹⁷ + D 2⁻²⁹
/// Centred loses about u / 2 times √offset_ratio, which float makes of the rows themselves, and
/// what FMA would with the means at the centre.
template <class T>
double expansion_loss(Covariance covariance, std::int64_t n_features, Precision precision);

/// out(k, row) = log p(x_row, k) for the rows of the wave.
///   flops: full, and tied centred N K D (D + 1), tied N D (D + 1) + 3 N K D, diagonal and
///   spherical 4 N K D
/// Full covariances of float rows, expanded, go through tensor cores where there are any: split
/// TF32 for fp32 (16 ≤ D ≤ 512), split bf16 for fast (D ≥ 16). Else FMA.
template <class T>
void log_joint(const CudaBackend& backend, const DeviceRows<T>& rows, const DeviceFrame<T>& frame,
               const DeviceParameters<T>& parameters, const DeviceResponsibilities<T>& out,
               Precision precision = Precision::fp32, Whitening whitening = Whitening::expanded);

/// Turns log p(x, k) into q = weight * p(k | x) in place, adds up the heads of every block, and
/// writes log p(x) of row i to log_prob[i] (null: not wanted). Rows whose densities all leave T are
/// done again in double.
template <class T>
void normalise(const CudaBackend& backend, const DeviceRows<T>& rows, const DeviceFrame<T>& frame,
               const DeviceParameters<T>& parameters, const DeviceResponsibilities<T>& resp,
               double* log_prob, const DevicePartials<T>& partials);

/// q of an initial M-step: all of a row's weight to the nearest centroid in the distance
/// sum_j (metric_j (x'_j − centroid_kj))², lowest index on ties. The heads get weight and counts.
template <class T>
void nearest_responsibilities(const CudaBackend& backend, const DeviceRows<T>& rows,
                              const DeviceFrame<T>& frame, const T* centroids, const T* metric,
                              std::int64_t n_components, const DeviceResponsibilities<T>& resp,
                              const DevicePartials<T>& partials);

/// q of an initial M-step: weight times random shares that sum to 1; row i of the wave is row
/// `first` + i of the data. The same draws as the CPU's.
template <class T>
void random_responsibilities(const CudaBackend& backend, const DeviceRows<T>& rows,
                             std::uint64_t seed, std::int64_t first, std::int64_t n_components,
                             const DeviceResponsibilities<T>& resp,
                             const DevicePartials<T>& partials);

// ---- M-step ---------------------------------------------------------------------------------

/// The tails of every block for given responsibilities, about parameters.shifts (full, diagonal,
/// spherical; in the coordinates of the frame, in double, for tied). With `scatter` the tied
/// squares are taken, which are constant over a fit; without it they are not touched. Tied also
/// writes the counts in the heads, of responsibilities that sum to the weight in double.
/// Full components of float rows go through tensor cores where there are any: split TF32 for fp32
/// (D > 24), split bf16 for fast (D > 16). 5 · 2⁻²² (fast: 3 · 2⁻¹⁶) of sum q |z_i z_j| bounds what
/// splitting costs an element, and 3 cuts at 2⁻²³ and n / 8 roundings (fast: 3 n / 16 cuts) what
/// adding n rows of a block up costs; elsewhere FMA lose at most n 2⁻²⁴.
template <class T>
void add_moments(const CudaBackend& backend, const DeviceRows<T>& rows, const DeviceFrame<T>& frame,
                 const DeviceParameters<T>& parameters, const DeviceResponsibilities<T>& resp,
                 bool scatter, const DevicePartials<T>& partials,
                 Precision precision = Precision::fp32);

/// E- and M-step of diagonal and spherical mixtures in one pass over the rows: heads and tails of
/// every block, no responsibilities in memory. For K and D that fused_fits() takes.
template <class T>
void expectation_maximisation_diagonal(const CudaBackend& backend, const DeviceRows<T>& rows,
                                       const DeviceFrame<T>& frame,
                                       const DeviceParameters<T>& parameters, bool about_means,
                                       const DevicePartials<T>& partials);
template <class T>
bool fused_fits(const CudaBackend& backend, Covariance covariance, std::int64_t n_components,
                std::int64_t n_features);

// ---- update ---------------------------------------------------------------------------------

/// Model (gaussian_mixture.hpp) in device memory, float64, in the units of the data.
struct DeviceModel {
  double* weights = nullptr;      // [K]
  double* means = nullptr;        // [K, D]
  double* covariances = nullptr;  // as Model::covariances
};

/// What the host is told of an iteration, in one copy.
struct UpdateStatus {
  double weight = 0.0;
  double log_likelihood = 0.0;  // the sums of Layout
  double joint = 0.0;
  double entropy = 0.0;
  double offset_ratio = 0.0;     // of the new parameters
  std::int64_t n_collapsed = 0;  // components that lost their rows or fell on one point
  std::int64_t n_failed = 0;     // covariances that could not be factored
};

/// The M-step, as maximise() of host/gaussian_mixture_update.cpp, float64: `values` are the sums of
/// Layout (rounded), taken about `shifts`. Sets the first four of `status` and n_collapsed.
/// `scratch` holds maximise_scratch() doubles.
template <class T>
void maximise(const CudaBackend& backend, Covariance covariance, std::int64_t n_components,
              std::int64_t n_features, const double* values, const double* centre,
              const double* scale, const T* shifts, double reg_covar, double* scratch,
              const DeviceModel& model, UpdateStatus* status);
std::int64_t maximise_scratch(Covariance covariance, std::int64_t n_components,
                              std::int64_t n_features);

/// Factors the covariances (Cholesky, inverse, log-determinant, in float64 and the frame), as
/// prepare() of host/gaussian_mixture_prepare.cpp. Sets n_failed and offset_ratio of `status`.
/// `log_scale` = sum_j log scale_j. `scratch` holds factorise_scratch() doubles.
template <class T>
void factorise(const CudaBackend& backend, const DeviceModel& model, const double* centre,
               const double* scale, double log_scale, double* scratch,
               const DeviceParameters<T>& parameters, UpdateStatus* status);
std::int64_t factorise_scratch(Covariance covariance, std::int64_t n_components,
                               std::int64_t n_features);

}  // namespace culatent::gaussian_mixture
