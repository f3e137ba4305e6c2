#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "culatent/context.hpp"
#include "culatent/matrix.hpp"
#include "culatent/rows.hpp"

/// The k nearest neighbours of every row, in Euclidean distance.
///
///     culatent::Context context;
///     auto found = neighbors::search(context, X, {.n_neighbors = 15});
///     found.indices(i, 0);  // the row nearest to row i
///
/// N rows, M queries, D features, k neighbours.
namespace culatent::neighbors {

enum class Method {
  /// All pairs are looked at. Neighbours are those of exact arithmetic on the float values: sums of
  /// squared differences in double decide, ties go to the lower index.
  exact,
  /// Only the rows of the k-means lists whose centroids are nearest to the query's: an inverted
  /// file (Jégou, Douze & Schmid 2011). Distances are exact, some neighbours are missed; how many
  /// is measured (Neighbors::recall).
  ivf,
};

struct Options {
  int n_neighbors = 15;
  Method method = Method::exact;
  int n_lists = 0;  ///< ivf: lists; 0: about 4 √N, of 40 rows or more
  /// ivf: lists looked at a query, its own included; 0: as few as find 95 % of the neighbours of
  /// the sample, at most about 2 √lists. Among rows, a list also looks at those that look at it.
  int n_probes = 0;
  std::int64_t recall_rows = 1000;  ///< ivf: queries that are also searched exactly, at least 1
  std::optional<std::uint64_t> seed = {};  ///< ivf: of the lists; drawn when absent
};

struct Neighbors {
  Matrix<std::int32_t> indices;  ///< [M, k] nearest first
  /// [M, k] in double: as float, those of data far below or above 1 would vanish or overflow.
  Matrix<double> squared_distances;
  double recall = 1.0;  ///< ivf: share of true neighbours that were found, of recall_rows queries
  int n_lists = 0;      ///< ivf: as chosen
  int n_probes = 0;     ///< ivf: as chosen
  std::uint64_t seed = 0;    ///< ivf
  bool interrupted = false;  ///< the observer ended the search: there are no neighbours
  Seconds seconds;
  Plan plan;
  std::vector<Warning> warnings;  ///< "low_recall": below 0.9

  std::int64_t n_neighbors() const { return indices.cols(); }
};

/// The neighbours of every row among the others; a row is not its own neighbour, another row that
/// is equal to it may be.
///   exact: flops N² D at most (each pair once; a CUDA device: 2 N² D, on tensor cores where it has
///     them), never N x N in memory; memory as plan()
///   ivf: about n_probes / n_lists of that, and 2 N n_lists D for the lists
/// The bits do not depend on threads, those of exact searches not on the device either. A CUDA
/// context's rows may lie in its memory; the matrices come to the host. The observer is told about
/// how many per cent are done (Progress::iteration, phase "neighbors"); when it ends the search the
/// matrices are empty. Far outliers cost only their own time; on the CPU, rows near each other in
/// few dimensions are found without a look at all pairs. Throws invalid_argument (options, memory
/// that the context cannot use), data_error (k ≥ N, NaN or infinite values, naming the first; about
/// 2^31 rows), out_of_memory (plan above the limit), io_error (rows).
Neighbors search(const Context& context, const RowSource<float>& rows, const Options& options);
Neighbors search(const Context& context, MatrixView<const float> rows, const Options& options);

/// The neighbours of every query among the rows; an equal row is a neighbour at distance 0.
///   exact: flops 2 N M D
/// Throws as above (k > N), data_error for queries of another width.
Neighbors search(const Context& context, const RowSource<float>& rows,
                 const RowSource<float>& queries, const Options& options);

/// What search() among the rows themselves would hold, its result included.
Plan plan(const Context& context, const RowSource<float>& rows, const Options& options);

const char* name(Method method);  ///< "exact", "ivf"

}  // namespace culatent::neighbors
