#include <algorithm>

#include "kernels/cuda/bernoulli_mixture.hpp"
#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/async.cuh"
#include "kernels/cuda/device/vector.cuh"

// ---- add_products -------------------------------------------------------------------------------
//
//   ones[b, k, j] = sum_row q(k, row) x(row, j),   zeros[b, k, j] = sum_row q(k, row) (1 − x(row,
//   j))
//
// over the rows of block b in ascending order; a missing x counts in neither. A block of 256
// threads, 16 by 16, has one block of rows, 16 kOwn components and 64 features, of which a thread
// has kOwn by 4, for ones and zeros. Rows are staged kDepth at a time in two buffers as they lie in
// memory: q by components, x by rows, one barrier each.
//   per warp and 16 bytes of rows (4 of float), kOwn 8: 256 FMA and 16 subtractions for 8
//   wavefronts of q, which 16 lanes share, and 8 of x; kOwn 1: 32 for 9
//   bytes: N D sizeof(T) from memory (L2, when log_joint() has just had them), q from L2 for every
//   64 features, and for every further 16 kOwn components x again
// Float, kOwn 8: 64 accumulators; two blocks a multiprocessor.

namespace culatent::bernoulli_mixture {
namespace {

using device::div_up;
using device::kVectorSize;
using device::Piece;

constexpr int kThreads = 256;
constexpr int kSide = 16;
constexpr int kOwnFeatures = 4;
constexpr int kFeatures = kSide * kOwnFeatures;

template <class T>
constexpr int kDepth = 64 / static_cast<int>(sizeof(T));  // rows at a time

template <class T, int kOwn>
struct Stage {
  // The pitch of q keeps the two components that a warp reads apart.
  alignas(16) T q[2][kSide * kOwn][kDepth<T> + kVectorSize<T>];
  alignas(16) T x[2][kDepth<T>][kFeatures];
};

// What brings a tile's rows and responsibilities to shared memory, kDepth rows at a time. A thread
// copies the same 16 bytes of a row each time, and of one component in kStep.
template <class T, int kOwn>
class Stager {
 public:
  __device__ __forceinline__ Stager(const DeviceRows<T>& rows,
                                    const DeviceResponsibilities<T>& resp, bool packed,
                                    std::int64_t first_row, std::int64_t n_components,
                                    std::int64_t n_features, Stage<T, kOwn>& stage)
      : stage_(stage),
        anchor_(resp.data),
        stride_(rows.stride),
        q_stride_(resp.stride),
        packed_(packed) {
    const int thread = static_cast<int>(threadIdx.x);
    x_ = rows.data + (first_row + row()) * rows.stride + feature();
    q_ = resp.data + thread / kPieces * resp.stride + first_row + thread % kPieces * kSize;
    n_values_ =
        static_cast<int>(max(min(n_features - feature(), std::int64_t{kSize}), std::int64_t{0}));
    n_components_ = static_cast<int>(min(n_components, std::int64_t{kSide * kOwn}));
  }

  // Starts copying the next rows, of which there are `n_rows`, to a buffer.
  __device__ __forceinline__ void fetch(int n_rows, int buffer) {
    constexpr int kBytes = static_cast<int>(sizeof(T));
    const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
    for (int first = 0; first < kSide * kOwn; first += kStep) {
      const int c = first + thread / kPieces;
      if (c >= kSide * kOwn) continue;
      const bool inside = c < n_components_;
      device::cp_async<16>(&stage_.q[buffer][c][thread % kPieces * kSize],
                           inside ? q_ + first * q_stride_ : anchor_, inside ? 16 : 0);
    }
    const int n_values = row() < n_rows ? n_values_ : 0;
    T* const to = &stage_.x[buffer][row()][feature()];
    if (packed_) {
      device::cp_async<16>(to, n_values > 0 ? x_ : anchor_, n_values * kBytes);
    } else {
#pragma unroll
      for (int v = 0; v < kSize; ++v) {
        const bool inside = v < n_values;
        device::cp_async<kBytes>(to + v, inside ? x_ + v : anchor_, inside ? kBytes : 0);
      }
    }
    device::cp_async_commit();
    x_ += kDepth<T> * stride_;
    q_ += kDepth<T>;
  }

 private:
  static constexpr int kSize = kVectorSize<T>;
  static constexpr int kPieces = kDepth<T> / kSize;  // of a component
  static constexpr int kStep = kThreads / kPieces;   // components copied at a time
  static_assert(kDepth<T> * kFeatures == kThreads * kSize);

  static __device__ __forceinline__ int row() {
    return static_cast<int>(threadIdx.x) / (kFeatures / kSize);
  }
  static __device__ __forceinline__ int feature() {
    return static_cast<int>(threadIdx.x) % (kFeatures / kSize) * kSize;
  }

