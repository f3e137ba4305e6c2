#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "culatent/tsne.hpp"
#include "host/affinities.hpp"
#include "kernels/tsne.hpp"

namespace culatent::affinities {
struct DeviceGraph;
}

/// What the parts of t-SNE share.
namespace culatent::tsne {

/// Rows up to which the exact repulsion is faster on the CPU: at 3000 rows it takes as long as the
/// grid of an embedding of span 60 (2 threads).
inline constexpr std::int64_t kExactRows = 3000;
/// The same on a CUDA device: counted, not measured. All pairs of so many take 0.05 ms of an H200,
/// as long as starting the kernels of the grid.
inline constexpr std::int64_t kExactRowsOnDevice = 16'384;
/// Rows up to which divergence() takes the affinities of all pairs.
inline constexpr std::int64_t kDenseDivergenceRows = 2000;

/// As people write it: 30, 0.5, 1e-07.
std::string number_text(double value);

/// Throws invalid_argument for options that no data could make right.
void check_options(const Options& options);
/// Throws data_error for rows that the options do not fit.
void check_rows(std::int64_t n_rows, std::int64_t n_features, const Options& options);
/// The same for positions given, [N, q] and finite. `what`: "the start", "the embedding".
void check_positions(MatrixView<const float> positions, std::int64_t n_rows, const char* what);
/// These checked and dense.
Matrix<float> dense_positions(MatrixView<const float> positions, std::int64_t n_rows,
                              const char* what);

/// Neighbours of a row; N − 1: all pairs.
std::int64_t choose_neighbors(std::int64_t n_rows, const Options& options,
                              std::int64_t dense_rows = kDenseRows);
Repulsion choose_repulsion(std::int64_t n_rows, const Options& options, bool on_device);
/// Nodes of the grid in a dimension: embeddings of N rows are about √N / 2 wide, and keep spacing
/// 1/4 up to four times that.
std::int64_t choose_most_nodes(std::int64_t n_rows);

/// Affinities of the rows, and what is told of them.
struct Prepared {
  affinities::Graph graph;  ///< empty where a device has it and the host needs it not
  std::shared_ptr<const affinities::DeviceGraph> device_graph;  ///< of prepare_on_device()
  std::int64_t n_affinities = 0;
  std::int64_t n_unreached = 0;  ///< rows whose perplexity was not reached
  double entropy = 0.0;          ///< sum p log p
  double total = 0.0;            ///< sum p, 1 but for rounding
  double recall = 1.0;
  bool interrupted = false;  ///< the observer ended the search; there is no graph then
  std::vector<Warning> warnings;

  AffinityRows view() const { return {graph.starts, graph.columns, graph.values}; }
};
/// The search for neighbours that affinities are made of.
neighbors::Options neighbor_options(const Options& options, std::int64_t n_neighbors,
                                    std::uint64_t seed = 0);
/// What prepare() would hold. Throws out_of_memory when memory_limit is too small for it.
Plan plan_affinities(const Context& context, const RowSource<float>& rows, const Options& options,
                     std::int64_t n_neighbors);
Prepared prepare(const Context& context, const CpuBackend& backend, const RowSource<float>& rows,
                 const Options& options, std::int64_t n_neighbors, std::uint64_t seed);

/// Throws data_error where all `n_rows` rows equal their neighbours.
void check_apart(std::int64_t n_equal, std::int64_t n_rows, std::int64_t n_neighbors);
/// Sets n_unreached, and the warning that tells of it.
void tell_unreached(std::int64_t n_unreached, Prepared& prepared);

/// KL(P‖Q) from sum p log(1 + d²) and Z.
double divergence_of(const Prepared& prepared, double energy, double partition);

/// Where the descent begins, [N, q]: the options' start, or by their init.
Matrix<float> start_positions(const Context& context, const CpuBackend& backend,
                              const RowSource<float>& rows, const Prepared& prepared,
                              const Options& options, std::uint64_t seed);

}  // namespace culatent::tsne
