#pragma once

#include <cstdint>

#include "kernels/backend.hpp"

/// The steps that turn neighbours into a graph of affinities, on a CUDA device. N rows, k
/// neighbours. Pointers are to device memory. Calls are ordered on backend.device.stream() and do
/// not wait. Atomic additions are of integers, and what they leave in any order is sorted: the same
/// input gives the same bits.
namespace culatent::affinities {

/// Squared distances to the neighbours of each row.
struct DeviceSquares {
  const double* data;  // [N, k] ascending in a row; 0, or squares of floats' differences
  std::int64_t n_rows;
  std::int64_t n_neighbors;
};

/// Bandwidth of host/affinities.hpp.
struct DeviceBandwidth {
  const double* entropies = nullptr;  // [n_scales] log perplexity
  int n_scales = 0;
  double beta = 0.0;  // where there are no scales
};

/// What is counted of rows; adds to what was there.
struct RowCounts {
  unsigned long long n_unreached;  // an entropy was not reached
  unsigned long long n_equal;      // equal to all their neighbours
};

/// conditional() of host/affinities.hpp. `beta`: [N] of the first scale; or null.
///   per distance and scale: about 8 exponentials in double     bytes: 12 N k
void conditional(const CudaBackend& backend, const DeviceSquares& squares,
                 const DeviceBandwidth& bandwidth, float* conditional, double* beta,
                 RowCounts* counts);

/// counts[i] = in how many rows row i is a neighbour.
///   bytes: 4 N k, and as many atomic additions
void count_incoming(const CudaBackend& backend, const std::int32_t* indices, std::int64_t size,
                    std::int64_t n_rows, std::int32_t* counts);

/// Edges out of a row and into it, in the order of their columns: column << 32 | bits of the value.
using EdgeKey = unsigned long long;

/// Row i has k + (incoming_starts[i + 1] − incoming_starts[i]) edges, the k out of it first.
struct EdgeSlots {
  EdgeKey* keys;                        // [2 N k]
  const std::int64_t* incoming_starts;  // [N + 1]
  std::int64_t n_rows;
  std::int64_t n_neighbors;
};

/// Puts every p_j|i into rows i and j. `counts` of count_incoming() are 0 then.
///   bytes: 8 N k read, 16 N k written, half of them to any place
void scatter_edges(const CudaBackend& backend, const std::int32_t* indices,
                   const float* conditional, const EdgeSlots& slots, std::int32_t* counts);

/// Sorts each row's edges; sizes[i] = the columns of row i. `long_rows`: [N + 1] scratch.
///   bytes: 32 N k     for k = 90 about 400 integer instructions a key
void sort_edges(const CudaBackend& backend, const EdgeSlots& slots, std::int32_t* sizes,
                std::int32_t* long_rows);

/// columns and values = (p_j|i + p_i|j) / 2 N of sorted edges, row i from starts[i].
///   bytes: 16 N k read, 8 E written
void merge_edges(const CudaBackend& backend, const EdgeSlots& slots, const std::int64_t* starts,
                 std::int32_t* columns, float* values);

/// What each sum of graph_sums() comes in, to be added up in order.
std::int64_t graph_parts(std::int64_t size);

/// parts[b] = shares of sum p, parts[graph_parts() + b] of sum p log p.
///   per value: one logarithm in double
void graph_sums(const CudaBackend& backend, const float* values, std::int64_t size, double* parts);

}  // namespace culatent::affinities
