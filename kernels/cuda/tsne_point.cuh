#pragma once

#include <cstdint>

#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/reciprocal.cuh"

/// Points of an embedding, as the kernels of t-SNE meet them.
namespace culatent::tsne {

/// Coordinates of point i of [N, Q].
template <int Q>
__device__ __forceinline__ void load_point(const float* points, std::int64_t i, float (&y)[Q]) {
  if constexpr (Q == 2) {  // one load: a gather is bound by their number
    const float2 pair = reinterpret_cast<const float2*>(points)[i];
    y[0] = pair.x;
    y[1] = pair.y;
  } else {
#pragma unroll
    for (int k = 0; k < Q; ++k) y[k] = points[i * Q + k];
  }
}

/// sum += p (y − y_j) / (1 + |y − y_j|²), what point j of [N, Q] does to a point at y.
template <int Q>
__device__ __forceinline__ void add_attraction(const float* points, std::int64_t j, float p,
                                               const float (&y)[Q], float (&sum)[Q]) {
  float delta[Q], square = 1.0f;
  load_point<Q>(points, j, delta);
#pragma unroll
  for (int k = 0; k < Q; ++k) {
    delta[k] = y[k] - delta[k];
    square += delta[k] * delta[k];
  }
  const float weight = p * device::fast_reciprocal(square);
#pragma unroll
  for (int k = 0; k < Q; ++k) sum[k] += weight * delta[k];
}

/// work.operator()<Q>() for the dimensions of an embedding.
template <class Work>
void for_dimensions(int n_dimensions, Work&& work) {
  if (n_dimensions == 1) {
    work.template operator()<1>();
  } else if (n_dimensions == 2) {
    work.template operator()<2>();
  } else {
    work.template operator()<3>();
  }
}

}  // namespace culatent::tsne
