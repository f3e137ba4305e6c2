#include <algorithm>
#include <limits>

#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/square_tile.cuh"
#include "kernels/cuda/inverse_cholesky.hpp"

namespace culatent {
namespace {

using namespace device;

// What all kernels of a batch know.
struct Batch {
  const double* matrices = nullptr;  // [·, D, D]
  const double* scale = nullptr;     // [D]
  std::int64_t n_features = 0;
  double* log_determinants = nullptr;  // [·] NaN once a matrix has failed
};

// Element (i, j) of A, or of the identity beyond it.
__device__ __forceinline__ double scaled_element(const Batch& batch, std::int64_t matrix,
                                                 std::int64_t i, std::int64_t j) {
  const std::int64_t d = batch.n_features;
  if (i >= d || j >= d) return i == j ? 1.0 : 0.0;
  const std::int64_t row = i > j ? i : j, column = i > j ? j : i;
  return batch.matrices[(matrix * d + row) * d + column] * batch.scale[row] * batch.scale[column];
}

__device__ __forceinline__ bool failed(const Batch& batch, std::int64_t matrix) {
  return isnan(batch.log_determinants[matrix]);
}

// ---- up to 64 features: one block a matrix ------------------------------------------------------
//
// The matrix stays in registers from its load to the store of W (square_tile.cuh, sweep).

template <class T>
__global__ void __launch_bounds__(kSquareThreads) one_tile_kernel(Batch batch, T* inverse) {
  CULATENT_SHARED(scratch, SweepScratch);
  const int tx = static_cast<int>(threadIdx.x) % kSquareLanes;
  const int ty = static_cast<int>(threadIdx.x) / kSquareLanes;
  const std::int64_t matrix = blockIdx.x;
  const int d = static_cast<int>(batch.n_features);
  SquareShare x;
#pragma unroll
  for (int a = 0; a < kSquareOwn; ++a) {
#pragma unroll
    for (int b = 0; b < kSquareOwn; ++b) {
      const int i = tx + kSquareLanes * a, j = ty + kSquareLanes * b;
      x[a][b] = scaled_element(batch, matrix, i, j);
      if (i == j) scratch.diagonal[i] = x[a][b];
    }
  }
  __syncthreads();
  const double log_determinant = sweep(x, d, scratch);
  if (threadIdx.x == 0) batch.log_determinants[matrix] = log_determinant;
  T* out = inverse + matrix * d * d;
#pragma unroll
  for (int a = 0; a < kSquareOwn; ++a) {
#pragma unroll
    for (int b = 0; b < kSquareOwn; ++b) {
      const int i = tx + kSquareLanes * a, j = ty + kSquareLanes * b;
      if (i >= d || j >= d) continue;
      out[j * d + i] =
          j > i || isnan(log_determinant) ? static_cast<T>(0) : static_cast<T>(x[a][b]);
    }
  }
}

// ---- more features: tiles in scratch ------------------------------------------------------------
//
// The same elimination on tiles in place of elements. Each matrix has n x n tiles, of which tile
// (i, j), j ≥ i, holds A while its row is not eliminated and tile (i, j), j ≤ i, holds W. Step p:
//
//   sweep_kernel    W_pp = L_pp⁻¹ from tile (p, p)
//   row_kernel      tile (p, j) = W_pp tile (p, j) for j ≠ p: G_j
//   update_kernel   tile (i, j) −= G_iᵀ G_j for i > p and j ≤ p or j ≥ i; G_p = W_pp, and the new
//                   tiles (i, p) start from 0
//
// Both products are of 64 x 64 tiles stored with the summed index first. The matrices that scratch
// has room for go through a step together; kGroupTiles are enough to fill a device.

constexpr std::int64_t kGroupTiles = 4096;

std::int64_t tiles_along(std::int64_t d) { return div_up<std::int64_t>(d, kSquare); }

// Doubles of scratch for one matrix.
std::int64_t matrix_scratch(std::int64_t d) {
  const std::int64_t n = tiles_along(d);
  return (n * n + 1) * kSquareSize;
}

// The matrices of one group; `tiles` [count, n * n + 1, 64, 64], the last of each W_ppᵀ.
struct Group {
  Batch batch;
  std::int64_t first = 0;
  std::int64_t n = 0;
  double* tiles = nullptr;

