#pragma once

#include <cstdint>

#include "kernels/bernoulli_mixture.hpp"
#include "kernels/cuda/mixture.hpp"

/// The CUDA steps of the Bernoulli mixture. Every pointer is to device memory, every call is
/// ordered on backend.device.stream() and does not wait. N rows, D features, K components.
///
/// As with the Gaussian mixture (kernels/cuda/gaussian_mixture.hpp), rows are worked on in waves
/// that start at multiples of kBlockRows, sums over rows are taken block by block in a fixed order,
/// and the records of blocks are added exactly: no bit depends on the size of a wave or chunk.
namespace culatent::bernoulli_mixture {

/// Components rounded up to what the steps load at a time.
inline std::int64_t padded_components(std::int64_t n_components) {
  const std::int64_t step = n_components > 64 ? 128 : n_components > 32 ? 64 : 32;
  return (n_components + step - 1) / step * step;
}

/// A mixture prepared for log_joint(), feature by feature: line j has the logits of feature j. With
/// missing values line 2 j has them, and line 2 j + 1 log(1 − μ), which is for the mark of a value
/// that is there.
template <class T>
struct DeviceParameters {
  std::int64_t n_components = 0;
  bool missing = false;
  T* factors = nullptr;    // [F, padded_components(K)], zero beyond K
  T* constants = nullptr;  // [K] log weight, and without missing values sum_j log(1 − μ_j)
};

/// out(k, row) = log p(x_row, k) for the rows of the wave; NaN is a missing value where the
/// parameters say so. out.data is aligned to 16 bytes, out.stride a multiple of kBlockRows.
///   flops: 2 N K F     bytes: N D sizeof(T)
template <class T>
void log_joint(const CudaBackend& backend, const DeviceRows<T>& rows,
               const DeviceParameters<T>& parameters, const DeviceResponsibilities<T>& out);

/// Numbers before the counts in a block's record: weight, log-likelihood, log-likelihood minus
/// entropy, entropy (device::NormaliseHead).
inline constexpr std::int64_t kHeads = 4;

/// Turns log p(x, k) into q = weight * p(k | x) in place, 0 for rows beyond the last of a block;
/// writes the records `heads` [n_blocks, kHeads + K] and log p(x) (null: not wanted).
template <class T>
void normalise(const CudaBackend& backend, const DeviceRows<T>& rows, std::int64_t n_components,
               const DeviceResponsibilities<T>& resp, double* log_prob, double* heads);

/// Sums that add_products() takes for a component: sum q x for every feature and, where they are
/// needed, sum q (1 − x) beside them. Both of what is there: with missing values the second cannot
/// be told from the count. In float it is taken always: a mean within rounding of 1 is told from 1
/// by it alone, as one near 0 is by the first.
template <class T>
constexpr std::int64_t n_products(std::int64_t n_features, bool missing) {
  return missing || sizeof(T) == 4 ? 2 * n_features : n_features;
}

/// Sums of every block of the wave into the records `tails` [n_blocks, K, n_products()]: ones [D],
/// then zeros [D]. resp as normalise() leaves it.
///   flops: 2 N K n_products()     bytes: N D sizeof(T) read, sizeof(T) a sum and block written
/// Rounding: at most kBlockRows u of a block's sum.
template <class T>
void add_products(const CudaBackend& backend, const DeviceRows<T>& rows, std::int64_t n_components,
                  bool missing, const DeviceResponsibilities<T>& resp, T* tails);

/// Lowers *cell to (first_row + row) * D + column of the wave's first value outside [0, 1], as
/// numbers without sign: −1 is none. NaN is outside unless it is a missing value.
template <class T>
void find_outside(const CudaBackend& backend, const DeviceRows<T>& rows, std::int64_t first_row,
                  bool missing, std::int64_t* cell);

// ---- update ---------------------------------------------------------------------------------

/// Model (bernoulli_mixture.hpp) in device memory, float64.
struct DeviceModel {
  double* weights = nullptr;  // [K]
  double* means = nullptr;    // [K, D]
};

/// What an M-step is told beside the sums.
struct UpdateOptions {
  std::int64_t n_products = 0;
  double smoothing = 0.0;          // times weight_scale: the sums are of scaled weights
  double least_probability = 0.0;  // means are kept this far from 0 and 1
};

/// What the host is told of an iteration, in one copy.
struct UpdateStatus {
  double weight = 0.0;
  double log_likelihood = 0.0;  // the sums of Layout
  double entropy = 0.0;
  double prior = 0.0;         // sum_kj (log μ + log(1 − μ)) of the new means
  std::int64_t n_empty = 0;   // components that no row belongs to
  std::int64_t bad_cell = 0;  // of find_outside()
};

/// The M-step: `sums` [kHeads + K + K n_products()] are those of all rows, rounded. A component
/// without rows keeps its mean of `before` and gets weight 0. empty[k]: 1 for such a one, else 0.
void maximise(const CudaBackend& backend, const double* sums, std::int64_t n_components,
              std::int64_t n_features, const UpdateOptions& options, const DeviceModel& before,
              const DeviceModel& after, std::int64_t* empty);

/// The parameters of a model, and priors[k] = sum_j (log μ + log(1 − μ)).
template <class T>
void prepare(const CudaBackend& backend, const DeviceModel& model, std::int64_t n_features,
             const DeviceParameters<T>& parameters, double* priors);

/// Sets all of `status` but bad_cell.
void finish_update(const CudaBackend& backend, const double* sums, std::int64_t n_components,
                   const double* priors, const std::int64_t* empty, UpdateStatus* status);

}  // namespace culatent::bernoulli_mixture