  Stage<T, kOwn>& stage_;
  const T* const anchor_;  // what may be named, and is not read, where nothing is copied
  const T* x_;
  const T* q_;
  const std::int64_t stride_;
  const std::int64_t q_stride_;
  int n_values_;      // of the thread's piece of a row
  int n_components_;  // of the tile
  const bool packed_;
};

// Rows that a thread has in registers at a time: what 64 accumulators leave room for.
template <class T, int kOwn>
constexpr int kTaken = kOwn * sizeof(T) >= 32 ? kVectorSize<T> / 2 : kVectorSize<T>;

// The thread's sums over kTaken rows of a buffer.
template <class T, int kOwn, bool kZeros, bool kMissing>
__device__ __forceinline__ void add_rows(const Stage<T, kOwn>& stage, int buffer, int row,
                                         T (&ones)[kOwn][kOwnFeatures],
                                         T (&zeros)[kOwn][kOwnFeatures]) {
  constexpr int kRows = kTaken<T, kOwn>;
  constexpr int kSize = kVectorSize<T>;
  const int tx = static_cast<int>(threadIdx.x) % kSide;
  const int ty = static_cast<int>(threadIdx.x) / kSide;
  T x[kRows][kOwnFeatures], rest[kRows][kOwnFeatures];
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int j = 0; j < kOwnFeatures; j += kSize) {
      const auto piece = *reinterpret_cast<const Piece<T, kSize>*>(
          &stage.x[buffer][row + r][j * kSide + tx * kSize]);
#pragma unroll
      for (int v = 0; v < kSize; ++v) {
        const T value = piece.v[v];
        const bool there = !kMissing || value == value;
        x[r][j + v] = there ? value : T{0};
        rest[r][j + v] = there ? T{1} - value : T{0};
      }
    }
  }
#pragma unroll
  for (int c = 0; c < kOwn; ++c) {
    const auto q = *reinterpret_cast<const Piece<T, kRows>*>(&stage.q[buffer][c * kSide + ty][row]);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int j = 0; j < kOwnFeatures; ++j) {
        ones[c][j] = fma(q.v[r], x[r][j], ones[c][j]);
        if constexpr (kZeros) zeros[c][j] = fma(q.v[r], rest[r][j], zeros[c][j]);
      }
    }
  }
}

template <class T, int kOwn, bool kZeros, bool kMissing>
__global__ void __launch_bounds__(kThreads, 2)
    add_products_kernel(DeviceRows<T> rows, std::int64_t n_components,
                        DeviceResponsibilities<T> resp, bool packed, unsigned panels,
                        unsigned chunks, T* tails) {
  CULATENT_SHARED(stage, Stage<T, kOwn>);
  const std::int64_t block = blockIdx.x / (panels * chunks);
  const std::int64_t first_k = std::int64_t{blockIdx.x / chunks % panels} * (kSide * kOwn);
  const std::int64_t first_feature = std::int64_t{blockIdx.x % chunks} * kFeatures;
  int left = static_cast<int>(min(kBlockRows, rows.n_rows - block * kBlockRows));
  DeviceRows<T> tile_rows = rows;
  tile_rows.data += first_feature;
  resp.data += first_k * resp.stride;
  Stager<T, kOwn> staging(tile_rows, resp, packed, block * kBlockRows, n_components - first_k,
                          rows.n_features - first_feature, stage);
  T ones[kOwn][kOwnFeatures] = {}, zeros[kOwn][kOwnFeatures] = {};
  staging.fetch(left, 0);
  int current = 0;
  for (; left > 0; left -= kDepth<T>) {
    device::cp_async_wait<0>();
    __syncthreads();
    if (left > kDepth<T>) staging.fetch(left - kDepth<T>, 1 - current);
#pragma unroll 1
    for (int row = 0; row < kDepth<T>; row += kTaken<T, kOwn>) {
      add_rows<T, kOwn, kZeros, kMissing>(stage, current, row, ones, zeros);
    }
    current = 1 - current;
  }
  const int tx = static_cast<int>(threadIdx.x) % kSide;
  const int ty = static_cast<int>(threadIdx.x) / kSide;
  const std::int64_t d = rows.n_features;
  const std::int64_t width = kZeros ? 2 * d : d;
  constexpr int kSize = kVectorSize<T>;
#pragma unroll
  for (int c = 0; c < kOwn; ++c) {
    const std::int64_t k = first_k + c * kSide + ty;
    if (k >= n_components) continue;
    T* const record = tails + (block * n_components + k) * width;
#pragma unroll
    for (int j = 0; j < kOwnFeatures; ++j) {
      const std::int64_t feature =
          first_feature + j / kSize * kSize * kSide + tx * kSize + j % kSize;
      if (feature >= d) continue;
      record[feature] = ones[c][j];
      if constexpr (kZeros) record[d + feature] = zeros[c][j];
    }
  }
}

template <class T, int kOwn>
void launch_products(const CudaBackend& backend, const DeviceRows<T>& rows,
                     std::int64_t n_components, bool missing, const DeviceResponsibilities<T>& resp,
                     T* tails) {
  const std::int64_t panels = div_up<std::int64_t>(n_components, kSide * kOwn);
  const std::int64_t chunks = div_up<std::int64_t>(rows.n_features, kFeatures);
  const auto grid = static_cast<unsigned>(panels * chunks * div_up(rows.n_rows, kBlockRows));
  const bool packed = device::whole_pieces(rows.data, rows.stride, rows.n_features, kVectorSize<T>);
  const auto kernel = missing ? add_products_kernel<T, kOwn, true, true>
                              : add_products_kernel<T, kOwn, sizeof(T) == 4, false>;
  device::launch(kernel, grid, kThreads, 0, backend.device.stream(), rows, n_components, resp,
                 packed, panels, chunks, tails);
}

}  // namespace

template <class T>
void add_products(const CudaBackend& backend, const DeviceRows<T>& rows, std::int64_t n_components,
                  bool missing, const DeviceResponsibilities<T>& resp, T* tails) {
  if (rows.n_rows == 0) return;
  const std::int64_t k = n_components;
  if (k <= 16) return launch_products<T, 1>(backend, rows, k, missing, resp, tails);
  if (k <= 32) return launch_products<T, 2>(backend, rows, k, missing, resp, tails);
  if constexpr (sizeof(T) == 4) {
    if (k > 64) return launch_products<T, 8>(backend, rows, k, missing, resp, tails);
  }
  launch_products<T, 4>(backend, rows, k, missing, resp, tails);
}

#define CULATENT_INSTANTIATE(T)                                                            \
  template void add_products(const CudaBackend&, const DeviceRows<T>&, std::int64_t, bool, \
                             const DeviceResponsibilities<T>&, T*);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::bernoulli_mixture