  __device__ __forceinline__ double* tile(std::int64_t member, std::int64_t i,
                                          std::int64_t j) const {
    return tiles + (member * (n * n + 1) + i * n + j) * kSquareSize;
  }
  __device__ __forceinline__ double* transposed_pivot(std::int64_t member) const {
    return tile(member, n, 0);
  }
};

// A into the tiles on and above the diagonal. One block a tile.
__global__ void __launch_bounds__(kSquareThreads) load_kernel(Group group) {
  const std::int64_t member = blockIdx.x / (group.n * group.n);
  const std::int64_t i = blockIdx.x / group.n % group.n;
  const std::int64_t j = blockIdx.x % group.n;
  if (j < i) return;
  double* tile = group.tile(member, i, j);
  for (int at = static_cast<int>(threadIdx.x); at < kSquareSize; at += kSquareThreads) {
    tile[at] = scaled_element(group.batch, group.first + member, i * kSquare + at / kSquare,
                              j * kSquare + at % kSquare);
  }
}

// One block a matrix.
__global__ void __launch_bounds__(kSquareThreads) sweep_kernel(Group group, std::int64_t p) {
  CULATENT_SHARED(scratch, SweepScratch);
  const std::int64_t matrix = group.first + blockIdx.x;
  const int thread = static_cast<int>(threadIdx.x);
  const int tx = thread % kSquareLanes, ty = thread / kSquareLanes;
  if (p > 0 && failed(group.batch, matrix)) return;
  double* tile = group.tile(blockIdx.x, p, p);
  SquareShare x;
#pragma unroll
  for (int a = 0; a < kSquareOwn; ++a) {
#pragma unroll
    for (int b = 0; b < kSquareOwn; ++b) {
      x[a][b] = tile[(ty + kSquareLanes * b) * kSquare + tx + kSquareLanes * a];
    }
  }
  if (thread < kSquare) {
    const std::int64_t at = p * kSquare + thread;
    scratch.diagonal[thread] = scaled_element(group.batch, matrix, at, at);
  }
  __syncthreads();
  const std::int64_t left = group.batch.n_features - p * kSquare;
  const double log_determinant =
      sweep(x, static_cast<int>(min(left, std::int64_t{kSquare})), scratch);
  if (thread == 0) {
    double& sum = group.batch.log_determinants[matrix];
    sum = p > 0 ? sum + log_determinant : log_determinant;
  }
  double* transposed = group.transposed_pivot(blockIdx.x);
#pragma unroll
  for (int a = 0; a < kSquareOwn; ++a) {
#pragma unroll
    for (int b = 0; b < kSquareOwn; ++b) {
      const int i = tx + kSquareLanes * a, j = ty + kSquareLanes * b;
      const double value = j > i ? 0.0 : x[a][b];
      tile[i * kSquare + j] = value;
      transposed[j * kSquare + i] = value;
    }
  }
}

// One block a tile of row p. A block reads its tile whole before it writes.
__global__ void __launch_bounds__(kSquareThreads) row_kernel(Group group, std::int64_t p) {
  CULATENT_SHARED(stage, SquareStage);
  const std::int64_t member = blockIdx.x / group.n;
  const std::int64_t j = blockIdx.x % group.n;
  if (j == p || failed(group.batch, group.first + member)) return;
  double* tile = group.tile(member, p, j);
  SquareShare acc{};
  add_product(group.transposed_pivot(member), tile, stage, acc);
  store_product(acc, tile);
}

// One block a tile of the rows below p.
__global__ void __launch_bounds__(kSquareThreads) update_kernel(Group group, std::int64_t p) {
  CULATENT_SHARED(stage, SquareStage);
  const std::int64_t rows = group.n - 1 - p;
  const std::int64_t member = blockIdx.x / (rows * group.n);
  const std::int64_t i = p + 1 + blockIdx.x / group.n % rows;
  const std::int64_t j = blockIdx.x % group.n;
  if ((j > p && j < i) || failed(group.batch, group.first + member)) return;
  double* tile = group.tile(member, i, j);
  SquareShare acc{};
  add_product(group.tile(member, p, i), group.tile(member, p, j), stage, acc);
  subtract_product(acc, j == p, tile);
}

// W of every tile to its place, transposed. One block a tile of the result.
template <class T>
__global__ void __launch_bounds__(kSquareThreads) store_kernel(Group group, T* inverse) {
  CULATENT_SHARED(turned, double[kSquare][kSquare + 1]);
  const std::int64_t d = group.batch.n_features;
  const std::int64_t member = blockIdx.x / (group.n * group.n);
  const std::int64_t j = blockIdx.x / group.n % group.n;  // row of the result, column of W
  const std::int64_t i = blockIdx.x % group.n;
  const std::int64_t matrix = group.first + member;
  const bool zero = j > i || failed(group.batch, matrix);
  const int thread = static_cast<int>(threadIdx.x);
  if (!zero) {
    const double* tile = group.tile(member, i, j);
    for (int at = thread; at < kSquareSize; at += kSquareThreads) {
      turned[at % kSquare][at / kSquare] = tile[at];
    }
  }
  __syncthreads();
  for (int at = thread; at < kSquareSize; at += kSquareThreads) {
    const std::int64_t row = j * kSquare + at / kSquare, column = i * kSquare + at % kSquare;
    if (row >= d || column >= d) continue;
    inverse[(matrix * d + row) * d + column] =
        zero ? static_cast<T>(0) : static_cast<T>(turned[at / kSquare][at % kSquare]);
  }
}

template <class T>
void factorise_group(const CudaBackend& backend, const Group& group, std::int64_t count,
                     T* inverse) {
  CUstream_st* stream = backend.device.stream();
  const auto grid = [count](std::int64_t blocks) {
    return dim3(static_cast<unsigned>(count * blocks));
  };
  launch(load_kernel, grid(group.n * group.n), kSquareThreads, 0, stream, group);
  for (std::int64_t p = 0; p < group.n; ++p) {
    launch(sweep_kernel, grid(1), kSquareThreads, 0, stream, group, p);
    launch(row_kernel, grid(group.n), kSquareThreads, 0, stream, group, p);
    if (p + 1 == group.n) break;
    launch(update_kernel, grid((group.n - 1 - p) * group.n), kSquareThreads, 0, stream, group, p);
  }
  launch(store_kernel<T>, grid(group.n * group.n), kSquareThreads, 0, stream, group, inverse);
}

}  // namespace

template <class T>
void inverse_cholesky(const CudaBackend& backend, const double* matrices, std::int64_t n_matrices,
                      std::int64_t n_features, const double* scale, double* scratch,
                      std::int64_t scratch_size, T* inverse, double* log_determinants) {
  const Batch batch{matrices, scale, n_features, log_determinants};
  if (n_features <= kSquare) {
    launch(one_tile_kernel<T>, static_cast<unsigned>(n_matrices), kSquareThreads, 0,
           backend.device.stream(), batch, inverse);
    return;
  }
  const std::int64_t size = scratch_size / matrix_scratch(n_features);
  for (std::int64_t first = 0; first < n_matrices; first += size) {
    const Group group{batch, first, tiles_along(n_features), scratch};
    factorise_group(backend, group, std::min(size, n_matrices - first), inverse);
  }
}

std::int64_t inverse_cholesky_scratch(std::int64_t n_matrices, std::int64_t n_features) {
  if (n_features <= kSquare) return 0;
  const std::int64_t n = tiles_along(n_features);
  const std::int64_t group = std::max<std::int64_t>(kGroupTiles / (n * n), 1);
  return std::min(n_matrices, group) * matrix_scratch(n_features);
}

template void inverse_cholesky(const CudaBackend&, const double*, std::int64_t, std::int64_t,
                               const double*, double*, std::int64_t, float*, double*);
template void inverse_cholesky(const CudaBackend&, const double*, std::int64_t, std::int64_t,
                               const double*, double*, std::int64_t, double*, double*);

}  // namespace culatent
