#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "kernels/backend.hpp"

/// The steps of the search for nearest neighbours. N rows, M queries, D features, k neighbours.
///
/// Rows are compared by products in float, which give a lower and an upper bound of each distance
/// (Screen); what the bounds cannot tell apart is measured by squared_distance(). So neighbours are
/// those of (squared_distance, row), whatever the order of the work.
namespace culatent::neighbors {

inline constexpr int kPanelRows = 24;  ///< rows that lie together, feature by feature
inline constexpr int kGroupPanels = 8;
inline constexpr int kGroupRows = kPanelRows * kGroupPanels;
inline constexpr std::int64_t kDepth = 256;  ///< features summed before they join the total

/// What the screen computes in: y = (x − centre) * scale, one scale for all features, a power of
/// two.
struct Coordinates {
  std::vector<double> centre;  ///< [D] medians of some rows: an outlier does not move them
  double scale = 1.0;          ///< brings most rows near 1
};

/// From at most 1024 rows, evenly spread.
Coordinates choose_coordinates(MatrixView<const float> rows);

/// Twice what rounding may cost a product of two rows, over the sum of their squares:
///
/// Let a = (x − c) s be exact, y its float, u = 2^-24 and n = |y|². Then |a − y| <= u' |y|, u' just
/// above u (the difference is formed in double), and, with r = |y_i − y_j| <= |y_i| + |y_j|,
///   | |a_i − a_j|² − r² | <= 2 r u' (|y_i| + |y_j|) + ... <= 4 u' (n_i + n_j) + O(u²).
/// r² = n_i + n_j − 2 y_i · y_j. A product that passes through m roundings, in any order, fused or
/// not, is off by at most m u / (1 − m u) sum |y_ik y_jk| <= m u / (1 − m u) (n_i + n_j) / 2. So
///   | |a_i − a_j|² / 2 − ((n_i + n_j) / 2 − dot) | <= slack (n_i + n_j) / 2
/// for slack = (m + 4) u / (1 − ...); 8 in place of 4 covers u' − u, the u² and the sums in double
/// (of n, and of squared_distance() itself). m = kDepth + ceil(D / kDepth) as products are summed.
///
/// A value beyond ±kReach is moved there: moving into a box brings no two rows farther apart, so
/// lower bounds stay; there is no upper bound then. Values below 2^-149 vanish: D kUnderflow covers
/// all that is lost so.
double screen_slack(std::int64_t n_features);
inline constexpr double kReach = 0x1p40;
inline constexpr double kUnderflow = 0x1p-100;

/// Rows that lie together in space, or in a list.
struct Group {
  std::int64_t first_panel = 0;
  int n_panels = 0;            ///< at most kGroupPanels
  std::int32_t least_row = 0;  ///< lowest row number among them
};

/// Rows as the screen reads them. Half the squared distance of the rows at positions p and q, in
/// the coordinates, is between low[p] + low[q] − dot and high[p] + high[q] − dot.
struct Screen {
  /// `order` has a row for every position, −1 where a panel is not full; a group's positions begin
  /// with a new panel.
  Screen(const CpuBackend& backend, MatrixView<const float> rows, const Coordinates& coordinates,
         double slack, std::vector<std::int32_t> order, std::vector<Group> groups);
  static std::int64_t bytes(std::int64_t n_panels, std::int64_t n_groups, std::int64_t n_features);

  std::int64_t n_features() const { return rows.cols; }
  std::int64_t n_groups() const { return static_cast<std::int64_t>(groups.size()); }
  std::int64_t first(std::int64_t group) const {
    return groups[static_cast<std::size_t>(group)].first_panel * kPanelRows;
  }
  int size(std::int64_t group) const {
    return groups[static_cast<std::size_t>(group)].n_panels * kPanelRows;
  }
  const float* panel(std::int64_t p) const { return panels.data() + p * panels.cols(); }

