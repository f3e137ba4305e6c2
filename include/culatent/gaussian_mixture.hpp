#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "culatent/context.hpp"
#include "culatent/matrix.hpp"
#include "culatent/rows.hpp"

/// Mixture of Gaussians, fitted by expectation-maximisation (Dempster, Laird & Rubin 1977;
/// Bishop 2006, section 9.2).
///
///     culatent::Context context;
///     auto run = gaussian_mixture::fit<float>(context, X, {.n_components = 8, .seed = 7});
///     gaussian_mixture::predict<float>(context, run.model, X, labels);
///
/// N samples, D features, K components. On a CUDA context rows and outputs may lie in host memory
/// (they are staged) or in the device's (used in place, on the context's stream).
namespace culatent::gaussian_mixture {

enum class Covariance {
  full,       ///< one D x D matrix a component
  tied,       ///< one D x D matrix for all
  diagonal,   ///< one variance a component and feature
  spherical,  ///< one variance a component
};

enum class Init {
  kmeans,  ///< k-means (greedy k-means++ seeds on a sample, Lloyd on all rows), then one M-step
  kmeans_plus,  ///< rows go to the nearest of K k-means++ seeds, then one M-step
  random,       ///< random responsibilities, then one M-step
  random_rows,  ///< K distinct random rows as means, pooled covariance, equal weights
};

/// What happens to a component that falls on one point or loses all its rows.
enum class Collapse {
  regularise,  ///< its covariance becomes the pooled one; a warning counts the times
  drop,        ///< it is removed
  error,       ///< data_error
};

/// Host arrays in float64, whatever the type of the fit.
struct Model {
  Covariance covariance = Covariance::full;
  std::vector<double> weights;      ///< [K], sums to one
  Matrix<double> means;             ///< [K, D]
  std::vector<double> covariances;  ///< full [K, D, D], tied [D, D], diagonal [K, D], spherical [K]
  double reg_covar = 0.0;           ///< that it was fitted with

