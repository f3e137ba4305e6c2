#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "culatent/matrix.hpp"
#include "kernels/backend.hpp"

/// The steps of the quality of embeddings. N rows, D features, k neighbours; some rows are asked
/// after, each against all others.
///
/// Distances are sums of squared differences of the float values in double; of two that are equal
/// the lower row is nearer. Rows are read in order, and one that is NaN or infinite ends the step
/// with a data_error that names the first, for any number of workers.
namespace culatent::embedding_quality {

/// Rows with what messages call them.
struct NamedRows {
  const RowSource<float>& source;
  const char* name;
};

struct Neighbour {
  double squared_distance;
  std::int64_t row;
  auto operator<=>(const Neighbour&) const = default;
};

/// Scratch of one worker, for rows of up to `n_features`. Wide rows and many neighbours make its
/// tiles smaller, not the scratch larger, down to 16 asked rows.
struct TileScratch {
  TileScratch(std::int64_t n_features, std::int64_t k);
  static std::int64_t bytes(std::int64_t n_features, std::int64_t k);
  static std::int64_t tile_rows(std::int64_t n_features, std::int64_t k);
  static std::int64_t block_rows(std::int64_t n_features);

  std::int64_t stride;              // elements from one feature or neighbour to the next
  Matrix<double> x;                 // [D, stride] the asked rows of a tile
  Matrix<float> buffer;             // [block_rows, D] what is read
  Matrix<double> others;            // [block_rows, a slab of features] the rows they are held to
  Matrix<double> distances;         // [block_rows, stride] squared
  std::vector<Neighbour> nearest;   // [stride, k] of each asked row
  Matrix<double> neighbours;        // [D, 16] some of them, as x
  Matrix<double> bounds;            // [k, stride] their squared distances in the data
  std::vector<std::int64_t> rows;   // [k, stride] and which they are
  std::vector<std::int64_t> ranks;  // [k, stride] rows nearer than they
};

/// What the data say of a row's k nearest neighbours in the embedding.
struct Kept {
  std::int64_t excess = 0;  ///< sum of max(0, rank in the data − k), ranks from 1
  std::int64_t shared = 0;  ///< how many are among the k nearest in the data
};

/// kept[i] for row asked[i].
///   flops per asked row: 3 N (D + q)
void compare_neighbourhoods(const CpuBackend& backend, std::vector<TileScratch>& workspace,
                            const NamedRows& data, const NamedRows& embedding,
                            std::span<const std::int64_t> asked, std::int64_t k,
                            std::span<Kept> kept);

/// winners[i] = the label of most of the k nearest neighbours of row asked[i]; of those tied that
/// of the nearest.
///   flops per asked row: 3 N q
void vote(const CpuBackend& backend, std::vector<TileScratch>& workspace,
          const NamedRows& embedding, std::span<const std::int64_t> labels,
          std::span<const std::int64_t> asked, std::int64_t k, std::span<std::int64_t> winners);

}  // namespace culatent::embedding_quality
