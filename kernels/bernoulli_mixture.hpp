#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "culatent/bernoulli_mixture.hpp"
#include "host/exact_sums.hpp"
#include "kernels/backend.hpp"
#include "kernels/cost.hpp"

/// The steps of the Bernoulli mixture (METHODS: Bernoulli mixture). K components, D features. Rows
/// are read as F features: the D values, and with missing values D marks of what is there beside
/// them, so that log-densities are one product either way.
namespace culatent::bernoulli_mixture {

/// Where each statistic lies in the vector of sums over rows.
struct Layout {
  Layout(std::int64_t n_components, std::int64_t n_features, bool missing)
      : inputs(missing ? 2 * n_features : n_features),
        sums(counts + n_components),
        size(sums + checked_product(n_components, inputs)) {}

  static constexpr std::int64_t kWeight = 0;         // sum w
  static constexpr std::int64_t kLogLikelihood = 1;  // sum w log p(x)
  static constexpr std::int64_t kEntropy = 2;        // sum w H(r)
  static constexpr std::int64_t counts = 3;          // [K] sum w r_k
  std::int64_t inputs;                               // F
  std::int64_t sums;                                 // [K, F] sum w r_k x, then sum w r_k observed
  std::int64_t size;
};

/// log μ and log(1 − μ), the least a double has in place of −∞.
struct LogPair {
  double one;
  double zero;
};
inline LogPair log_pair(double mean) {
  const double least = std::log(std::numeric_limits<double>::min());
  return {mean > 0.0 ? std::max(std::log(mean), least) : least,
          mean < 1.0 ? std::log1p(-mean) : least};
}

/// log p(x, k) = constants_k + sum_f factors_kf input_f: logits of the means, and with missing
/// values log(1 − μ) for the marks; without, the constant has their sum.
template <class T>
struct Parameters {
  Parameters(const Model& model, bool missing);
  std::vector<T> factors;    // in groups, see kernels/cpu/nearest.hpp
  std::vector<T> constants;  // [K], padded to whole groups with the lowest number
  std::int64_t n_components;
  std::int64_t n_inputs;
};

/// Scratch of one worker.
template <class T>
struct CpuScratch {
  Matrix<T> block;                        // [kBlockRows, D], for sources that are not in place
  Matrix<T> x;                            // [F, kTileStride]
  Matrix<T> resp;                         // [K, kTileStride] log-densities, then responsibilities
  Matrix<double> weighted;                // [K, kTileStride] w r
  std::vector<T> greatest;                // [kTileStride]
  std::vector<double> log_prob, entropy;  // [kTileStride]
  std::vector<double> sums;               // of the block, by Layout
};

template <class T>
struct CpuWorkspace {
  CpuWorkspace(const CpuBackend& backend, const Layout& layout, std::int64_t n_components,
               std::int64_t n_features, bool in_place);
  static std::int64_t bytes_per_worker(const Layout& layout, std::int64_t n_components,
                                       std::int64_t n_features, bool in_place);

  Layout layout;
  std::vector<std::unique_ptr<CpuScratch<T>>> workers;
};

/// A value outside [0, 1]; the first by row. row −1: none.
struct BadValue {
  std::int64_t row = -1;
  std::int64_t column = -1;
  double value = 0.0;
};

/// The least work of a pass without missing values: 4 N K D flops; rows once.
inline Cost expectation_maximisation_cost(double n_rows, double n_components, double n_features,
                                          double element_bytes) {
  return {4.0 * n_rows * n_components * n_features, n_rows * n_features * element_bytes};
}

/// One pass of the chunk: responsibilities at the parameters and the sums of the next M-step, added
/// to `sums`. NaN is a missing value when the layout has marks.
///   flops: 4 N K F     bytes: N D sizeof(T)
template <class T>
void expectation_maximisation(const CpuBackend& backend, CpuWorkspace<T>& workspace,
                              const RowChunk<T>& chunk, const Parameters<T>& parameters,
                              ExactSums& sums, BadValue& bad);

/// The E-step alone, with its results written; `sums` has the first three of Layout.
template <class T>
void expectation(const CpuBackend& backend, CpuWorkspace<T>& workspace, const RowChunk<T>& chunk,
                 const Parameters<T>& parameters, const Outputs<T>& outputs, ExactSums& sums,
                 BadValue& bad);

}  // namespace culatent::bernoulli_mixture
