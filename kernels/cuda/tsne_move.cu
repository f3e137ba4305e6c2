#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/tsne.hpp"
#include "kernels/cuda/tsne_point.cuh"

namespace culatent::tsne {
namespace {

constexpr int kThreads = 256;
constexpr int kBlockPoints = 2 * kThreads;  // of a block

std::int64_t n_blocks_of(std::int64_t n_points) {
  return device::div_up<std::int64_t>(n_points, kBlockPoints);
}

// body(point) of the block's points that are the thread's.
template <class Body>
__device__ __forceinline__ void for_block_points(std::int64_t n_points, Body&& body) {
#pragma unroll
  for (int i = 0; i < kBlockPoints / kThreads; ++i) {
    const std::int64_t point =
        std::int64_t{blockIdx.x} * kBlockPoints + i * kThreads + static_cast<int>(threadIdx.x);
    if (point < n_points) body(point);
  }
}

// ---- move ---------------------------------------------------------------------------------------
//
// Two launches: every point moves, each block leaving its sums of the squared gradient and of the
// new coordinates, parts[0 … Q][n_blocks]; then every block adds up all blocks' coordinates, each
// in the same order, and takes the mean away. The first block also tells the norm.
//   bytes 28 N q, and 8 N q, all from L2 up to 1M points: the time of a launch each

template <int Q>
__global__ void __launch_bounds__(kThreads)
    move_kernel(const DeviceMove* step, const double* partition, std::int64_t n_points,
                DescentArrays arrays, std::int64_t n_blocks, double* parts) {
  CULATENT_SHARED(scratch, double[kThreads / 32]);
  const float exaggeration = 4.0f * step->exaggeration;
  const float share = static_cast<float>(4.0 / *partition);
  const float rate = step->learning_rate, momentum = step->momentum;
  double square = 0.0, sums[Q] = {};
  for_block_points(n_points, [&](std::int64_t point) {
#pragma unroll
    for (int k = 0; k < Q; ++k) {
      const std::int64_t at = point * Q + k;
      const float gradient = exaggeration * arrays.attraction[at] - share * arrays.repulsion[at];
      square += static_cast<double>(gradient) * static_cast<double>(gradient);
      float velocity = arrays.velocity[at], gain = arrays.gains[at];
      take_step(gradient, rate, momentum, gain, velocity);
      const float moved = arrays.points[at] + velocity;
      arrays.gains[at] = gain;
      arrays.velocity[at] = velocity;
      arrays.points[at] = moved;
      sums[k] += static_cast<double>(moved);
    }
  });
  const double norm = device::block_sum<kThreads>(square, scratch);
  if (threadIdx.x == 0) parts[blockIdx.x] = norm;
#pragma unroll
  for (int k = 0; k < Q; ++k) {
    const double sum = device::block_sum<kThreads>(sums[k], scratch);
    if (threadIdx.x == 0) parts[(k + 1) * n_blocks + blockIdx.x] = sum;
  }
}

// The sum of values[0 … count), by all threads of a block, each of which gets it.
__device__ __forceinline__ double sum_of(const double* values, std::int64_t count,
                                         double (&scratch)[kThreads / 32]) {
  double sum = 0.0;
  for (std::int64_t i = threadIdx.x; i < count; i += kThreads) sum += values[i];
  return device::block_sum<kThreads>(sum, scratch);
}

template <int Q>
__global__ void __launch_bounds__(kThreads)
    centre_kernel(DeviceMove* step, std::int64_t n_points, std::int64_t n_blocks,
                  const double* parts, float* points, double* norms) {
  CULATENT_SHARED(scratch, double[kThreads / 32]);
  float mean[Q];
#pragma unroll
  for (int k = 0; k < Q; ++k) {
    const double sum = sum_of(parts + (k + 1) * n_blocks, n_blocks, scratch);
    mean[k] = static_cast<float>(sum / static_cast<double>(n_points));
  }
  for_block_points(n_points, [&](std::int64_t point) {
#pragma unroll
    for (int k = 0; k < Q; ++k) points[point * Q + k] -= mean[k];
  });
  if (blockIdx.x > 0) return;
  const double square = sum_of(parts, n_blocks, scratch);
  if (threadIdx.x == 0) norms[step->iteration++] = sqrt(square);
}

// ---- squared_gradient ---------------------------------------------------------------------------

__global__ void __launch_bounds__(kThreads)
    gradient_kernel(double exaggeration, const double* partition, std::int64_t n_values,
                    const float* attraction, const float* repulsion, double* partials) {
  CULATENT_SHARED(scratch, double[kThreads / 32]);
  const double share = 1.0 / *partition;
  const std::int64_t step = std::int64_t{gridDim.x} * kThreads;
  double sum = 0.0;
  for (std::int64_t at = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; at < n_values;
       at += step) {
    const double gradient = 4.0 * (exaggeration * static_cast<double>(attraction[at]) -
                                   share * static_cast<double>(repulsion[at]));
    sum += gradient * gradient;
  }
  sum = device::block_sum<kThreads>(sum, scratch);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

}  // namespace

std::int64_t move_parts(std::int64_t n_points, int n_dimensions) {
  return (1 + n_dimensions) * n_blocks_of(n_points);
}

void move(const CudaBackend& backend, DeviceMove* move, const double* partition,
          std::int64_t n_points, int n_dimensions, const DescentArrays& arrays, double* parts,
          double* norms) {
  const std::int64_t n_blocks = n_blocks_of(n_points);
  const auto grid = static_cast<unsigned>(n_blocks);
  CUstream_st* const stream = backend.device.stream();
  for_dimensions(n_dimensions, [&]<int Q>() {
    device::launch(move_kernel<Q>, grid, kThreads, 0, stream, move, partition, n_points, arrays,
                   n_blocks, parts);
    device::launch(centre_kernel<Q>, grid, kThreads, 0, stream, move, n_points, n_blocks, parts,
                   arrays.points, norms);
  });
}

void squared_gradient(const CudaBackend& backend, double exaggeration, const double* partition,
                      std::int64_t n_values, const float* attraction, const float* repulsion,
                      double* partials) {
  device::launch(gradient_kernel, kSumParts, kThreads, 0, backend.device.stream(), exaggeration,
                 partition, n_values, attraction, repulsion, partials);
}

}  // namespace culatent::tsne
