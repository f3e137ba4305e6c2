#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/gaussian_mixture_statistics.cuh"

namespace culatent::gaussian_mixture {
namespace {

// ---- matrices -----------------------------------------------------------------------------------
//
// One block of 32 x 8 threads a 32 x 32 tile of the lower triangle; thread (x, y) has column x and
// every 8th row. The tile goes out twice, the second time turned in shared memory.
//   flops: full 4 K D², tied K D²     bytes: full K D² (4 + 8), tied 8 D² + K D²/2 from L2

constexpr int kTile = 32;
constexpr int kRows = 8;
constexpr int kOwn = kTile / kRows;

struct Tile {
  std::int64_t i, j;  // first row and column
};

__device__ __forceinline__ Tile tile_at(std::int64_t index, std::int64_t tiles) {
  return {index / tiles * kTile, index % tiles * kTile};
}

// Writes a thread's elements of the tile, in the frame, to both triangles of `out`.
template <class T>
__device__ __forceinline__ void write_tile(const Statistics<T>& m, Tile tile,
                                           const double (&elements)[kOwn], double reg_covar,
                                           double* out) {
  CULATENT_SHARED(turned, double[kTile][kTile + 1]);
  const std::int64_t d = m.n_features;
  const std::int64_t j = tile.j + threadIdx.x;
#pragma unroll
  for (int a = 0; a < kOwn; ++a) {
    const int row = static_cast<int>(threadIdx.y) + kRows * a;
    const std::int64_t i = tile.i + row;
    if (i >= d || j > i) continue;
    const double value = m.unscaled(elements[a], i, j) + (i == j ? reg_covar : 0.0);
    turned[threadIdx.x][row] = value;
    out[i * d + j] = value;
  }
  __syncthreads();
  const std::int64_t column = tile.i + threadIdx.x;
#pragma unroll
  for (int a = 0; a < kOwn; ++a) {
    const int at = static_cast<int>(threadIdx.y) + kRows * a;
    const std::int64_t row = tile.j + at;
    if (column < d && row < column) out[row * d + column] = turned[at][threadIdx.x];
  }
}

template <class T>
__global__ void __launch_bounds__(kTile* kRows)
    full_kernel(Statistics<T> m, double reg_covar, double* covariances) {
  const std::int64_t d = m.n_features;
  const std::int64_t tiles = (d + kTile - 1) / kTile;
  const std::int64_t k = blockIdx.x / (tiles * tiles);
  const Tile tile = tile_at(blockIdx.x % (tiles * tiles), tiles);
  if (tile.j > tile.i) return;
  double elements[kOwn];
#pragma unroll
  for (int a = 0; a < kOwn; ++a) {
    const std::int64_t i = tile.i + threadIdx.y + kRows * a, j = tile.j + threadIdx.x;
    elements[a] = i < d && j <= i ? m.covariance_at(k, i, j) : 0.0;
  }
  write_tile(m, tile, elements, reg_covar, covariances + k * d * d);
}

// (scatter − sum_k s_k s_kᵀ / n_k) / weight with s_k the sums over rows; 32 components at a time
// are staged.
template <class T>
__global__ void __launch_bounds__(kTile* kRows)
    tied_kernel(Statistics<T> m, double reg_covar, double* covariance) {
  CULATENT_SHARED(sums, double[kTile][kTile]);   // [k][i]
  CULATENT_SHARED(means, double[kTile][kTile]);  // [k][j]
  const std::int64_t d = m.n_features;
  const Tile tile = tile_at(blockIdx.x, (d + kTile - 1) / kTile);
  if (tile.j > tile.i) return;
  const double* first = m.values + m.layout.sums;
  const std::int64_t j = tile.j + threadIdx.x;
  double elements[kOwn];
#pragma unroll
  for (int a = 0; a < kOwn; ++a) {
    const std::int64_t i = tile.i + threadIdx.y + kRows * a;
    elements[a] = i < d && j <= i ? m.values[m.layout.squares + i * (i + 1) / 2 + j] : 0.0;
  }
  for (std::int64_t begin = 0; begin < m.n_components; begin += kTile) {
    __syncthreads();
#pragma unroll
    for (int a = 0; a < kOwn; ++a) {
      const int at = static_cast<int>(threadIdx.y) + kRows * a;
      const std::int64_t k = begin + at, i = tile.i + threadIdx.x;
      const bool counts = k < m.n_components && m.count(k) > 0.0;
      sums[at][threadIdx.x] = counts && i < d ? first[k * d + i] : 0.0;
      means[at][threadIdx.x] = counts && j < d ? first[k * d + j] / m.count(k) : 0.0;
    }
    __syncthreads();
    for (int k = 0; k < kTile; ++k) {
      const double mean = means[k][threadIdx.x];
#pragma unroll
      for (int a = 0; a < kOwn; ++a) elements[a] -= sums[k][threadIdx.y + kRows * a] * mean;
    }
  }
#pragma unroll
  for (int a = 0; a < kOwn; ++a) elements[a] /= m.weight();
  write_tile(m, tile, elements, reg_covar, covariance);
}

}  // namespace

template <class T>
void write_matrices(const CudaBackend& backend, const Statistics<T>& m, double reg_covar,
                    double* covariances) {
  const std::int64_t tiles = device::div_up<std::int64_t>(m.n_features, kTile);
  const bool full = m.covariance == Covariance::full;
  const std::int64_t blocks = tiles * tiles * (full ? m.n_components : 1);
  device::launch(full ? full_kernel<T> : tied_kernel<T>, static_cast<unsigned>(blocks),
                 dim3(kTile, kRows), 0, backend.device.stream(), m, reg_covar, covariances);
}

template void write_matrices(const CudaBackend&, const Statistics<float>&, double, double*);
template void write_matrices(const CudaBackend&, const Statistics<double>&, double, double*);

}  // namespace culatent::gaussian_mixture
