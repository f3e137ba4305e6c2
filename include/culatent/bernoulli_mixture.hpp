#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "culatent/context.hpp"
#include "culatent/matrix.hpp"
#include "culatent/rows.hpp"

/// Mixture of products of Bernoulli distributions, fitted by expectation-maximisation (Bishop 2006,
/// section 9.3.3): groups of rows of zeros and ones, such as black and white images.
///
///     culatent::Context context;
///     auto run = bernoulli_mixture::fit<float>(context, X, {.n_components = 10, .seed = 7});
///     bernoulli_mixture::predict<float>(context, run.model, X, labels);
///
/// N samples, D features with values in [0, 1] (between 0 and 1: the value counts as that share of
/// a one), K components. A context on a CUDA device takes rows and outputs in host memory or in
/// that of the device. fit(), evaluate() and what it writes run where the context does; sample() on
/// the CPU.
namespace culatent::bernoulli_mixture {

enum class Init {
  kmeans,       ///< k-means of the rows, then one M-step of its clusters
  random,       ///< means drawn around those of all rows
  random_rows,  ///< K distinct random rows, half way to the mean of all
};

/// Host arrays in float64, whatever the type of the fit.
struct Model {
  std::vector<double> weights;  ///< [K], sums to one
  Matrix<double> means;         ///< [K, D]: the probability of a one

  std::int64_t n_components() const { return means.rows(); }
  std::int64_t n_features() const { return means.cols(); }
};

/// Where a fit starts, complete or in part: what is empty comes from `Options::init`, weights
/// without means are used with its means.
struct Start {
  std::vector<double> weights = {};
  Matrix<double> means = {};
};

struct Options {
  int n_components = 1;
  int max_iter = 100;
  double tol = 1e-3;  ///< stop when the objective per row changes by less; 0: never
  /// Pseudo-counts, α: a mean is (ones + α) / (rows + 2 α), the mode under a Beta(α + 1, α + 1)
  /// prior.
  double smoothing = 1e-2;
  /// Means are kept within [this, 1 − this]. Absent: 1e-6 without smoothing, otherwise 0.
  std::optional<double> min_probability = {};
  Init init = Init::kmeans;
  int n_init = 1;                          ///< restarts; the one with the highest objective is kept
  bool missing = false;                    ///< NaN marks a missing value, marginalised row by row
  std::optional<std::uint64_t> seed = {};  ///< drawn, and reported, when absent
  std::span<const double> weights = {};    ///< one a row, at least 0; empty: all 1
  Start start = {};
  CheckpointOptions checkpoint = {};
};

/// Values at the parameters after t updates.
struct TraceEntry {
  double log_likelihood = 0.0;  ///< mean per row (weighted)
  /// What EM raises: log_likelihood plus the log-prior α sum_kj (log μ_kj + log(1 − μ_kj)) over the
  /// weight of all rows. Falls only where min_probability holds a mean back.
  double objective = 0.0;
  double entropy = 0.0;  ///< mean entropy of a row's responsibilities
};

struct Fit {
  Model model;
  int n_iter = 0;                 ///< updates done
  bool converged = false;         ///< false when max_iter came first; the model is usable
  bool interrupted = false;       ///< the observer ended it
  std::vector<TraceEntry> trace;  ///< n_iter + 1 entries
  std::uint64_t seed = 0;
  int restart = 0;           ///< the one that was kept
  std::int64_t n_empty = 0;  ///< components that no row belongs to, summed over updates
  Seconds seconds;
  Plan plan;
  std::vector<Warning> warnings;
};

/// Fits by EM; one pass over the rows an iteration, plus one at the end. A component that loses all
/// its rows keeps its means and has weight 0. Memory is that of plan(): tiles, never N x K. The
/// bits do not depend on threads or chunks.
///   flops per iteration: 4 N K D (missing: 8 N K D)
/// Throws invalid_argument (options, rows where the context cannot use them), data_error (n < K, a
/// value outside [0, 1], NaN), out_of_memory (plan above the limit), device_error, io_error (rows
/// or checkpoint).
template <class T>
Fit fit(const Context& context, const RowSource<T>& rows, const Options& options);
template <class T>
Fit fit(const Context& context, MatrixView<const T> rows, const Options& options);

/// What fit() would hold. Throws out_of_memory when memory_limit is too small for it.
template <class T>
Plan plan(const Context& context, const RowSource<T>& rows, const Options& options);

/// What rows look like under a model. Every output is optional (empty span, null view) and is sized
/// by the rows. With `space` device, spans are of device memory and `responsibilities.space` says
/// so too.
template <class T>
struct Outputs {
  std::span<T> log_prob = {};             ///< log p(x_n)
  MatrixView<T> responsibilities = {};    ///< [N, K], p(k | x_n)
  std::span<std::int32_t> labels = {};    ///< the most probable component, lowest index on ties
  bool missing = false;                   ///< NaN marginalises; otherwise it is a data_error
  MemorySpace space = MemorySpace::host;  ///< of all outputs
};
struct Summary {
  double log_likelihood = 0.0;  ///< mean per row
  double entropy = 0.0;         ///< mean per row, of the responsibilities
};
template <class T>
Summary evaluate(const Context& context, const Model& model, const RowSource<T>& rows,
                 const Outputs<T>& outputs = {});

template <class T>
void log_prob(const Context& context, const Model& model, MatrixView<const T> rows,
              std::span<T> out, MemorySpace space = MemorySpace::host);
template <class T>
void responsibilities(const Context& context, const Model& model, MatrixView<const T> rows,
                      MatrixView<T> out);
template <class T>
void predict(const Context& context, const Model& model, MatrixView<const T> rows,
             std::span<std::int32_t> out, MemorySpace space = MemorySpace::host);
/// Mean log-likelihood per row.
template <class T>
double score(const Context& context, const Model& model, MatrixView<const T> rows);

/// Row i of the sample is a function of (seed, first_row + i) alone: any part can be drawn alone.
/// `labels` (may be empty) receives the component of each row.
template <class T>
void sample(const Context& context, const Model& model, std::uint64_t seed, std::int64_t first_row,
            MatrixView<T> out, std::span<std::int32_t> labels = {});

/// E[x] = sum π_k μ_k, [D].
std::vector<double> mean(const Model& model);
/// cov[x] = sum π_k (diag μ_k (1 − μ_k) + μ_k μ_kᵀ) − E[x] E[x]ᵀ, [D, D].
Matrix<double> covariance(const Model& model);

/// K − 1 weights and K D means.
std::int64_t n_parameters(const Model& model);
double bic(const Model& model, double total_log_likelihood, double n_rows);
double aic(const Model& model, double total_log_likelihood);

/// Reorders components by weight, largest first; ties keep their order.
void order_by_weight(Model& model);

/// safetensors with tensors `weights`, `means` (float64) and metadata.
void save(const Model& model, const std::string& path, const std::string& options_json = "{}");
/// Throws io_error for a damaged file or one of another method, data_error for tensors that are no
/// mixture.
Model load(const std::string& path);
/// The tensors of a file, complete or in part. Throws as load().
Start load_start(const std::string& path);

const char* name(Init init);  ///< "kmeans", "random", "random-rows"

}  // namespace culatent::bernoulli_mixture
