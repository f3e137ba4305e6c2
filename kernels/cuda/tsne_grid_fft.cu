#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/tsne_grid.cuh"
#include "kernels/cuda/tsne_grid_steps.hpp"

namespace culatent::tsne {
namespace {

// ---- transform_rows -----------------------------------------------------------------------------
//
// Two rows of densities are the real and the imaginary part of one sequence; their transforms are
// its even and its odd part. `batch` pairs a block.
//   reads and writes 8 bytes a node, writes 8 bytes a frequency of every row

// A density, which is 0 for the next repulsion then: that saves a pass to clear them.
__device__ __forceinline__ float take(Density* density, float share) {
  const Density value = *density;
  *density = 0;
  return share * static_cast<float>(value);
}

__global__ void __launch_bounds__(kGridThreads) transform_rows_kernel(DeviceGrid grid, int batch) {
  CULATENT_DYNAMIC_SHARED(shared, float2);
  const int n = grid.size[0], threads = static_cast<int>(blockDim.x);
  const int first = static_cast<int>(blockIdx.x) * 2 * batch;
  const float share = 1.0f / grid.unit;
  for (int at = static_cast<int>(threadIdx.x); at < batch * n; at += threads) {
    const int pair = at / n, t = at % n;
    const int row = first + 2 * pair;
    float2 value = make_float2(0.0f, 0.0f);
    if (t < grid.nodes[0]) {
      Density* const from = grid.densities + std::int64_t{row} * grid.nodes[0] + t;
      if (row < grid.nodes[1]) value.x = take(from, share);
      if (row + 1 < grid.nodes[1]) value.y = take(from + grid.nodes[0], share);
    }
    shared[t * batch + pair] = value;
  }
  const float2* const z = device::fft(grid.along, batch, shared, shared + batch * n);
  const int half = n / 2;
  for (int at = static_cast<int>(threadIdx.x); at < batch * grid.columns; at += threads) {
    const int pair = at / grid.columns, k = at % grid.columns;
    const int row = first + 2 * pair;
    if (row >= grid.nodes[1]) continue;
    const int here = k < half ? k : half;  // columns beyond the last frequency repeat it
    const float2 a = z[here * batch + pair], b = z[(here == 0 ? 0 : n - here) * batch + pair];
    float2* const to = grid.spectrum + std::int64_t{row} * grid.columns + k;
    to[0] = make_float2(0.5f * (a.x + b.x), 0.5f * (a.y - b.y));
    to[grid.columns] = make_float2(0.5f * (a.y + b.y), 0.5f * (b.x - a.x));
  }
}

// ---- multiply_columns ---------------------------------------------------------------------------
//
// Columns are transformed, multiplied with the influence function and transformed back, without a
// way through memory in between. `batch` columns a block.
//   reads and writes 8 bytes a frequency of every row

__global__ void __launch_bounds__(kGridThreads)
    multiply_columns_kernel(DeviceGrid grid, int batch) {
  CULATENT_DYNAMIC_SHARED(shared, float2);
  const int n = grid.size[1], threads = static_cast<int>(blockDim.x);
  const int first = static_cast<int>(blockIdx.x) * batch;
  float2* const column = grid.spectrum + first;
  for (int at = static_cast<int>(threadIdx.x); at < batch * n; at += threads) {
    const int t = at / batch, c = at % batch;
    shared[at] =
        t < grid.nodes[1] ? column[std::int64_t{t} * grid.columns + c] : make_float2(0.0f, 0.0f);
  }
  float2* z = device::fft(grid.down, batch, shared, shared + batch * n);
  for (int at = static_cast<int>(threadIdx.x); at < batch * n; at += threads) {
    const int k = at / batch, c = at % batch;
    const int here = k <= n / 2 ? k : n - k;
    const float factor = grid.influence[std::int64_t{here} * grid.columns + first + c];
    // With the parts exchanged the transform is the inverse one.
    z[at] = make_float2(factor * z[at].y, factor * z[at].x);
  }
  const float2* const back =
      device::fft(grid.down, batch, z, z == shared ? shared + batch * n : shared);
  for (int at = static_cast<int>(threadIdx.x); at < batch * n; at += threads) {
    const int t = at / batch, c = at % batch;
    if (t < grid.nodes[1]) {
      column[std::int64_t{t} * grid.columns + c] = device::swapped(back[at]);
    }
  }
}

// ---- transform_rows_back ------------------------------------------------------------------------
//
//   reads 8 bytes a frequency of every row, writes 4 bytes a node

__global__ void __launch_bounds__(kGridThreads)
    transform_rows_back_kernel(DeviceGrid grid, int batch) {
  CULATENT_DYNAMIC_SHARED(shared, float2);
  const int n = grid.size[0], threads = static_cast<int>(blockDim.x);
  const int first = static_cast<int>(blockIdx.x) * 2 * batch;
  const int half = n / 2;
  for (int at = static_cast<int>(threadIdx.x); at < batch * (half + 1); at += threads) {
    const int pair = at / (half + 1), k = at % (half + 1);
    const int row = first + 2 * pair;
    float2 a = make_float2(0.0f, 0.0f), b = a;
    if (row < grid.nodes[1]) {
      const float2* const from = grid.spectrum + std::int64_t{row} * grid.columns + k;
      a = from[0];
      b = from[grid.columns];
    }
    // a + i b, and its counterpart at −k; parts exchanged.
    shared[k * batch + pair] = make_float2(a.y + b.x, a.x - b.y);
    if (k > 0 && k < half) {
      shared[(n - k) * batch + pair] = make_float2(b.x - a.y, a.x + b.y);
    }
  }
  const float2* const z = device::fft(grid.along, batch, shared, shared + batch * n);
  for (int at = static_cast<int>(threadIdx.x); at < batch * grid.nodes[0]; at += threads) {
    const int pair = at / grid.nodes[0], t = at % grid.nodes[0];
    const int row = first + 2 * pair;
    const float2 value = z[t * batch + pair];
    float* const to = grid.potentials + std::int64_t{row} * grid.nodes[0] + t;
    if (row < grid.nodes[1]) to[0] = value.y;
    if (row + 1 < grid.nodes[1]) to[grid.nodes[0]] = value.x;
  }
}

}  // namespace

void convolve(const CudaBackend& backend, const DeviceGrid& grid, int batch_rows,
              int batch_columns) {
  const auto rows = static_cast<unsigned>(div_up(grid.nodes[1], 2 * batch_rows));
  const auto columns = static_cast<unsigned>(grid.columns / batch_columns);
  const auto space = [](int batch, int size) {
    return 2 * sizeof(float2) * static_cast<std::size_t>(batch) * static_cast<std::size_t>(size);
  };
  CUstream_st* const stream = backend.device.stream();
  device::launch(transform_rows_kernel, rows, kGridThreads, space(batch_rows, grid.size[0]), stream,
                 grid, batch_rows);
  device::launch(multiply_columns_kernel, columns, kGridThreads, space(batch_columns, grid.size[1]),
                 stream, grid, batch_columns);
  device::launch(transform_rows_back_kernel, rows, kGridThreads, space(batch_rows, grid.size[0]),
                 stream, grid, batch_rows);
}

}  // namespace culatent::tsne
