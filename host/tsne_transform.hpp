#pragma once

#include <cstdint>

#include "host/tsne.hpp"

/// What the backends share of placing new rows in a fixed embedding.
namespace culatent::tsne {

/// Of every new row: its neighbours among the old ones and their affinities, which sum to 1.
struct Attractors {
  Matrix<std::int32_t> indices;  // [M, k]
  Matrix<float> affinities;      // [M, k]
};

/// Where new rows may go: the extent of the embedding and a little more, 0 in dimensions that it
/// has not.
struct Region {
  explicit Region(MatrixView<const float> embedding);

  double low[2] = {}, high[2] = {};
};

#ifdef CULATENT_HAS_CUDA
/// The descent of new rows from `positions` [M, q] on the device of `backend`, which is active;
/// nothing waits before its end.
void place_on_device(const CudaBackend& backend, const TransformOptions& options,
                     const Attractors& attractors, MatrixView<const float> embedding,
                     Matrix<float>& positions);
/// Device memory of that.
std::int64_t placing_bytes(const CudaBackend& backend, std::int64_t n_points, std::int64_t n_rows,
                           int n_dimensions, std::int64_t n_neighbors);
#endif

}  // namespace culatent::tsne
