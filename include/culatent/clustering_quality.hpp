#pragma once

#include <cstdint>
#include <span>

#include "culatent/context.hpp"
#include "culatent/rows.hpp"

/// How good a clustering is: against labels that are known, and by its own geometry.
///
///     clustering_quality::adjusted_rand(known, labels);
///     clustering_quality::silhouette<float>(context, rows, labels).value;
///
/// One label a row. A label may be any number; what counts is which rows share one. Values and
/// degenerate cases are scikit-learn's. No bit of a result depends on threads, chunks, or on how
/// the labels are named. Rows must be in host memory.
///
/// All throw data_error: no rows, labels and rows (or labels and labels) of different number.
namespace culatent::clustering_quality {

/// Adjusted Rand index (Hubert & Arabie 1985): agreement of two clusterings on pairs of rows, about
/// 0 for labels drawn at random, 1 for the same clusters. 1 where both put all rows in one cluster,
/// or every row in its own. Pairs are counted in integers, exactly up to 2^62 rows.
/// O(N) time; memory for the pairs of labels that occur.
double adjusted_rand(std::span<const std::int64_t> a, std::span<const std::int64_t> b);

/// Mutual information of two clusterings over the mean of their entropies (Strehl & Ghosh 2002,
/// with the arithmetic mean), from 0 to 1. 1 where both have one cluster.
/// O(N) time; memory for the pairs of labels that occur.
double normalized_mutual_information(std::span<const std::int64_t> a,
                                     std::span<const std::int64_t> b);

struct SilhouetteOptions {
  std::int64_t sample_rows = 10'000;  ///< rows used at most, at least 2
  std::uint64_t seed = 0;             ///< of the sample
};

struct Silhouette {
  double value = 0.0;            ///< mean over the rows used, from −1 to 1
  std::int64_t n_rows_used = 0;  ///< all rows, or sample_rows of them
};

/// Mean of (b − a) / max(a, b) (Rousseeuw 1987), a the mean Euclidean distance of a row to the
/// others of its cluster, b the least mean distance to the rows of another cluster; 0 for a row
/// that is alone in its cluster.
///
/// Up to sample_rows rows: exact. Beyond: the silhouette of a random sample of that many rows, one
/// from each of as many equal stretches of the data; only these are read, and a cluster is what the
/// sample has of it. O(M² D) time and O(M D) memory for M rows used, never M x M.
///
/// Also throws invalid_argument (sample_rows), data_error for fewer than 2 clusters or as many as
/// rows used, and for NaN or infinite values in a row used, naming the first; out_of_memory
/// (memory_limit, against which labels do not count), io_error (rows).
template <class T>
Silhouette silhouette(const Context& context, const RowSource<T>& rows,
                      std::span<const std::int64_t> labels, const SilhouetteOptions& options = {});

/// Mean over clusters of the greatest (s_i + s_j) / |c_i − c_j| (Davies & Bouldin 1979), s the mean
/// distance of a cluster's rows to their centroid c; lower is better, at least 0. Pairs of
/// centroids that coincide, to rounding, are left out.
///
/// Two passes over the rows. O(N D + K² D) time and O(K D) memory for K clusters.
///
/// Also throws data_error for fewer than 2 clusters or as many as rows, and for NaN or infinite
/// values, naming the first; out_of_memory (memory_limit, as above), io_error (rows).
template <class T>
double davies_bouldin(const Context& context, const RowSource<T>& rows,
                      std::span<const std::int64_t> labels);

}  // namespace culatent::clustering_quality
