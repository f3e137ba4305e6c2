#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "host/exact_sums.hpp"
#include "kernels/backend.hpp"

/// The steps of clustering quality. K clusters, D features, M rows of a sample.
namespace culatent::clustering_quality {

/// What stands for the labels: 0 … K − 1 in the order in which they first appear, so that nothing
/// depends on their values.
class ClusterIds {
 public:
  explicit ClusterIds(std::span<const std::int64_t> labels);

  std::int64_t n_clusters() const { return static_cast<std::int64_t>(counts_.size()); }
  const std::vector<std::int64_t>& counts() const { return counts_; }  ///< [K] rows
  /// Of a label that the constructor saw. May be called from several threads.
  std::int64_t operator()(std::int64_t label) const { return ids_.find(label)->second; }
  static std::int64_t bytes(std::int64_t n_clusters);

 private:
  std::unordered_map<std::int64_t, std::int64_t> ids_;
  std::vector<std::int64_t> counts_;
};

/// Scratch of one worker of silhouettes().
struct SilhouetteScratch {
  explicit SilhouetteScratch(std::int64_t n_features);
  static std::int64_t bytes(std::int64_t n_features);

  Matrix<double> x;          // [D, kTileStride] rows of a tile
  Matrix<double> distances;  // [kStoredTile, kTileStride]
};

/// values[i] = silhouette of row i among `rows` [M, D], which lie cluster by cluster: those of k
/// are begins[k] … begins[k + 1] − 1. Distances are sums of squared differences in double.
///   flops: 3 M² D and M² roots
void silhouettes(const CpuBackend& backend, std::vector<SilhouetteScratch>& workspace,
                 MatrixView<const double> rows, std::span<const std::int64_t> begins,
                 std::span<double> values);

/// Larger values have no sums.
inline constexpr double kWidestValue = 1e300;

/// Scratch of one worker of the steps over all rows.
template <class T>
struct ClusterScratch {
  ClusterScratch(std::int64_t n_clusters, std::int64_t n_features, bool in_place);
  static std::int64_t bytes(std::int64_t n_clusters, std::int64_t n_features, bool in_place);

  Matrix<T> block;                    // [kBlockRows, D] for sources that are not in place
  std::vector<double> row;            // [D]
  std::vector<double> sums;           // [K, D] of the block at hand
  std::vector<char> seen;             // [K] does it have rows of that cluster?
  std::vector<std::int64_t> touched;  // clusters it has rows of
  double reach = 0.0;                 // max |x − shift| so far
  std::int64_t bad_row = -1;          // the first with a value that has no sum
  std::int64_t bad_column = -1;
  double bad_value = 0.0;
};

/// sums [K, D] += x − shift over the rows of each cluster.
///   flops: 2 N D     bytes: N D sizeof(T)
template <class T>
void sum_clusters(const CpuBackend& backend, std::vector<ClusterScratch<T>>& workspace,
                  const RowChunk<T>& chunk, std::span<const std::int64_t> labels,
                  const ClusterIds& ids, std::span<const double> shift, ExactSums& sums);

/// sums [K] += |x' − centroid| over the rows of each cluster, x' = (x − shift) scale.
///   flops: 4 N D     bytes: N D sizeof(T)
template <class T>
void sum_distances(const CpuBackend& backend, std::vector<ClusterScratch<T>>& workspace,
                   const RowChunk<T>& chunk, std::span<const std::int64_t> labels,
                   const ClusterIds& ids, std::span<const double> shift, double scale,
                   const Matrix<double>& centroids, ExactSums& sums);

/// greatest[i] = max over j of (spreads_i + spreads_j) / |c_i − c_j|, pairs nearer than `coincide`
/// left out.
///   flops: 3 K² D
void greatest_ratios(const CpuBackend& backend, const Matrix<double>& centroids,
                     std::span<const double> spreads, double coincide, std::span<double> greatest);

}  // namespace culatent::clustering_quality
