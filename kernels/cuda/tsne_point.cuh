#pragma once

#include <cstdint>

#include "kernels/cuda/device/launch.cuh"

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
