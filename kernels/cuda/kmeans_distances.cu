#include <algorithm>

#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/kmeans_distances.hpp"
#include "kernels/cuda/kmeans_tile.cuh"

namespace culatent::kmeans {
namespace {

using device::div_up;

// ---- all_distances ------------------------------------------------------------------------------
//
//   out_ik = unit sqrt(sum_j (x'_ij − c_kj)²)
//
// A block has a tile of rows and a panel of centroids. 16 lanes write 16 pieces of a row, so that
// sectors of the rows of `out` are written whole where the stride allows it.
//   per element: D subtractions and FMA, one square root; bound by the writes for D < 40 or so

template <class T, int kOwn>
__global__ void __launch_bounds__(kThreads, 1)
    all_distances_kernel(ClusterRows<T> rows, DeviceCentroids<T> centroids, std::int64_t n_panels,
                         T unit, T* distances, std::int64_t stride) {
  CULATENT_SHARED(stage, TileStage<T, kOwn>);
  const int tx = static_cast<int>(threadIdx.x) % kSide;
  const int ty = static_cast<int>(threadIdx.x) / kSide;
  const std::int64_t first_row = std::int64_t{blockIdx.x} / n_panels * kRows;
  const std::int64_t first = std::int64_t{blockIdx.x} % n_panels * (kSide * kOwn);
  Tile<T, kOwn> tile(rows, centroids, first_row, stage);
  T distance[kOwnRows][kOwn] = {};
  tile.run(
      first, [&](const T(&x)[kOwnRows], const T(&c)[kOwn]) { add_squares(x, c, distance); },
      [](const auto&) {});
#pragma unroll
  for (int r = 0; r < kOwnRows; ++r) {
    const std::int64_t row = first_row + Along<T, kOwnRows>::at(ty, r);
    if (row >= rows.n_rows) continue;
#pragma unroll
    for (int c = 0; c < kOwn; ++c) {
      const std::int64_t k = first + Along<T, kOwn>::at(tx, c);
      if (k < centroids.n_clusters) distances[row * stride + k] = sqrt(distance[r][c]) * unit;
    }
  }
}

template <class T, int kOwn>
void launch_all(const CudaBackend& backend, const ClusterRows<T>& rows,
                const DeviceCentroids<T>& centroids, T unit, T* distances, std::int64_t stride) {
  if constexpr (kOwn > 2) {
    if (centroids.n_clusters <= kSide * kOwn / 2) {
      launch_all<T, kOwn / 2>(backend, rows, centroids, unit, distances, stride);
      return;
    }
  }
  const std::int64_t n_panels = div_up<std::int64_t>(centroids.n_clusters, kSide * kOwn);
  const std::int64_t n_tiles = div_up<std::int64_t>(rows.n_rows, kRows);
  device::launch(all_distances_kernel<T, kOwn>, static_cast<unsigned>(n_tiles * n_panels), kThreads,
                 0, backend.device.stream(), rows, centroids, n_panels, unit, distances, stride);
}

// ---- forget_distances ---------------------------------------------------------------------------

template <class T>
__global__ void __launch_bounds__(kThreads) forget_kernel(std::int64_t n_rows, T* least) {
  const std::int64_t step = std::int64_t{gridDim.x} * kThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < n_rows; i += step) {
    least[i] = -kLowest<T>;
  }
}

}  // namespace

template <class T>
void all_distances(const CudaBackend& backend, const ClusterRows<T>& rows,
                   const DeviceCentroids<T>& centroids, double unit, T* distances,
                   std::int64_t stride) {
  if (rows.n_rows == 0 || centroids.n_clusters == 0) return;
  launch_all<T, kMostOwn<T>>(backend, rows, centroids, static_cast<T>(unit), distances, stride);
}

template <class T>
void forget_distances(const CudaBackend& backend, std::int64_t n_rows, T* least) {
  if (n_rows == 0) return;
  const std::int64_t most = div_up<std::int64_t>(n_rows, kThreads);
  const std::int64_t enough = 8 * std::int64_t{backend.device.n_multiprocessors()};
  device::launch(forget_kernel<T>, static_cast<unsigned>(std::min(most, enough)), kThreads, 0,
                 backend.device.stream(), n_rows, least);
}

#define CULATENT_INSTANTIATE(T)                                                     \
  template void all_distances(const CudaBackend&, const ClusterRows<T>&,            \
                              const DeviceCentroids<T>&, double, T*, std::int64_t); \
  template void forget_distances(const CudaBackend&, std::int64_t, T*);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::kmeans
