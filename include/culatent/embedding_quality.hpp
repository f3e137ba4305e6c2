#pragma once

#include <cstdint>
#include <span>

#include "culatent/context.hpp"
#include "culatent/rows.hpp"

/// How much of the data's neighbourhoods an embedding keeps. Row i of the embedding is where row i
/// of the data went. Values are scikit-learn's where it has them.
///
/// Up to Options::sample_rows rows every row is asked; beyond, as many rows spread evenly, each
/// against all others, so that the time stays O(N D) a row asked. No bit depends on threads.
namespace culatent::embedding_quality {

struct Options {
  int n_neighbors = 5;                ///< k
  std::int64_t sample_rows = 10'000;  ///< rows that are asked at most, at least 1
};

struct Quality {
  /// 1 less the penalty for rows that are among the k nearest in the embedding and not in the data,
  /// by their ranks in the data (Venna & Kaski 2001): 1 when there are none.
  double trustworthiness = 0.0;
  /// Mean share of a row's k nearest neighbours in the data that are so in the embedding.
  double neighbour_preservation = 0.0;
  std::int64_t n_rows_used = 0;
};

/// Distances are sums of squared differences of the float values in double; of two that are equal
/// the lower row is nearer. Never N x N in memory.
///
/// Throws invalid_argument (options; k ≥ N / 2, where trustworthiness is not defined), data_error
/// (no rows, embedding and rows of different number, NaN or infinite values), out_of_memory
/// (memory_limit), io_error.
Quality quality(const Context& context, const RowSource<float>& rows,
                const RowSource<float>& embedding, const Options& options = {});

/// Share of rows whose label is that of most of their k nearest neighbours in the embedding, the
/// row itself left out; ties go to the label of the nearest among those tied. O(N q) a row asked.
///
/// Throws as quality(), where k may be up to N − 1, and data_error for labels of another number.
double knn_accuracy(const Context& context, const RowSource<float>& embedding,
                    std::span<const std::int64_t> labels, const Options& options = {});

}  // namespace culatent::embedding_quality
