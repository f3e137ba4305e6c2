#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "culatent/context.hpp"
#include "host/row_pass.hpp"
#include "kernels/kmeans.hpp"

/// k-means as the initialisation of other methods.
namespace culatent::kmeans {

/// Rows with a positive weight; the others are as good as absent.
std::int64_t counting_rows(std::span<const double> weights, std::int64_t n_rows);

/// Some rows of positive weight in the coordinates of a frame, one of each of `count` equal
/// stretches of them, drawn by (seed); all of them in order when count is their number or more.
/// Missing values become the centre.
template <class T>
struct RowSample {
  Matrix<T> rows;
  std::vector<double> weights;
};
std::vector<std::int64_t> choose_rows(std::span<const double> weights, std::int64_t n_rows,
                                      std::uint64_t seed, std::int64_t count);
template <class T>
RowSample<T> sample_rows(const CpuBackend& backend, const FitRows<T>& rows, const Frame& frame,
                         std::uint64_t seed, std::int64_t count);

/// Row i of `source` in the frame, to row `row` of `out`; missing values become the centre.
template <class T>
void copy_to_frame(MatrixView<const T> source, std::int64_t i, const Frame& frame, Matrix<T>& out,
                   std::int64_t row);

/// How many rows seeds are chosen from: enough for K clusters, little enough for memory and time.
std::int64_t seeding_rows(std::int64_t n_rows, std::int64_t n_clusters, std::int64_t n_features);

/// Greedy k-means++ (Arthur & Vassilvitskii 2007): each centre is the best of 2 + ⌊log K⌋ rows
/// drawn with probability proportional to weight times squared distance to the nearest centre so
/// far.
template <class T>
Matrix<T> choose_seeds(const CpuBackend& backend, const RowSample<T>& sample,
                       std::span<const T> metric, std::uint64_t seed, std::int64_t n_clusters);

/// What Lloyd's iterations ask of the rows, wherever these lie.
template <class T>
struct LloydRows {
  /// One pass at the given centroids: fills the sums of Layout, rounded, and notes the row farthest
  /// from its centroid where a cluster is empty.
  std::function<void(const Matrix<T>& centroids, std::span<double> sums, Farthest& farthest)>
      assign;
  /// Row `row` in the frame, to row k of `centroids`.
  std::function<void(std::int64_t row, Matrix<T>& centroids, std::int64_t k)> fetch;
};

/// Rows on the host, with scratch of their own. What is passed must outlive the result.
template <class T>
LloydRows<T> cpu_lloyd_rows(const Context& context, const CpuBackend& backend,
                            const FitRows<T>& rows, const Frame& frame, std::span<const T> metric,
                            std::int64_t n_clusters);

struct LloydOptions {
  int max_iter = 30;
  double tol = 1e-4;  ///< stop when the inertia falls by less than this share of itself
};
struct LloydResult {
  int n_iter = 0;
  std::int64_t n_relocated = 0;  ///< empty clusters moved to the farthest row
  double inertia = 0.0;          ///< in the frame, at the centroids before the last update
};

/// Lloyd's iterations over all rows from `centroids`, which become the result. `proceed` is asked
/// after every pass (inertia) and may end them.
template <class T>
LloydResult lloyd(const LloydRows<T>& rows, const LloydOptions& options, Matrix<T>& centroids,
                  const std::function<bool(double)>& proceed);

}  // namespace culatent::kmeans
