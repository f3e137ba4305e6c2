#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "culatent/matrix.hpp"
#include "kernels/backend.hpp"

/// Symmetric affinities of rows to their neighbours.
namespace culatent::affinities {

/// The bandwidths of rows.
struct Bandwidth {
  std::vector<double> perplexity;  ///< the mean of the affinities of each
  std::optional<double> sigma;     ///< in their place
};

/// Row i has columns[starts[i]] … ascending, without i itself. Values sum to 1.
struct Graph {
  std::vector<std::int64_t> starts;   ///< [N + 1]
  std::vector<std::int32_t> columns;  ///< [E]
  std::vector<float> values;          ///< [E]

  std::int64_t n_rows() const { return static_cast<std::int64_t>(starts.size()) - 1; }
  std::int64_t size() const { return static_cast<std::int64_t>(columns.size()); }
};

/// Neighbours of a row that perplexities need: 3 times the largest, N − 1 at most.
std::int64_t neighbors_of(const std::vector<double>& perplexity, std::int64_t n_rows);

/// conditional(i, j) = p of neighbour j of row i, [N, k], from squared distances [N, k], ascending.
/// Returns the rows whose perplexity was not reached. `beta`, where not empty: [N] of the first
/// perplexity.
std::int64_t conditional(const CpuBackend& backend, MatrixView<const double> squares,
                         const Bandwidth& bandwidth, MatrixView<float> conditional,
                         std::vector<double>* beta = nullptr);

/// p_ij = (p_j|i + p_i|j) / 2 N.
Graph symmetric(const CpuBackend& backend, MatrixView<const std::int32_t> indices,
                MatrixView<const float> conditional);

/// Bytes of a graph of N rows with k neighbours each, at most.
std::int64_t graph_bytes(std::int64_t n_rows, std::int64_t n_neighbors);
/// And of what is there while it is made from neighbours: these, and the edges before they are
/// merged.
std::int64_t making_bytes(std::int64_t n_rows, std::int64_t n_neighbors);

}  // namespace culatent::affinities
