#pragma once

#include <cstdint>

#include "host/neighbors.hpp"

/// The inverted file: rows in the lists of k-means centroids.
namespace culatent::neighbors {

/// Bytes beside the rows, screens, candidates and result, of which there are more positions:
/// extra_positions() of them.
std::int64_t ivf_bytes(const Options& options, std::int64_t n_rows, std::int64_t n_queries,
                       std::int64_t n_features, int n_workers);
std::int64_t extra_positions(const Options& options, std::int64_t n_rows);

/// Neighbours by lists, with their recall. `both`: the queries are the rows.
void search_lists(const CpuBackend& backend, MatrixView<const float> rows,
                  MatrixView<const float> queries, bool both, const Options& options,
                  SearchProgress& progress, Neighbors& result);

}  // namespace culatent::neighbors
