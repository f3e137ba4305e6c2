#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/reciprocal.cuh"
#include "kernels/cuda/tsne_point.cuh"
#include "kernels/cuda/tsne_transform.hpp"
#include "kernels/tsne_step.hpp"

namespace culatent::tsne {
namespace {

constexpr int kThreads = 128;

// ---- repel_from ---------------------------------------------------------------------------------
//
// A thread has a place; points come through shared memory, read by all lanes at once. Sums are in
// float over a tile of points, in double across tiles.
//   per pair, q = 3: 12 FP32, 1 reciprocal, 1 load of 16 bytes. 1e5 places, 1e5 points: 1e10 pairs
//   x 15 / (132 multiprocessors x 128 lanes x 1.76 GHz) = 5 ms

template <int Q>
__global__ void __launch_bounds__(kThreads)
    repel_from_kernel(std::int64_t n_points, const float* points, std::int64_t n_places,
                      const float* places, float* forces, float* sums) {
  CULATENT_SHARED(others, float[Q][kThreads]);
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + thread;
  float own[Q] = {};
  if (i < n_places) load_point<Q>(places, i, own);
  double force[Q] = {}, total = 0.0;
#pragma unroll 1
  for (std::int64_t first = 0; first < n_points; first += kThreads) {
    __syncthreads();
    if (first + thread < n_points) {
      float other[Q];
      load_point<Q>(points, first + thread, other);
#pragma unroll
      for (int k = 0; k < Q; ++k) others[k][thread] = other[k];
    }
    __syncthreads();
    const int count = static_cast<int>(min(std::int64_t{kThreads}, n_points - first));
    float part[Q] = {}, sum = 0.0f;
#pragma unroll 4
    for (int j = 0; j < count; ++j) {
      float delta[Q], square = 1.0f;
#pragma unroll
      for (int k = 0; k < Q; ++k) {
        delta[k] = own[k] - others[k][j];
        square += delta[k] * delta[k];
      }
      const float q = device::fast_reciprocal(square);
      sum += q;
#pragma unroll
      for (int k = 0; k < Q; ++k) part[k] += q * q * delta[k];
    }
#pragma unroll
    for (int k = 0; k < Q; ++k) force[k] += static_cast<double>(part[k]);
    total += static_cast<double>(sum);
  }
  if (i >= n_places) return;
#pragma unroll
  for (int k = 0; k < Q; ++k) forces[i * Q + k] = static_cast<float>(force[k]);
  sums[i] = static_cast<float>(total);
}

// ---- move_rows ----------------------------------------------------------------------------------
//
// A thread has a row, whose few neighbours it meets in their order.
//   bytes: M (8 k + 24 q + 4), and M k gathers of q floats from L2

template <int Q>
__global__ void __launch_bounds__(kThreads)
    move_rows_kernel(std::int64_t n_rows, DeviceAttractors attractors, RowStep step,
                     RowArrays arrays) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= n_rows) return;
  float own[Q], attraction[Q] = {};
  load_point<Q>(arrays.places, i, own);
  for (std::int64_t e = i * attractors.n_neighbors; e < (i + 1) * attractors.n_neighbors; ++e) {
    add_attraction<Q>(attractors.points, attractors.indices[e], attractors.affinities[e], own,
                      attraction);
  }
  const float share = 1.0f / arrays.sums[i];
#pragma unroll
  for (int k = 0; k < Q; ++k) {
    const std::int64_t at = i * Q + k;
    const float gradient =
        2.0f * (step.exaggeration * attraction[k] - share * arrays.repulsion[at]);
    take_step(gradient, step.learning_rate, step.momentum, arrays.gains[at], arrays.velocity[at]);
    arrays.places[at] = own[k] + arrays.velocity[at];
  }
}

unsigned blocks_of(std::int64_t n) {
  return static_cast<unsigned>(device::div_up<std::int64_t>(n, kThreads));
}

}  // namespace

void repel_from(const CudaBackend& backend, std::int64_t n_points, const float* points,
                std::int64_t n_places, const float* places, int n_dimensions, float* forces,
                float* sums) {
  for_dimensions(n_dimensions, [&]<int Q>() {
    device::launch(repel_from_kernel<Q>, blocks_of(n_places), kThreads, 0, backend.device.stream(),
                   n_points, points, n_places, places, forces, sums);
  });
}

void move_rows(const CudaBackend& backend, std::int64_t n_rows, int n_dimensions,
               const DeviceAttractors& attractors, const RowStep& step, const RowArrays& arrays) {
  for_dimensions(n_dimensions, [&]<int Q>() {
    device::launch(move_rows_kernel<Q>, blocks_of(n_rows), kThreads, 0, backend.device.stream(),
                   n_rows, attractors, step, arrays);
  });
}

}  // namespace culatent::tsne
