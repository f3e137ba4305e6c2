#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "host/exact_sums.hpp"
#include "host/fixed_sums.hpp"
#include "kernels/backend.hpp"
#include "kernels/kmeans_rounding.hpp"

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

// ---- K-means as a method ------------------------------------------------------------------------

/// What rows are clustered in: x' = (x − centre) · scale with one scale, a power of two, for all
/// features, so that distances are those of the data; divided by their length for Metric::cosine.
struct Coordinates {
  Frame frame;
  bool unit_length = false;
  std::vector<double> reach;  ///< [D] powers of two: |x'_j| ≤ reach_j
};

/// A label for every row, in 1, 2 or 4 bytes by the number of clusters. Rows may be set from
/// several threads.
class Labels {
 public:
  Labels(std::int64_t n_rows, std::int64_t n_clusters)
      : width_(width(n_clusters)), bytes_(static_cast<std::size_t>(n_rows * width_)) {}
  static std::int64_t bytes(std::int64_t n_rows, std::int64_t n_clusters) {
    return checked_product(n_rows, width(n_clusters));
  }

  /// Stores the label and returns the one before.
  std::int64_t exchange(std::int64_t row, std::int64_t label) {
    unsigned char* at = bytes_.data() + row * width_;
    std::uint32_t before = 0;
    std::memcpy(&before, at, static_cast<std::size_t>(width_));
    const auto now = static_cast<std::uint32_t>(label);
    std::memcpy(at, &now, static_cast<std::size_t>(width_));
    return before;
  }

 private:
  static int width(std::int64_t n_clusters) {
    return n_clusters <= 256 ? 1 : n_clusters <= 65536 ? 2 : 4;
  }
  int width_;
  std::vector<unsigned char> bytes_;
};

/// What a pass adds up.
struct Statistics {
  Statistics(const FixedPoint& fixed, std::int64_t n_clusters)
      : sums(static_cast<std::size_t>(
            checked_product(fixed.n_limbs * n_clusters, fixed.n_columns()))) {}
  void clear();
  /// sum w x'_j of cluster k; j = D: sum w.
  double sum(const FixedPoint& fixed, std::int64_t k, std::int64_t j) const {
    const auto at = static_cast<std::size_t>(k * fixed.n_columns() + j);
    return fixed.value(j, sums[at], fixed.n_limbs == 1 ? 0 : sums[sums.size() / 2 + at]);
  }
  double count(const FixedPoint& fixed, std::int64_t k) const {
    return sum(fixed, k, fixed.n_columns() - 1);
  }

  std::vector<std::int64_t> sums;  ///< [limbs, K, D + 1] of FixedPoint: sum w x', then sum w
  ExactSums inertia{1};            ///< sum w |x' − c|²
  std::int64_t n_moved = 0;        ///< rows whose label changed
  std::int64_t n_refined = 0;      ///< rows that took a second look
  std::int64_t zero_row = -1;      ///< Coordinates::unit_length: the first row without a direction
};

/// The centroids of a pass on the CPU, and scratch of its workers.
template <class T>
struct CpuAssignment {
  /// `fixed` null: for labels and distances alone.
  CpuAssignment(const CpuBackend& backend, std::int64_t n_clusters, std::int64_t n_features,
                bool in_place, const FixedPoint* fixed);
  static std::int64_t bytes(std::int64_t n_clusters, std::int64_t n_features, bool in_place,
                            int n_workers, int n_limbs);
  /// [K, D] in the coordinates.
  void set_centroids(const Coordinates& coordinates, const Matrix<T>& centroids);

  Matrix<T> centroids;
  std::vector<T> packed;   // in groups, see kernels/cpu/nearest.hpp; 0 for those left out
  std::vector<T> offsets;  // −|c|² / 2; the lowest number for those left out
  T longest{};             // max |c| of the others
  T beyond{};              // far_beyond(): longer ones are left out of the screen
  T scale{};               // x' = x * scale − shift
  std::vector<T> shift;

  struct Worker {
    Matrix<T> block;              // [kBlockRows, D] for sources that are not in place
    Matrix<T> x;                  // [D, kTileStride]
    std::vector<T> best, second;  // scores
    std::vector<T> norm, factor;  // |x'| before and 1 / |x'| after Coordinates::unit_length
    std::vector<std::int32_t> label;
    std::vector<std::int64_t> sums;  // as Statistics::sums
  };
  std::vector<Worker> workers;
};

/// Gives the chunk's rows the label of the nearest centroid (lowest index on ties) and adds their
/// statistics. Scores x · c − |c|² / 2 in T find the two nearest; where these are closer than
/// rounding errors, or a far centroid may be nearer (kernels/kmeans_rounding.hpp), differences in
/// double decide. No N x K matrix. `labels` (null: moves are not counted) holds those of the pass
/// before.
///   flops: 2 N K D + 5 N D     bytes: N D sizeof(T), twice (the second time from the cache)
template <class T>
void assign(const CpuBackend& backend, CpuAssignment<T>& assignment, const RowChunk<T>& chunk,
            const Coordinates& coordinates, const FixedPoint& fixed, Labels* labels,
            Statistics& statistics);

/// least[row] = min(least[row], |x' − c|²) over the candidates [count, D]; 0 for rows without
/// weight, which may lie anywhere. `least` has all rows of the source, `potentials` receives sum w
/// least of every block of kBlockRows of them.
///   flops: 3 N D count
template <class T>
void lower_distances(const CpuBackend& backend, CpuAssignment<T>& assignment,
                     const RowChunk<T>& chunk, const Coordinates& coordinates,
                     const Matrix<T>& candidates, std::span<T> least, std::span<double> potentials);

/// sums[c] += sum w min(least, |x' − candidate c|²), each candidate by itself.
///   flops: 3 N D count
template <class T>
void try_candidates(const CpuBackend& backend, CpuAssignment<T>& assignment,
                    const RowChunk<T>& chunk, const Coordinates& coordinates,
                    const Matrix<T>& candidates, std::span<const T> least, ExactSums& sums);

/// Where the results of a chunk go, row 0 first; null: not wanted.
template <class T>
struct Nearest {
  std::int32_t* labels = nullptr;
  T* squared_distances = nullptr;  ///< in the data's units
  MatrixView<T> distances = {};    ///< [rows, K], not squared
};
/// The same labels, written out, with distances in the data's units. Adds sum w |x − c|² to
/// `inertia`. Returns the first row without a direction (Coordinates::unit_length), −1: none.
template <class T>
std::int64_t find_nearest(const CpuBackend& backend, CpuAssignment<T>& assignment,
                          const RowChunk<T>& chunk, const Coordinates& coordinates,
                          const Nearest<T>& out, ExactSums& inertia);

}  // namespace culatent::kmeans
