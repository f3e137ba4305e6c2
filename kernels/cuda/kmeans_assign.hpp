#pragma once

#include <cstdint>
#include <limits>

#include "host/exact_sum_bins.hpp"
#include "kernels/backend.hpp"
#include "kernels/kmeans_rounding.hpp"

/// The CUDA steps of k-means as a method: what kernels/kmeans.hpp has for the CPU, with the same
/// labels and the same integer sums. Pointers are to device memory, calls are ordered on
/// backend.device.stream() and do not wait. N rows, D features, K clusters.
namespace culatent::kmeans {

/// Rows and the coordinates that they are clustered in: x'_ij = (x_ij scale + offset_j) factor_i.
template <class T>
struct ClusterRows {
  const T* data = nullptr;          // row i at data + i * stride
  const double* weights = nullptr;  // [N], null: all 1
  std::int64_t n_rows = 0;          // at most 2³² − 1
  std::int64_t n_features = 0;
  std::int64_t stride = 0;
  T scale{1};                  // a power of two
  const T* offset = nullptr;   // [D] −centre * scale
  const T* factors = nullptr;  // [N] 1 / |x'|, see unit_factors(); null: all 1
};

/// Elements of a row of DeviceCentroids::packed.
CULATENT_HOST_DEVICE constexpr std::int64_t packed_clusters(std::int64_t n_clusters) {
  return (n_clusters + 127) / 128 * 128;
}

/// Centroids (or candidates) in the coordinates; the caller's memory, of which prepare_centroids()
/// fills packed, offsets and longest.
///
/// Centroids longer than `beyond` are left out of every screen by scores: their offset is the
/// lowest number, which no row's score rises above. A screen has therefore found the nearest
/// centroid only where its best score also passes beats_far() (kernels/kmeans_rounding.hpp); other
/// rows are in doubt, and a second look at all centroids decides. `packed` and `values` hold all of
/// them.
template <class T>
struct DeviceCentroids {
  const T* values = nullptr;  // [K, D]
  std::int64_t n_clusters = 0;
  T* packed = nullptr;  // [D, packed_clusters(K)] the transpose, then 0
  T* offsets =
      nullptr;  // [packed_clusters(K)] −|c|² / 2, then, and for far ones, the lowest number
  T* longest = nullptr;                           // max |c| of those not left out
  T beyond = std::numeric_limits<T>::infinity();  // far_beyond() of `values`; infinity: all are in
};

/// What passes add up. `kNoRow` in zero_row and 0 elsewhere to begin with.
struct PassCounters {
  static constexpr unsigned long long kNoRow = ~0ULL;
  unsigned long long n_moved = 0;        // rows of positive weight whose label changed
  unsigned long long n_refined = 0;      // rows that took a look in double
  unsigned long long n_screened = 0;     // rows that a screen left to another screen
  unsigned long long zero_row = kNoRow;  // the first row of positive weight without a direction
};

/// Rows that nearest() leaves to its second look: scratch.
struct DeviceDoubts {
  std::uint32_t* rows = nullptr;   // [N]
  std::uint32_t* count = nullptr;  // one
};

/// FixedPoint (host/fixed_sums.hpp) on the device.
struct DeviceFixedPoint {
  const double* units = nullptr;  // [D + 1]
  double fine = 1.0;
  int n_limbs = 1;
};

template <class T>
void prepare_centroids(const CudaBackend& backend, std::int64_t n_features,
                       const DeviceCentroids<T>& centroids);

/// factors[i] = 1 / |x'_i|, 0 where there is no direction; `rows` without factors. Rows are counted
/// from `first_row` in counters->zero_row (`counters` null: not wanted). The length is summed
/// feature by feature with one rounding each, as on the CPU, so that x' has the same bits; that of
/// rows whose squares vanish by unit_factor(), one thread a row.
///   flops: 2 N D     bytes: N D sizeof(T)
template <class T>
void unit_factors(const CudaBackend& backend, const ClusterRows<T>& rows, std::int64_t first_row,
                  T* factors, PassCounters* counters);

/// labels[i] = the centroid nearest to x'_i, the lowest of several. Scores x' · c − |c|² / 2 in T
/// find the two nearest; where these are closer than rounding errors, or one beyond
/// DeviceCentroids::beyond may be nearer, differences in double decide, in the CPU's order of
/// additions. `counters` (null: not wanted, and labels may hold anything)
/// receives how many of the labels were others before.
///   flops: 2 N K D     bytes: N D sizeof(T), from L2 ceil(K / 128) times
template <class T>
void nearest(const CudaBackend& backend, const ClusterRows<T>& rows,
             const DeviceCentroids<T>& centroids, const DeviceDoubts& doubts, std::int32_t* labels,
             PassCounters* counters);

/// What a screen ends with: the labels of the rows that are in doubt, by differences in double, and
/// their count in counters->n_refined.
///   flops: 3 K D in double a row in doubt
template <class T>
void look_again(const CudaBackend& backend, const ClusterRows<T>& rows,
                const DeviceCentroids<T>& centroids, const DeviceDoubts& doubts,
                std::int32_t* labels, PassCounters* counters);

/// squared_distances[i] = unit² |x'_i − c|² to the centroid of labels[i] (null: not wanted), by
/// differences. `partials` receives sum w unit² |x' − c|² of every block of kBlockRows rows (null:
/// not wanted); rows without weight add nothing.
///   flops: 3 N D     bytes: N D sizeof(T)
template <class T>
void own_distances(const CudaBackend& backend, const ClusterRows<T>& rows, const T* centroids,
                   double unit, const std::int32_t* labels, T* squared_distances, double* partials);

/// Adds w x' and w of all rows to sums [limbs, K, D + 1] of the clusters of their labels, as
/// Statistics::sums. Integers, so any schedule gives the same bits.
///   operations: N (D + 1) limbs atomic additions     bytes: N D sizeof(T)
template <class T>
void add_members(const CudaBackend& backend, const ClusterRows<T>& rows, const std::int32_t* labels,
                 const DeviceFixedPoint& fixed, std::int64_t n_clusters, std::int64_t* sums);

/// least[i] = min(least[i], |x'_i − c|²) over the candidates; 0 for rows without weight, which may
/// lie anywhere. `potentials` receives sum w least of every block of kBlockRows rows, added in the
/// order of the rows.
///   flops: 3 N D K
template <class T>
void lower_distances(const CudaBackend& backend, const ClusterRows<T>& rows,
                     const DeviceCentroids<T>& candidates, T* least, double* potentials);

/// partials[b, c] = sum w min(least, |x' − c|²) over the rows of block b of kBlockRows, for each of
/// the K candidates by itself.
///   flops: 3 N D K
template <class T>
void try_candidates(const CudaBackend& backend, const ClusterRows<T>& rows,
                    const DeviceCentroids<T>& candidates, const T* least, double* partials);

}  // namespace culatent::kmeans