  MatrixView<const float> rows;
  double scale;
  std::vector<std::int32_t> order;  ///< [P]
  std::vector<Group> groups;
  Matrix<float> panels;     ///< [P / kPanelRows, D kPanelRows] feature by feature
  Matrix<float> low, high;  ///< [1, P]; low is +inf where there is no row
  Matrix<float> box;        ///< [groups, 2 D] least and greatest value of each feature
};

/// Half the squared distance of the boxes of two groups in the coordinates, at most.
double group_separation(const Screen& queries, std::int64_t a, const Screen& rows, std::int64_t b);

/// dots[j * kPanelRows + i] = y_i · y_j of row i of panel a and row j of panel b.
///   flops: 2 kPanelRows² D
void panel_products(const float* a, const float* b, std::int64_t n_features, float* dots);

/// Scratch of one worker.
struct SearchWorker {
  SearchWorker(std::int64_t n_features, std::int64_t capacity);
  static std::int64_t bytes(std::int64_t n_features, std::int64_t capacity);

  struct Survivor {
    std::int32_t i, j;  // rows of the two groups
    float dot;
  };
  struct Exact {
    double squared;
    std::int32_t row, slot;
  };
  Matrix<float> dots;               // of a pair of groups, while features are summed
  std::vector<Survivor> survivors;  // pairs of a tile that the bounds do not rule out
  std::vector<double> upper;        // [capacity]
  std::vector<Exact> exact;         // [capacity]
  float limit_a[kGroupRows] = {};   // thresholds when the tile began
  float limit_b[kGroupRows] = {};
};

/// The nearest rows of every query so far, and a few that may be among them. Where queries and rows
/// are one screen, a row is no neighbour of itself and every pair serves both. Several threads may
/// work at once.
class Candidates {
 public:
  /// `own` has, for queries of another screen, the row that each one is, by its number in
  /// queries.order: it is left out. Empty: none. What is passed must outlive this.
  Candidates(const Screen& queries, const Screen& rows, std::span<const std::int32_t> own,
             std::int64_t k);
  static std::int64_t capacity(std::int64_t k);
  static std::int64_t bytes(std::int64_t n_positions, std::int64_t n_groups, std::int64_t k);

  /// Looks for neighbours of query group `a` in row group `b`; in one screen, also for those of
  /// `b` in `a`. Groups farther apart than all neighbours so far cost the comparison of their
  /// boxes.
  ///   flops: 2 D a pair of rows
  void join(std::int64_t a, std::int64_t b, SearchWorker& worker);

  /// The neighbours of group `a`, nearest first, to the rows of `indices` and `squared_distances`
  /// that queries.order names. The group must have been joined with at least k rows.
  void finish(std::int64_t a, SearchWorker& worker, MatrixView<std::int32_t> indices,
              MatrixView<double> squared_distances);

 private:
  bool take_limits(std::int64_t group, double apart, std::int32_t least_row, float* limits);
  void offer(std::int64_t a, std::int64_t b, bool swapped, SearchWorker& worker);
  void shrink(std::int64_t query, SearchWorker& worker);
  void measure(std::int64_t query, SearchWorker& worker) const;
  void settle(std::int64_t query, SearchWorker& worker);
  std::int32_t own_row(std::int64_t query) const;

  struct GroupState {
    std::mutex mutex;
    double reach;            // no neighbour of the group is farther
    std::int32_t worst_row;  // where that is 0: nor has a higher number
  };

  const Screen& queries_;
  const Screen& rows_;
  std::span<const std::int32_t> own_;
  std::int64_t k_;
  std::int64_t capacity_;
  Matrix<float> dots_;              // [P, capacity]
  Matrix<std::int32_t> positions_;  // [P, capacity] in rows_
  Matrix<std::int32_t> counts_;     // [1, P]
  Matrix<float> limits_;            // [1, P] dots of neighbours are at least limit + low
  Matrix<double> reaches_;          // [1, P] half the squared distance of the k-th, at most
  Matrix<std::int32_t> worst_;      // [1, P] row of the k-th where the reach is 0
  std::unique_ptr<GroupState[]> states_;
};

}  // namespace culatent::neighbors
