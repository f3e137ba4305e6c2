#include <algorithm>

#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/tsne_grid.cuh"
#include "kernels/cuda/tsne_grid_steps.hpp"

namespace culatent::tsne {
namespace {

constexpr int kLanes = kOrder;  // of a point: each has a row of its nodes
constexpr int kPointsBlock = kGridThreads / kLanes;

// ---- extent -------------------------------------------------------------------------------------
//
// Least and greatest coordinates: by blocks, then of the blocks. A point of one dimension is at 0
// in the other.

template <int Q>
__global__ void __launch_bounds__(kGridThreads)
    extent_kernel(std::int64_t n, const float* points, float4* partials) {
  CULATENT_SHARED(scratch, float[4][kGridThreads / 32]);
  float reach[4];  // −low, high of each dimension
  for (int i = 0; i < 4; ++i) reach[i] = Q == 1 && i >= 2 ? 0.0f : -3.0e38f;
  const std::int64_t step = std::int64_t{gridDim.x} * kGridThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kGridThreads + threadIdx.x; i < n; i += step) {
#pragma unroll
    for (int k = 0; k < Q; ++k) {
      const float value = points[i * Q + k];
      reach[2 * k] = fmaxf(reach[2 * k], -value);
      reach[2 * k + 1] = fmaxf(reach[2 * k + 1], value);
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    reach[i] = device::warp_max(reach[i]);
    if (threadIdx.x % 32 == 0) scratch[i][threadIdx.x / 32] = reach[i];
  }
  __syncthreads();
  if (threadIdx.x > 0) return;
  for (int warp = 1; warp < kGridThreads / 32; ++warp) {
    for (int i = 0; i < 4; ++i) reach[i] = fmaxf(reach[i], scratch[i][warp]);
  }
  partials[blockIdx.x] = make_float4(reach[0], reach[1], reach[2], reach[3]);
}

__global__ void merge_extents_kernel(int n_partials, const float4* partials, DeviceGrid grid,
                                     DeviceExtent* extent) {
  if (threadIdx.x > 0) return;
  float4 reach = partials[0];
  for (int i = 1; i < n_partials; ++i) {
    const float4 other = partials[i];
    reach.x = fmaxf(reach.x, other.x);
    reach.y = fmaxf(reach.y, other.y);
    reach.z = fmaxf(reach.z, other.z);
    reach.w = fmaxf(reach.w, other.w);
  }
  extent->low[0] = -reach.x;
  extent->low[1] = -reach.z;
  extent->high[0] = reach.y;
  extent->high[1] = reach.w;
  // As many nodes as choose_grid() counts: one more than exact arithmetic needs.
  const bool fits = (reach.x + reach.y) * grid.inverse + (kOrder + 1) <= grid.nodes[0] + 1 &&
                    (reach.z + reach.w) * grid.inverse + (kOrder + 1) <= grid.nodes[1] + 1;
  if (!fits) extent->overflow = 1;
}

// ---- splines of a point -------------------------------------------------------------------------

struct PointSplines {
  int node[2];
  float values[2][kOrder];
  float slopes[2][kOrder];
};

template <int Q>
__device__ __forceinline__ PointSplines splines_of(const DeviceGrid& grid,
                                                   const DeviceExtent& extent, const float* point) {
  PointSplines s;
#pragma unroll
  for (int k = 0; k < 2; ++k) {
    const float coordinate = k < Q ? point[k] : 0.0f;
    const float most = static_cast<float>(grid.nodes[k] - kOrder) + 0.99f;
    const float place = fminf(fmaxf((coordinate - extent.low[k]) * grid.inverse, 0.0f), most);
    s.node[k] = static_cast<int>(place);
    b_spline(place - static_cast<float>(s.node[k]), s.values[k], s.slopes[k]);
  }
  return s;
}

// values[lane] without an index that registers could not have.
__device__ __forceinline__ float pick(const float (&values)[kOrder], int lane) {
  float value = values[0];
#pragma unroll
  for (int k = 1; k < kOrder; ++k) value = lane == k ? values[k] : value;
  return value;
}

// ---- spread -------------------------------------------------------------------------------------
//
// Eight lanes a point, one for each row of its nodes; each adds eight integers.
//   per lane: two splines (about 120 FMA), 8 products, 8 atomic additions without a result

template <int Q>
__global__ void __launch_bounds__(kGridThreads)
    spread_kernel(std::int64_t n, const float* points, DeviceGrid grid,
                  const DeviceExtent* extent) {
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const std::int64_t i =
      std::int64_t{blockIdx.x} * kPointsBlock + static_cast<int>(threadIdx.x) / kLanes;
  if (i >= n) return;
  const PointSplines s = splines_of<Q>(grid, *extent, points + i * Q);
  const float row = pick(s.values[1], lane) * grid.unit;
  Density* const to =
      grid.densities + static_cast<std::int64_t>(s.node[1] + lane) * grid.nodes[0] + s.node[0];
#pragma unroll
  for (int k = 0; k < kOrder; ++k) {
    const auto part = static_cast<Density>(row * s.values[0][k]);
    atomicAdd(to + k, part);
  }
}

// ---- read ---------------------------------------------------------------------------------------
//
// −½ ∇φ and φ by the same eight lanes; a block's potentials are summed in order, where they are
// wanted, or each is kept with its level.

template <int Q>
__global__ void __launch_bounds__(kGridThreads)
    read_kernel(std::int64_t n, const float* points, DeviceGrid grid, const DeviceExtent* extent,
                float level, float* forces, float* potentials, double* partials) {
  CULATENT_SHARED(scratch, double[kGridThreads / 32]);
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const std::int64_t i =
      std::int64_t{blockIdx.x} * kPointsBlock + static_cast<int>(threadIdx.x) / kLanes;
  const bool valid = i < n;
  const PointSplines s = splines_of<Q>(grid, *extent, points + (valid ? i : 0) * Q);
  const float* const from =
      grid.potentials + static_cast<std::int64_t>(s.node[1] + lane) * grid.nodes[0] + s.node[0];
  float value = 0.0f, slope = 0.0f;
#pragma unroll
  for (int k = 0; k < kOrder; ++k) {
    const float potential = from[k];
    value += s.values[0][k] * potential;
    slope += s.slopes[0][k] * potential;
  }
  const float row = pick(s.values[1], lane), row_slope = pick(s.slopes[1], lane);
  const float potential = device::warp_sum<kLanes>(row * value);
  const float along = device::warp_sum<kLanes>(row * slope);
  const float down = device::warp_sum<kLanes>(row_slope * value);
  if (valid && lane == 0) {
    forces[i * Q] = -0.5f * grid.inverse * along;
    if constexpr (Q == 2) forces[i * Q + 1] = -0.5f * grid.inverse * down;
    if (potentials != nullptr) potentials[i] = potential + level;
  }
  if (partials == nullptr) return;
  const double own = valid && lane == 0 ? static_cast<double>(potential) : 0.0;
  const double sum = device::block_sum<kGridThreads>(own, scratch);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

// ---- partition ----------------------------------------------------------------------------------

__global__ void __launch_bounds__(kGridThreads)
    partition_kernel(std::int64_t n_partials, const double* partials, double correction,
                     double* partition) {
  CULATENT_SHARED(scratch, double[kGridThreads / 32]);
  double sum = 0.0;
  for (std::int64_t i = threadIdx.x; i < n_partials; i += kGridThreads) sum += partials[i];
  sum = device::block_sum<kGridThreads>(sum, scratch);
  if (threadIdx.x == 0) *partition = sum + correction;
}

unsigned point_blocks(std::int64_t n) {
  return static_cast<unsigned>(div_up<std::int64_t>(n, kPointsBlock));
}

}  // namespace

std::int64_t point_partials(std::int64_t n) { return div_up<std::int64_t>(n, kPointsBlock); }

void find_extent(const CudaBackend& backend, std::int64_t n, int q, const float* points,
                 const DeviceGrid& grid, float* partials, DeviceExtent* extent) {
  const auto blocks = static_cast<unsigned>(
      std::min<std::int64_t>(div_up<std::int64_t>(n, kGridThreads), kExtentPartials));
  auto* const out = reinterpret_cast<float4*>(partials);
  device::launch(q == 1 ? extent_kernel<1> : extent_kernel<2>, blocks, kGridThreads, 0,
                 backend.device.stream(), n, points, out);
  device::launch(merge_extents_kernel, 1, 32, 0, backend.device.stream(), static_cast<int>(blocks),
                 out, grid, extent);
}

void spread(const CudaBackend& backend, std::int64_t n, int q, const float* points,
            const DeviceGrid& grid, const DeviceExtent* extent) {
  device::launch(q == 1 ? spread_kernel<1> : spread_kernel<2>, point_blocks(n), kGridThreads, 0,
                 backend.device.stream(), n, points, grid, extent);
}

void read(const CudaBackend& backend, std::int64_t n, int q, const float* points,
          const DeviceGrid& grid, const DeviceExtent* extent, double level, float* forces,
          double* partials, double* partition) {
  device::launch(q == 1 ? read_kernel<1> : read_kernel<2>, point_blocks(n), kGridThreads, 0,
                 backend.device.stream(), n, points, grid, extent, 0.0f, forces,
                 static_cast<float*>(nullptr), partials);
  // Every potential lacks the level of all points and holds the point's own, which is 1.
  const auto count = static_cast<double>(n);
  device::launch(partition_kernel, 1, kGridThreads, 0, backend.device.stream(), point_partials(n),
                 partials, count * (count * level - 1.0), partition);
}

void read_at(const CudaBackend& backend, std::int64_t n, int q, const float* places,
             const DeviceGrid& grid, const DeviceExtent* extent, double level, float* forces,
             float* potentials) {
  device::launch(q == 1 ? read_kernel<1> : read_kernel<2>, point_blocks(n), kGridThreads, 0,
                 backend.device.stream(), n, places, grid, extent, static_cast<float>(level),
                 forces, potentials, static_cast<double*>(nullptr));
}

}  // namespace culatent::tsne
