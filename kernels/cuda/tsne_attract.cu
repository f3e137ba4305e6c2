#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/reciprocal.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/tsne.hpp"
#include "kernels/cuda/tsne_point.cuh"

namespace culatent::tsne {
namespace {

constexpr int kThreads = 256;

// ---- attract ------------------------------------------------------------------------------------
//
//   force_i = sum_j p_ij (y_i − y_j) / (1 + |y_i − y_j|²)
//
// kLanes neighbouring lanes have a row. They read its columns and values side by side and gather a
// point each, then add up in a fixed order.
//   per affinity: 8 bytes of the row, one gather of a sector (32 bytes) from L2, and about 12
//   instructions for q = 2; 1.3e8 affinities of 1M points: 0.24 ms for the rows, 0.76 ms for the
//   gathers, 0.05 ms of issue. The gathers bind it: what counts is how many are under way, hence
//   four a lane at a time.

template <int Q, int kLanes>
__global__ void __launch_bounds__(kThreads)
    attract_kernel(DeviceAffinities p, const float* points, float* forces) {
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const std::int64_t row =
      std::int64_t{blockIdx.x} * (kThreads / kLanes) + static_cast<int>(threadIdx.x) / kLanes;
  const bool inside = row < p.n_points;
  float own[Q] = {}, sum[Q] = {};
  std::int64_t first = 0, last = 0;
  if (inside) {
    first = p.starts[row];
    last = p.starts[row + 1];
    load_point<Q>(points, row, own);
  }
#pragma unroll 4
  for (std::int64_t e = first + lane; e < last; e += kLanes) {
    add_attraction<Q>(points, p.columns[e], p.values[e], own, sum);
  }
#pragma unroll
  for (int k = 0; k < Q; ++k) {
    sum[k] = device::warp_sum<kLanes>(sum[k]);
    if (inside && lane == 0) forces[row * Q + k] = sum[k];
  }
}

template <int Q, int kLanes>
void launch_attract(const CudaBackend& backend, const DeviceAffinities& p, const float* points,
                    float* forces) {
  const std::int64_t blocks = device::div_up<std::int64_t>(p.n_points, kThreads / kLanes);
  device::launch(attract_kernel<Q, kLanes>, static_cast<unsigned>(blocks), kThreads, 0,
                 backend.device.stream(), p, points, forces);
}

// ---- attraction_energy --------------------------------------------------------------------------
//
//   sum_ij p_ij log(1 + |y_i − y_j|²)
//
// In double, which about 60 instructions of the logarithm take; it is wanted once an interval.

template <int Q>
__global__ void __launch_bounds__(kThreads)
    energy_kernel(DeviceAffinities p, const float* points, double* partials) {
  constexpr int kLanes = 16;
  CULATENT_SHARED(scratch, double[kThreads / 32]);
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const std::int64_t step = std::int64_t{gridDim.x} * (kThreads / kLanes);
  double energy = 0.0;
  for (std::int64_t row =
           std::int64_t{blockIdx.x} * (kThreads / kLanes) + static_cast<int>(threadIdx.x) / kLanes;
       row < p.n_points; row += step) {
    float own[Q];
    load_point<Q>(points, row, own);
    const std::int64_t last = p.starts[row + 1];
    for (std::int64_t e = p.starts[row] + lane; e < last; e += kLanes) {
      float other[Q];
      load_point<Q>(points, p.columns[e], other);
      double square = 0.0;
#pragma unroll
      for (int k = 0; k < Q; ++k) {
        const double delta = static_cast<double>(own[k]) - static_cast<double>(other[k]);
        square += delta * delta;
      }
      energy += static_cast<double>(p.values[e]) * log1p(square);
    }
  }
  const double sum = device::block_sum<kThreads>(energy, scratch);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

}  // namespace

void attract(const CudaBackend& backend, const DeviceAffinities& affinities, const float* points,
             int n_dimensions, float* forces) {
  // A warp for a long row; of a short one it would leave lanes without work in the last round, and
  // spend as many instructions on adding up: 3 perplexity neighbours, about twice that by symmetry,
  // take 16 lanes some eight rounds.
  const std::int64_t degree = affinities.n_affinities / affinities.n_points;
  for_dimensions(n_dimensions, [&]<int Q>() {
    if (degree >= 512) {
      launch_attract<Q, 32>(backend, affinities, points, forces);
    } else if (degree >= 48) {
      launch_attract<Q, 16>(backend, affinities, points, forces);
    } else {
      launch_attract<Q, 8>(backend, affinities, points, forces);
    }
  });
}

void attraction_energy(const CudaBackend& backend, const DeviceAffinities& affinities,
                       const float* points, int n_dimensions, double* partials) {
  for_dimensions(n_dimensions, [&]<int Q>() {
    device::launch(energy_kernel<Q>, kSumParts, kThreads, 0, backend.device.stream(), affinities,
                   points, partials);
  });
}

}  // namespace culatent::tsne
