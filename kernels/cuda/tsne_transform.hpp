#pragma once

#include <cstdint>

#include "kernels/backend.hpp"

/// The steps that place new rows in a fixed embedding on a CUDA device. N fixed points, M new rows,
/// q = 1, 2 or 3 dimensions. Pointers are to device memory; calls are ordered on
/// backend.device.stream() and do not wait. A row's bits do not depend on the others.
namespace culatent::tsne {

/// repel_from() of kernels/tsne.hpp.
///   flops: N M (5 q + 3), one reciprocal a pair
void repel_from(const CudaBackend& backend, std::int64_t n_points, const float* points,
                std::int64_t n_places, const float* places, int n_dimensions, float* forces,
                float* sums);

/// What draws new rows.
struct DeviceAttractors {
  const float* points;          // [N, q]
  const std::int32_t* indices;  // [M, k] points that are neighbours
  const float* affinities;      // [M, k]
  std::int64_t n_neighbors = 0;
};

struct RowStep {
  float exaggeration = 1.0f;
  float learning_rate = 1.0f;
  float momentum = 0.0f;
};

/// [M, q] each, but for the sums.
struct RowArrays {
  const float* repulsion;
  const float* sums;  // [M]
  float* places;
  float* velocity;
  float* gains;
};

/// take_step() of every coordinate, with gradient = 2 (exaggeration attraction − repulsion / sum):
/// that of the row's own divergence.
void move_rows(const CudaBackend& backend, std::int64_t n_rows, int n_dimensions,
               const DeviceAttractors& attractors, const RowStep& step, const RowArrays& arrays);

}  // namespace culatent::tsne
