#pragma once

#include <optional>
#include <queue>
#include <span>
#include <vector>

#include "host/kmeans_method.hpp"

namespace culatent::kmeans {

/// Rows of a source, one below the other, in the data's units.
template <class T>
Matrix<T> gather(const CpuBackend& backend, const RowSource<T>& source,
                 std::span<const std::int64_t> rows);
/// Their weights, scaled.
template <class T>
std::vector<double> weights_of(const FitRows<T>& rows, std::span<const std::int64_t> some);
/// Brings rows into the coordinates.
template <class T>
void place(const Coordinates& coordinates, Matrix<T>& rows);

/// The rows that are farthest from their centroids, of all that it meets.
class FarthestRows {
 public:
  /// At most `count` of positive weight, none whose squared distance is `nothing` or less.
  FarthestRows(std::int64_t count, double nothing) : count_(count), nothing_(nothing) {}
  void meet(std::int64_t row, double squared_distance, double weight);
  /// Farthest first, lower rows first on ties. Leaves none.
  std::vector<std::int64_t> take();

 private:
  struct Far {
    double distance;
    std::int64_t row;
    bool operator<(const Far& other) const {  // farther first
      return distance > other.distance || (distance == other.distance && row < other.row);
    }
  };
  const std::int64_t count_;
  const double nothing_;
  std::priority_queue<Far> kept_;  // the least far on top
};

/// The rows of a fit on the CPU, and what its loop asks of them. Centroids and candidates are in
/// the coordinates, [count, D].
template <class T>
class CpuEngine {
 public:
  /// What is passed must outlive the engine.
  CpuEngine(const Context& context, const Plan& plan, const FitRows<T>& rows,
            const Coordinates& coordinates, const FixedPoint& fixed, const Options& options);

  static DataSummary scan(const Context& context, const Plan& plan, const RowSource<T>& rows,
                          std::span<const double> weights, const ScanOptions& options);

  /// One look at all rows. Without mini-batches, `n_moved` counts labels that are others than those
  /// of the pass before.
  void pass(const Matrix<T>& centroids, Statistics& statistics);
  /// The first row of positive weight without a direction (Coordinates::unit_length); −1: none.
  std::int64_t first_zero_row();
  /// One look at the rows of a mini-batch.
  void pass_batch(std::span<const std::int64_t> rows, const Matrix<T>& centroids,
                  Statistics& statistics);
  /// Of all rows, or of `among` when that is not empty, those of positive weight that are farthest
  /// from their nearest centroid: at most `count`, farthest first, lower rows first on ties, none
  /// whose squared distance is `nothing` or less.
  std::vector<std::int64_t> farthest(const Matrix<T>& centroids, std::int64_t count,
                                     std::span<const std::int64_t> among, double nothing);
  /// [K] weight of the rows that are nearest to each candidate, of which there may be many.
  std::vector<double> weights_near(const Matrix<T>& candidates);
  /// Rows in the coordinates.
  Matrix<T> fetch(std::span<const std::int64_t> rows) const;

  /// Every row's distance to the nearest of the centroids chosen so far, for seeding: none is
  /// chosen.
  void begin_seeding();
  /// Takes the candidates in. Returns sum w distance² of every block of kBlockRows rows.
  std::vector<double> lower(const Matrix<T>& candidates);
  /// The total that lower() would leave with each candidate alone.
  std::vector<double> try_out(const Matrix<T>& candidates);
  /// w distance² of rows [first, first + count).
  std::vector<double> shares(std::int64_t first, std::int64_t count) const;
  void end_seeding();

 private:
  const Context& context_;
  const CpuBackend backend_;
  const FitRows<T>& rows_;
  const Coordinates& coordinates_;
  const FixedPoint& fixed_;
  CpuAssignment<T> assignment_;
  std::optional<Labels> labels_;
  std::vector<T> least_;  // while seeds are chosen
};

}  // namespace culatent::kmeans
