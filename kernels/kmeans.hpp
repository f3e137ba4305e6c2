#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "host/exact_sums.hpp"
#include "kernels/backend.hpp"

/// The steps of k-means (METHODS: K-means), in the coordinates of a Frame. K clusters, D features.
namespace culatent::kmeans {

/// Where each statistic lies in the vector of sums over rows.
struct Layout {
  Layout(std::int64_t n_clusters, std::int64_t n_features)
      : sums(2 + n_clusters), size(sums + checked_product(n_clusters, n_features)) {}

  static constexpr std::int64_t kWeight = 0;   // sum w
  static constexpr std::int64_t kInertia = 1;  // sum w min_k |metric (x' − centroid_k)|²
  static constexpr std::int64_t counts = 2;    // [K] sum w of the rows nearest to k
  std::int64_t sums;                           // [K, D] sum w x'
  std::int64_t size;
};

/// The row farthest from its centroid; the lower index on ties. −1: none yet.
struct Farthest {
  double distance = -1.0;
  std::int64_t row = -1;
};

/// Scratch of one worker of the CPU steps.
template <class T>
struct CpuScratch {
  CpuScratch(std::int64_t n_clusters, std::int64_t n_features, bool in_place);
  static std::int64_t bytes(std::int64_t n_clusters, std::int64_t n_features, bool in_place);

  Matrix<T> block;           // [kBlockRows, D] for sources that are not in place
  Matrix<T> x;               // [D, stride] staged rows
  Matrix<T> distance;        // [16, stride] to the centroids at hand
  Matrix<T> least;           // [1, stride]
  std::vector<int> label;    // [kTileRows]
  std::vector<double> sums;  // of the block, by Layout
};

/// Assigns the chunk's rows to the nearest centroid (lowest index on ties) and adds their
/// statistics to `sums`. `metric` [D] scales each feature of the distance. No N x K matrix.
///   flops: 4 N K D + 2 N D     bytes: N D sizeof(T)
template <class T>
void assign(const CpuBackend& backend, std::vector<CpuScratch<T>>& workspace,
            const RowChunk<T>& chunk, const Frame& frame, std::span<const T> metric,
            const Matrix<T>& centroids, ExactSums& sums, Farthest& farthest);

}  // namespace culatent::kmeans
