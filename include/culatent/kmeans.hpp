#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "culatent/context.hpp"
#include "culatent/matrix.hpp"
#include "culatent/rows.hpp"

/// K-means clustering: Lloyd's algorithm (Lloyd 1982) and mini-batches (Sculley 2010).
///
///     culatent::Context context;
///     auto run = kmeans::fit<float>(context, X, {.n_clusters = 64, .seed = 7});
///     kmeans::predict<float>(context, run.model, X, labels);
///
/// N samples, D features, K clusters. On a CUDA context rows and outputs may lie on the device;
/// labels, and the sums that centroids are made of, have the bits that they have on the CPU.
namespace culatent::kmeans {

enum class Init {
  kmeans_plus,  ///< greedy k-means++ (Arthur & Vassilvitskii 2007), 2 + ⌊log K⌋ trials a seed
  kmeans_parallel,  ///< k-means|| (Bahmani et al. 2012): 5 rounds, about 2 K candidates each
  random,           ///< K distinct random rows, one of each of K equal stretches
};

/// What happens to a cluster that no row is nearest to.
enum class Empty {
  relocate,  ///< its centroid moves to the row that is farthest from its own; a warning counts them
  keep,      ///< its centroid stays
  error,     ///< data_error
};

enum class Metric {
  euclidean,
  /// Spherical k-means (Dhillon & Modha 2001): rows and centroids have length 1. A row whose values
  /// are all below 1e-38 (double: 1e-308) of the largest in the data counts as zero.
  cosine,
};

/// Host arrays in float64, whatever the type of the fit.
struct Model {
  Metric metric = Metric::euclidean;
  Matrix<double> centroids;    ///< [K, D]; cosine: of length 1
  std::vector<double> counts;  ///< [K] weight of the rows of each cluster at the end of the fit

  std::int64_t n_clusters() const { return centroids.rows(); }
  std::int64_t n_features() const { return centroids.cols(); }
};

struct Options {
  int n_clusters = 8;
  Init init = Init::kmeans_plus;
  int n_init = 1;  ///< restarts; the one with the lowest inertia is kept
  /// Updates at most. Absent: 300; with mini-batches, as many as make 100 passes over the rows.
  std::optional<int> max_iter = {};
  /// Stop when the inertia falls by less than this share of itself; 0: when no label changes.
  double tol = 1e-4;
  Empty empty = Empty::relocate;
  Metric metric = Metric::euclidean;
  /// Rows an update; 0: all of them (Lloyd).
  std::int64_t mini_batch = 0;
  std::optional<std::uint64_t> seed = {};  ///< drawn, and reported, when absent
  /// One a row, at least 0; empty: all 1. They are summed to 2^-80 of the largest (2^-60 for
  /// billions of rows): rows below that count as none, and a warning ("light") tells how many.
  std::span<const double> weights = {};
  Matrix<double> start = {};  ///< [K, D] centroids to begin at; empty: by `init`
  CheckpointOptions checkpoint = {};
};

/// Values at the centroids after t updates.
struct TraceEntry {
  /// Sum over rows of weight times squared distance to the nearest centroid. With mini-batches, but
  /// for the last entry: that of the batch, times the weight of all rows over the batch's.
  double inertia = 0.0;
  /// Rows whose label is another than at the centroids before; −1: not known (at the start, and
  /// with mini-batches).
  std::int64_t moved = -1;
};

struct Fit {
  Model model;
  int n_iter = 0;                 ///< updates done; scikit-learn counts passes, which is one more
  bool converged = false;         ///< false when max_iter came first; the model is usable
  bool interrupted = false;       ///< the observer ended it
  double inertia = 0.0;           ///< of `model`, over all rows
  std::vector<TraceEntry> trace;  ///< n_iter + 1 entries
  std::uint64_t seed = 0;
  int restart = 0;                ///< the one that was kept
  std::int64_t n_relocated = 0;   ///< empty clusters that were moved, summed over updates
  std::int64_t n_empty = 0;       ///< clusters without rows in `model`
  double refined_fraction = 0.0;  ///< rows that the first look, by scores, left in doubt
  Seconds seconds;
  Plan plan;
  std::vector<Warning> warnings;
};

/// Fits by Lloyd's iterations; one pass over the rows an iteration, plus one at the end. Labels are
/// those of exact arithmetic on the rows' type: a row whose two nearest centroids are closer to
/// each other than rounding errors is looked at again by differences; ties go to the lowest index.
/// Memory is that of plan(): one label a row, never N x K. The bits do not depend on threads or
/// chunks.
///
/// Outliers cost no time: centroids far from the others are tried by themselves. They cost digits:
/// rows are kept as differences from the mean of all, rounded to the rows' type. So float tells
/// apart what is more than 2^-24 of the distance to that mean, which an outlier at distance R among
/// N rows moves by R / N; and centroids of unweighted float rows are exact to R N / 2^60, at best
/// R / 2^49. Where less matters, fit in double, or leave the outliers out.
///   flops per iteration: 2 N K D + N D
/// Throws invalid_argument (options), data_error (n < K, NaN, a zero row with Metric::cosine,
/// Empty::error), out_of_memory (plan above the limit), io_error (rows or checkpoint),
/// device_error, invalid_argument for rows in memory that the context cannot use.
template <class T>
Fit fit(const Context& context, const RowSource<T>& rows, const Options& options);
template <class T>
Fit fit(const Context& context, MatrixView<const T> rows, const Options& options);

/// What fit() would hold. Throws out_of_memory when memory_limit is too small for it.
template <class T>
Plan plan(const Context& context, const RowSource<T>& rows, const Options& options);

/// What rows look like under a model. Every output is optional (empty span, null view) and is sized
/// by the rows.
template <class T>
struct Outputs {
  std::span<std::int32_t> labels = {};    ///< nearest centroid, the lowest index on ties
  std::span<T> squared_distances = {};    ///< to that centroid
  MatrixView<T> distances = {};           ///< [N, K], not squared
  MemorySpace space = MemorySpace::host;  ///< of every output; device: with a CUDA context only
};
struct Summary {
  double inertia = 0.0;  ///< sum of squared distances to the nearest centroids
};
template <class T>
Summary evaluate(const Context& context, const Model& model, const RowSource<T>& rows,
                 const Outputs<T>& outputs = {});

template <class T>
void predict(const Context& context, const Model& model, MatrixView<const T> rows,
             std::span<std::int32_t> out, MemorySpace space = MemorySpace::host);
/// Distances to all centroids, [N, K].
template <class T>
void transform(const Context& context, const Model& model, MatrixView<const T> rows,
               MatrixView<T> out);
/// Inertia of the rows.
template <class T>
double score(const Context& context, const Model& model, MatrixView<const T> rows);

/// Reorders clusters by count, largest first; ties keep their order.
void order_by_weight(Model& model);

/// safetensors with tensors `centroids`, `counts` (float64) and metadata.
void save(const Model& model, const std::string& path, const std::string& options_json = "{}");
/// Throws io_error for a damaged file or one of another method, data_error for tensors that are no
/// clustering. `counts` may be missing: zeros.
Model load(const std::string& path);

const char* name(Init init);      ///< "kmeans++", "kmeans-parallel", "random"
const char* name(Empty empty);    ///< "relocate", "keep", "error"
const char* name(Metric metric);  ///< "euclidean", "cosine"

}  // namespace culatent::kmeans
