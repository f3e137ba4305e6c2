#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "culatent/context.hpp"
#include "culatent/matrix.hpp"
#include "culatent/neighbors.hpp"
#include "culatent/rows.hpp"

/// t-SNE: an embedding in 1, 2 or 3 dimensions that keeps neighbours near (van der Maaten & Hinton
/// 2008).
///
///     culatent::Context context;
///     auto run = tsne::fit(context, X, {.perplexity = {30}, .seed = 7});
///     run.embedding(i, 0);
///
/// N rows, D features, q dimensions. Distances are those of float values; positions are float, sums
/// over pairs are in double across tiles. The same seed gives the same bits, for any number of
/// threads.
namespace culatent::tsne {

enum class Init {
  pca,       ///< the first q principal components, the first with standard deviation 1e-4
  random,    ///< normal, standard deviation 1e-4
  spectral,  ///< eigenvectors of the normalised affinities (Linderman & Steinerberger 2019)
};

/// How the repulsion of all pairs is summed.
enum class Repulsion {
  automatic,  ///< exact where it is faster, and in 3 dimensions; otherwise fft
  exact,      ///< every pair: O(N²) an iteration
  /// Through a grid and Fourier transforms: O(N + G log G) an iteration, G the points of a grid of
  /// spacing 1/4 that covers the embedding. Forces within 1e-3 of the exact ones. 1 and 2
  /// dimensions.
  fft,
};

/// Which pairs attract each other.
enum class Affinities {
  automatic,  ///< dense up to kDenseRows rows, otherwise sparse
  sparse,     ///< the 3 perplexity nearest neighbours of each row
  dense,      ///< all pairs: O(N²) memory
};
inline constexpr std::int64_t kDenseRows = 1000;

/// Values at an embedding after t updates.
struct TraceEntry {
  double gradient_norm = 0.0;  ///< of the objective at hand: exaggerated in the first iterations
  /// Of the affinities without exaggeration. NaN: not computed at this iteration.
  double kl = std::numeric_limits<double>::quiet_NaN();
};

/// What is told every Options::interval iterations.
struct Snapshot {
  int iteration = 0;                  ///< updates done
  double kl = 0.0;                    ///< exact with exact repulsion, otherwise to about 1e-5
  MatrixView<const float> embedding;  ///< [N, q], the host's, while the call lasts
};

struct Options {
  int n_dimensions = 2;
  /// Effective neighbours; several: the mean of the affinities of each (multiscale, Lee et al.
  /// 2015).
  std::vector<double> perplexity = {30.0};
  /// In place of perplexities: the same bandwidth for every row, in units of the data.
  std::optional<double> sigma = {};
  Affinities affinities = Affinities::automatic;
  neighbors::Method neighbors = neighbors::Method::exact;
  Repulsion repulsion = Repulsion::automatic;
  double early_exaggeration = 12.0;  ///< factor of the affinities in the first iterations
  int exaggeration_iter = 250;       ///< how many these are
  /// Absent: max(N / exaggeration / 4, 50) in each phase (Belkina et al. 2019).
  std::optional<double> learning_rate = {};
  double early_momentum = 0.5;  ///< while exaggerated
  double momentum = 0.8;
  int max_iter = 1000;         ///< updates, the exaggerated ones included
  double min_gradient = 1e-7;  ///< stop, once not exaggerated, when the gradient's norm is below
  Init init = Init::pca;
  Matrix<float> start = {};  ///< [N, q] positions to begin at; empty: by `init`
  /// Iterations between two looks at the objective, the observer and the snapshot.
  int interval = 50;
  /// Called after every interval and at the start. Returning false ends the fit.
  std::function<bool(const Snapshot&)> snapshot = {};
  std::optional<std::uint64_t> seed = {};  ///< drawn, and reported, when absent
  /// Of the descent, at the first end of an interval that every_iterations or every_seconds have
  /// passed at, and when observer or snapshot end the fit. A resumed fit finds neighbours and
  /// affinities again, which takes what it took, and ends with the bits of one that was never
  /// ended; observer and snapshot are called from the checkpoint's iteration on.
  CheckpointOptions checkpoint = {};
};

struct Fit {
  Matrix<float> embedding;  ///< [N, q]
  int n_iter = 0;
  bool converged = false;         ///< the gradient's norm fell below min_gradient
  bool interrupted = false;       ///< observer or snapshot ended it
  double kl = 0.0;                ///< KL(P‖Q) of `embedding`
  bool exact_kl = false;          ///< over all pairs; otherwise through the grid, to about 1e-5
  std::vector<TraceEntry> trace;  ///< n_iter + 1 entries
  Repulsion repulsion = Repulsion::exact;      ///< as chosen
  Affinities affinities = Affinities::sparse;  ///< as chosen
  std::int64_t n_affinities = 0;               ///< pairs (i, j), both orders, that attract
  double recall = 1.0;                         ///< of the neighbours
  /// Rows that have more equal nearest neighbours than the perplexity: these share evenly.
  std::int64_t n_unreached = 0;
  std::uint64_t seed = 0;
  Seconds seconds;  ///< init: neighbours, affinities and start
  Plan plan;
  std::vector<Warning> warnings;
};

/// Embeds the rows. O(N² D) for exact neighbours, then max_iter iterations of
/// O(affinities + repulsion).
/// On a CUDA device all but the start is made there; for a start of principal components the host
/// reads rows in its memory a few times. A seed then gives the same bits on any device of the same
/// architecture, with fft for the same Options::interval. Throws invalid_argument (options;
/// perplexity ≤ 1), data_error (perplexity ≥ N − 1, NaN, rows that are all equal, a start of
/// another shape), out_of_memory (plan above the limit), io_error (rows or checkpoint),
/// device_error.
Fit fit(const Context& context, const RowSource<float>& rows, const Options& options = {});
Fit fit(const Context& context, MatrixView<const float> rows, const Options& options = {});

/// What fit() would hold. Throws out_of_memory when memory_limit is too small for it.
Plan plan(const Context& context, const RowSource<float>& rows, const Options& options);

struct TransformOptions {
  double perplexity = 5.0;  ///< neighbours of a new row among the old ones
  int max_iter = 250;
  double exaggeration = 1.5;
  double learning_rate = 0.1;
  double momentum = 0.8;
};

/// Places new rows in a fixed embedding of `reference` (Poličar, Stražar & Zupan 2024): each starts
/// at the weighted median of its neighbours and descends its own divergence, so a row's place does
/// not depend on the others. [M, q]. On a CUDA device the descent runs there.
///   flops: of an iteration M (8 k + 400) beside the neighbours' search; in 3 dimensions 18 N M
/// Throws as fit(), and data_error for rows of another width, or an embedding of other rows.
Matrix<float> transform(const Context& context, const RowSource<float>& reference,
                        MatrixView<const float> embedding, const RowSource<float>& rows,
                        const TransformOptions& options = {});

/// KL(P‖Q) of any embedding of the rows, over all pairs: options as for fit(), of which those of
/// the affinities count. With Affinities::automatic P is dense up to 2000 rows. O(N²).
struct Divergence {
  double kl = 0.0;
  Affinities affinities = Affinities::dense;
};
Divergence divergence(const Context& context, const RowSource<float>& rows,
                      MatrixView<const float> embedding, const Options& options = {});

const char* name(Init init);              ///< "pca", "random", "spectral"
const char* name(Repulsion repulsion);    ///< "auto", "exact", "fft"
const char* name(Affinities affinities);  ///< "auto", "sparse", "dense"

}  // namespace culatent::tsne