  std::int64_t n_components() const { return means.rows(); }
  std::int64_t n_features() const { return means.cols(); }
};

/// Where a fit starts, complete or in part: what is empty comes from `Options::init`.
/// Covariances without means are an error. `reg_covar` is not added to what is given.
struct Start {
  std::vector<double> weights = {};
  Matrix<double> means = {};
  std::vector<double> covariances = {};  ///< shaped for Options::covariance
};

struct Options {
  int n_components = 1;
  Covariance covariance = Covariance::full;
  int max_iter = 100;
  double tol = 1e-3;        ///< stop when the mean log-likelihood changes by less; 0: never
  double reg_covar = 1e-6;  ///< added to every variance in the M-step
  Init init = Init::kmeans;
  int n_init = 1;  ///< restarts; the one with the highest log-likelihood is kept
  Collapse collapse = Collapse::regularise;
  bool missing = false;  ///< NaN marks a missing value, marginalised row by row (CPU only)
  std::optional<std::uint64_t> seed = {};  ///< drawn, and reported, when absent
  std::span<const double> weights = {};    ///< one a row, at least 0; empty: all 1
  Start start = {};
  CheckpointOptions checkpoint = {};
  /// Absent: fp32 for float rows, fp64 for double. `fast` (full covariances on a CUDA device) makes
  /// products of split bfloat16: an element of y = L⁻¹ (x − μ) errs by up to 3 · 2⁻¹⁶ of
  /// |L⁻¹| |x − c|, c the data's centre, where tensor cores lose 5 · 2⁻²² for fp32; an element of a
  /// covariance by up to 3 · 2⁻¹⁶ (fp32: 5 · 2⁻²²) of the sum of its absolute terms. A log-density
  /// by that loses about
  ///     2⁻¹⁷ √r nats, r = sum_i ((L⁻¹ m)_i² + sum_j (L⁻¹)_ij² (m_j² + σ_j²)), m = μ − c,
  /// root mean square over a component's rows: 1e-4 for 64 independent features near the centre. A
  /// pass in which that would be above 2⁻⁷ (0.008) for a component, because it is far from the
  /// centre for its width or nearly singular, takes fp32, and the warning `precision` says so.
  /// Passes of fp32 and fp64 in which products about the centre would lose √ε nats or more (2⁻¹¹·⁵,
  /// 2⁻²⁶) subtract the means first, as the CPU does; that is slower and needs no warning.
  std::optional<Precision> precision = {};
};

/// Values at the parameters after t updates.
struct TraceEntry {
  double log_likelihood = 0.0;  ///< mean per row (weighted)
  double elbo = 0.0;            ///< E_q[log p(x, z)] + H(q), mean per row; equals log_likelihood
  double entropy = 0.0;         ///< H(q): mean entropy of a row's responsibilities
  double free_energy = 0.0;     ///< −elbo
};

struct Fit {
  Model model;
  int n_iter = 0;                 ///< updates done; the count that scikit-learn reports
  bool converged = false;         ///< false when max_iter came first; the model is usable
  bool interrupted = false;       ///< the observer ended it
  std::vector<TraceEntry> trace;  ///< n_iter + 1 entries
  std::uint64_t seed = 0;
  int restart = 0;  ///< the one that was kept
  std::int64_t n_collapsed = 0;
  Seconds seconds;
  Plan plan;
  std::vector<Warning> warnings;
};

/// Fits by EM; one pass over the rows an iteration, plus one at the end for the last trace entry.
/// Memory is that of plan(): tiles, never N x K. The bits do not depend on threads or chunks; those
/// of a CUDA device differ from the CPU's by rounding.
///   flops per iteration: full 2 N K D², tied N D² + 5 N K D, diagonal and spherical 9 N K D
/// Throws invalid_argument (options), data_error (n < K, NaN, no spread, collapse = error),
/// out_of_memory (plan above the limit), io_error (rows or checkpoint).
template <class T>
Fit fit(const Context& context, const RowSource<T>& rows, const Options& options);
template <class T>
Fit fit(const Context& context, MatrixView<const T> rows, const Options& options);

/// What fit() would hold. Throws out_of_memory when memory_limit is too small for it.
template <class T>
Plan plan(const Context& context, const RowSource<T>& rows, const Options& options);

/// What rows look like under a model. Every output is optional (empty span, null view) and is
/// sized by the rows; all lie in `space`, and a view that says otherwise throws invalid_argument.
/// log_prob[n] = log p(x_n), responsibilities[n, k] = p(k | x_n), labels[n] its argmax (lowest
/// index on ties). NaN marginalises when `missing`, otherwise throws data_error.
template <class T>
struct Outputs {
  std::span<T> log_prob = {};
  MatrixView<T> responsibilities = {};
  std::span<std::int32_t> labels = {};
  bool missing = false;
  MemorySpace space = MemorySpace::host;  ///< device: a CUDA context is needed
};
template <class T>
struct Summary {
  double log_likelihood = 0.0;  ///< mean per row
  double entropy = 0.0;         ///< mean per row, of the responsibilities
};
template <class T>
Summary<T> evaluate(const Context& context, const Model& model, const RowSource<T>& rows,
                    const Outputs<T>& outputs = {});

/// The parts of evaluate() by themselves; `space` is where `out` lies.
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

/// K − 1 weights, K D means, and the free entries of the covariances.
std::int64_t n_parameters(const Model& model);
double bic(const Model& model, double total_log_likelihood, double n_rows);
double aic(const Model& model, double total_log_likelihood);

/// The mixture of the named features alone (a Gaussian's marginal drops the others). Full
/// covariance for full and tied models, otherwise diagonal.
Model marginal(const Model& model, std::span<const std::int64_t> features);

/// Reorders components by weight, largest first; ties keep their order.
void order_by_weight(Model& model);

/// safetensors with tensors `weights`, `means`, `covariances` (float64) and metadata.
/// `options_json` goes to the metadata as it is.
void save(const Model& model, const std::string& path, const std::string& options_json = "{}");
/// Throws io_error for a damaged file or one of another method, data_error for tensors that are no
/// mixture (shapes, weights that do not sum to 1, values that are not finite, a covariance that is
/// not positive definite).
Model load(const std::string& path);
/// The tensors of a file, complete or in part, as a start for `covariance`. Throws as load().
Start load_start(const std::string& path, Covariance covariance);

const char* name(Covariance covariance);  ///< "full", "tied", "diagonal", "spherical"
const char* name(Init init);              ///< "kmeans", "kmeans++", "random", "random-rows"
const char* name(Collapse collapse);

}  // namespace culatent::gaussian_mixture
