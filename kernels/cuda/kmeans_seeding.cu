#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/kmeans_tile.cuh"

namespace culatent::kmeans {
namespace {

using device::div_up;

// ---- lower_distances ----------------------------------------------------------------------------
//
//   least_i = min(least_i, min_c |x'_i − c|²),   potentials_b = sum_{i in block b} w_i least_i
//
// Distances of a tile of rows by panels of candidates, feature by feature as on the CPU. The
// potentials are added in the order of the rows, a warp a block of rows, which costs 32 additions
// in double for 32 rows in every lane; so they, and the seeds drawn by them, are those of the CPU.
// Products with weights are rounded, which CPU compilers may fuse with the addition.

template <class T, int kOwn>
__global__ void __launch_bounds__(kThreads, 1)
    lower_kernel(ClusterRows<T> rows, DeviceCentroids<T> candidates, T* least) {
  CULATENT_SHARED(stage, TileStage<T, kOwn>);
  const int tx = static_cast<int>(threadIdx.x) % kSide;
  const int ty = static_cast<int>(threadIdx.x) / kSide;
  const std::int64_t first_row = std::int64_t{blockIdx.x} * kRows;
  Tile<T, kOwn> tile(rows, candidates, first_row, stage);
  T lowest[kOwnRows];
#pragma unroll
  for (int r = 0; r < kOwnRows; ++r) lowest[r] = -kLowest<T>;
  for (std::int64_t first = 0; first < candidates.n_clusters; first += tile.kPanel) {
    T distance[kOwnRows][kOwn] = {};
    tile.run(
        first, [&](const T(&x)[kOwnRows], const T(&c)[kOwn]) { add_squares(x, c, distance); },
        [](const auto&) {});
#pragma unroll
    for (int c = 0; c < kOwn; ++c) {
      if (first + Along<T, kOwn>::at(tx, c) >= candidates.n_clusters) continue;
#pragma unroll
      for (int r = 0; r < kOwnRows; ++r) {
        lowest[r] = distance[r][c] < lowest[r] ? distance[r][c] : lowest[r];
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kOwnRows; ++r) {
#pragma unroll
    for (int offset = kSide / 2; offset > 0; offset /= 2) {
      const T other = __shfl_xor_sync(device::kAllLanes, lowest[r], offset);
      lowest[r] = other < lowest[r] ? other : lowest[r];
    }
    const std::int64_t row = first_row + Along<T, kOwnRows>::at(ty, r);
    if (tx != 0 || row >= rows.n_rows) continue;
    if (weight_of(rows, row) == 0.0) lowest[r] = T{0};  // it may lie anywhere
    if (lowest[r] < least[row]) least[row] = lowest[r];
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    potentials_kernel(ClusterRows<T> rows, const T* least, std::int64_t n_blocks,
                      double* potentials) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t block =
      std::int64_t{blockIdx.x} * (kThreads / 32) + static_cast<int>(threadIdx.x) / 32;
  if (block >= n_blocks) return;
  const std::int64_t end = min((block + 1) * kBlockRows, rows.n_rows);
  double sum = 0.0;
  for (std::int64_t first = block * kBlockRows; first < end; first += 32) {
    const bool inside = first + lane < end;
    const double weight = inside ? weight_of(rows, first + lane) : 0.0;
    const double product =
        inside ? __dmul_rn(weight, static_cast<double>(least[first + lane])) : 0.0;
#pragma unroll
    for (int i = 0; i < 32; ++i) {
      sum += __shfl_sync(device::kAllLanes, product, i);
    }
  }
  if (lane == 0) potentials[block] = sum;
}

// ---- try_candidates -----------------------------------------------------------------------------
//
//   partials_bc = sum_{i in block b} w_i min(least_i, |x'_i − c|²)
//
// One block for kBlockRows rows and a panel of candidates goes through its rows kRows at a time;
// then a thread a candidate adds up the weighted minima in the order of the rows, 256 rows at a
// time as the CPU's tiles, so that potentials have the same bits.

template <class T>
constexpr int kTryOwn = 8 / static_cast<int>(sizeof(T));
constexpr int kTiles = static_cast<int>(kBlockRows) / kRows;

template <class T>
__global__ void __launch_bounds__(kThreads, 1)
    try_kernel(ClusterRows<T> rows, DeviceCentroids<T> candidates, const T* least,
               std::int64_t n_panels, double* partials) {
  constexpr int kOwn = kTryOwn<T>;
  constexpr int kPanel = kSide * kOwn;
  CULATENT_SHARED(stage, TileStage<T, kOwn>);
  CULATENT_SHARED(minima, T[kRows][kPanel]);
  CULATENT_SHARED(weights, double[kRows]);
  const int thread = static_cast<int>(threadIdx.x);
  const int tx = thread % kSide, ty = thread / kSide;
  const std::int64_t block = blockIdx.x / n_panels;
  const std::int64_t first = blockIdx.x % n_panels * kPanel;
  double sum = 0.0, total = 0.0;
  for (int at_tile = 0; at_tile < kTiles; ++at_tile) {
    const std::int64_t first_row = block * kBlockRows + at_tile * kRows;
    const int count = static_cast<int>(min(std::int64_t{kRows}, rows.n_rows - first_row));
    if (count <= 0) break;
    Tile<T, kOwn> tile(rows, candidates, first_row, stage);
    T distance[kOwnRows][kOwn] = {};
    tile.run(
        first, [&](const T(&x)[kOwnRows], const T(&c)[kOwn]) { add_squares(x, c, distance); },
        [](const auto&) {});
#pragma unroll
    for (int r = 0; r < kOwnRows; ++r) {
      const int at = Along<T, kOwnRows>::at(ty, r);
      const T before = at < count ? least[first_row + at] : T{0};
#pragma unroll
      for (int c = 0; c < kOwn; ++c) {
        minima[at][Along<T, kOwn>::at(tx, c)] = distance[r][c] < before ? distance[r][c] : before;
      }
    }
    if (thread < count) weights[thread] = weight_of(rows, first_row + thread);
    __syncthreads();
    if (thread < kPanel) {
      for (int at = 0; at < count; ++at) {
        if (weights[at] == 0.0) continue;  // a row without weight may lie anywhere
        sum += __dmul_rn(weights[at], static_cast<double>(minima[at][thread]));
      }
      if (at_tile % 2 == 1) {
        total += sum;
        sum = 0.0;
      }
    }
  }
  if (thread < kPanel && first + thread < candidates.n_clusters) {
    partials[block * candidates.n_clusters + first + thread] = total + sum;
  }
}

template <class T, int kOwn>
void launch_lower(const CudaBackend& backend, const ClusterRows<T>& rows,
                  const DeviceCentroids<T>& candidates, T* least) {
  if constexpr (kOwn > 2) {
    if (candidates.n_clusters <= kSide * kOwn / 2) {
      launch_lower<T, kOwn / 2>(backend, rows, candidates, least);
      return;
    }
  }
  device::launch(lower_kernel<T, kOwn>,
                 static_cast<unsigned>(div_up<std::int64_t>(rows.n_rows, kRows)), kThreads, 0,
                 backend.device.stream(), rows, candidates, least);
}

}  // namespace

template <class T>
void lower_distances(const CudaBackend& backend, const ClusterRows<T>& rows,
                     const DeviceCentroids<T>& candidates, T* least, double* potentials) {
  if (rows.n_rows == 0) return;
  launch_lower<T, kMostOwn<T>>(backend, rows, candidates, least);
  const std::int64_t n_blocks = div_up(rows.n_rows, kBlockRows);
  device::launch(potentials_kernel<T>,
                 static_cast<unsigned>(div_up<std::int64_t>(n_blocks, kThreads / 32)), kThreads, 0,
                 backend.device.stream(), rows, least, n_blocks, potentials);
}

template <class T>
void try_candidates(const CudaBackend& backend, const ClusterRows<T>& rows,
                    const DeviceCentroids<T>& candidates, const T* least, double* partials) {
  if (rows.n_rows == 0 || candidates.n_clusters == 0) return;
  const std::int64_t n_panels = div_up<std::int64_t>(candidates.n_clusters, kSide * kTryOwn<T>);
  device::launch(try_kernel<T>, static_cast<unsigned>(div_up(rows.n_rows, kBlockRows) * n_panels),
                 kThreads, 0, backend.device.stream(), rows, candidates, least, n_panels, partials);
}

#define CULATENT_INSTANTIATE(T)                                            \
  template void lower_distances(const CudaBackend&, const ClusterRows<T>&, \
                                const DeviceCentroids<T>&, T*, double*);   \
  template void try_candidates(const CudaBackend&, const ClusterRows<T>&,  \
                               const DeviceCentroids<T>&, const T*, double*);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::kmeans
