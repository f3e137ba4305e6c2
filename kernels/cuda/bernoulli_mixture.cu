#include <limits>

#include "kernels/cuda/bernoulli_mixture.hpp"
#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/async.cuh"
#include "kernels/cuda/device/normalise.cuh"
#include "kernels/cuda/device/vector.cuh"

namespace culatent::bernoulli_mixture {
namespace {

using device::div_up;
using device::kVectorSize;
using device::Piece;

// ---- log_joint ----------------------------------------------------------------------------------
//
//   out(k, row) = constant_k + sum_f input_f(row) factor_fk,   f in ascending order
//
// Inputs are the values; with missing values a value (0 for NaN) and the mark of its being there by
// turns, made on the way to shared memory. A block of 256 threads, 16 by 16, has 128 rows and
// 16 kOwn components, a thread 8 by kOwn of them. Inputs are staged kDepth at a time in two
// buffers: the next are under way while these are multiplied, one barrier each. Rows, components
// and features beyond the last are 0, which adds nothing.
//   per warp and input, float: 8 kOwn FMA for 2 wavefronts of rows, which 16 lanes share, and
//   kOwn / 2 of factors (at least 1): FMA-bound from kOwn 2 on, and kOwn 1 (K ≤ 16) takes 3
//   wavefronts of 128 rows, less time than 128 rows take from memory
//   bytes: N D sizeof(T) from memory, as much from L2 for every further 16 kOwn components
// Rounding: at most (F + 1) u (|constant| + sum |input factor|).

constexpr int kThreads = 256;
constexpr int kSide = 16;
constexpr int kOwnRows = 8;
constexpr int kRows = kSide * kOwnRows;

template <class T>
constexpr int kDepth = 64 / static_cast<int>(sizeof(T));

template <class T, int kOwn>
struct Stage {
  // The pitch: a warp's stores of 16 inputs of two rows meet a bank twice.
  alignas(16) T inputs[2][kDepth<T>][kRows + kVectorSize<T>];
  alignas(16) T factors[2][kDepth<T>][kSide * kOwn];
};

// Inputs multiplied at a time: fewer where accumulators take most of the registers.
template <class T, int kOwn>
constexpr int kUnrolled = kOwn * sizeof(T) >= 32 ? 2 : 4;

template <class T, int kCount>
using Along = device::Along<T, kSide, kCount>;

// What brings inputs and factors of a tile to shared memory, kFeatures features at a time.
template <class T, int kOwn, bool kMissing>
class Stager {
 public:
  static constexpr int kLines = kMissing ? 2 : 1;  // of a feature
  static constexpr int kFeatures = kDepth<T> / kLines;

  __device__ __forceinline__ Stager(const DeviceRows<T>& rows, const T* factors, int pitch,
                                    std::int64_t first_row, Stage<T, kOwn>& stage)
      : stage_(stage), factors_(factors), pitch_(pitch), stride_(rows.stride) {
    const int thread = static_cast<int>(threadIdx.x);
    place_ = std::int64_t{thread / kPieces} * pitch + thread % kPieces * kVector;
    const std::int64_t row = first_row + thread / kFeatures;
    left_ = static_cast<int>(max(min(rows.n_rows - row, std::int64_t{kRows}), std::int64_t{0}));
    values_ = rows.data + row * rows.stride + thread % kFeatures;
  }

  // Starts loading the next features, of which there are `n_features`: rows to registers, factors
  // to a buffer.
  __device__ __forceinline__ void fetch(std::int64_t n_features, int buffer) {
    constexpr int kBytes = kVector * static_cast<int>(sizeof(T));
    const int thread = static_cast<int>(threadIdx.x);
    const int n_lines = kLines * static_cast<int>(min(n_features, std::int64_t{kFeatures}));
#pragma unroll
    for (int first = 0; first < kDepth<T>; first += kLineStep) {
      const int line = first + thread / kPieces;
      if (line >= kDepth<T>) continue;
      const bool inside = line < n_lines;
      device::cp_async<kBytes>(&stage_.factors[buffer][line][thread % kPieces * kVector],
                               factors_ + (inside ? place_ + std::int64_t{first} * pitch_ : 0),
                               inside ? kBytes : 0);
    }
    device::cp_async_commit();
    place_ += std::int64_t{kDepth<T>} * pitch_;
    const int left = thread % kFeatures < n_features ? left_ : 0;
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      // NaN is what a missing value is, so what lies beyond the last is one.
      raw_[i] = i * kStep < left ? values_[i * kStep * stride_] : kNothing;
    }
    values_ += kFeatures;
  }

  // Puts what the thread has loaded into a buffer.
  __device__ __forceinline__ void store(int buffer) {
    const int thread = static_cast<int>(threadIdx.x);
    const int feature = thread % kFeatures, at = thread / kFeatures;
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const T value = raw_[i];
      if constexpr (kMissing) {
        const bool there = value == value;
        stage_.inputs[buffer][2 * feature][at + i * kStep] = there ? value : T{0};
        stage_.inputs[buffer][2 * feature + 1][at + i * kStep] = there ? T{1} : T{0};
      } else {
        stage_.inputs[buffer][feature][at + i * kStep] = value;
      }
    }
  }

 private:
  static constexpr int kStep = kThreads / kFeatures;  // rows loaded at a time
  static constexpr int kBatch = kRows / kStep;
  static constexpr T kNothing = kMissing ? std::numeric_limits<T>::quiet_NaN() : T{0};

  static constexpr int kVector = Along<T, kOwn>::kSize;
  static constexpr int kPieces = kSide * kOwn / kVector;  // of a line of factors
  static constexpr int kLineStep = kThreads / kPieces;    // lines copied at a time

  Stage<T, kOwn>& stage_;
  const T* const factors_;  // what may be named, and is not read, where nothing is copied
  std::int64_t place_;      // of what the thread copies next
  const int pitch_;
  const T* values_;
  const std::int64_t stride_;
  int left_;  // rows from the thread's first on
  T raw_[kBatch];
};

template <class T, int kOwn, bool kMissing>
__global__ void __launch_bounds__(kThreads, 2)
    log_joint_kernel(DeviceRows<T> rows, DeviceParameters<T> parameters, int pitch, unsigned panels,
                     DeviceResponsibilities<T> out) {
  using Staging = Stager<T, kOwn, kMissing>;
  CULATENT_SHARED(stage, Stage<T, kOwn>);
  const int tx = static_cast<int>(threadIdx.x) % kSide;
  const int ty = static_cast<int>(threadIdx.x) / kSide;
  const std::int64_t first_row = std::int64_t{blockIdx.x / panels} * kRows;
  const std::int64_t first_k = std::int64_t{blockIdx.x % panels} * (kSide * kOwn);
  Staging staging(rows, parameters.factors + first_k, pitch, first_row, stage);
  T sums[kOwnRows][kOwn] = {};
  std::int64_t left = rows.n_features;  // features that are not multiplied yet
  staging.fetch(left, 0);
  staging.store(0);
  int current = 0;
  for (; left > 0; left -= Staging::kFeatures) {
    device::cp_async_wait<0>();
    __syncthreads();
    const bool more = left > Staging::kFeatures;
    if (more) staging.fetch(left - Staging::kFeatures, 1 - current);
#pragma unroll kUnrolled < T, kOwn>
    for (int line = 0; line < kDepth<T>; ++line) {
      T x[kOwnRows], factor[kOwn];
      Along<T, kOwnRows>::load(stage.inputs[current][line], ty, x);
      Along<T, kOwn>::load(stage.factors[current][line], tx, factor);
#pragma unroll
      for (int r = 0; r < kOwnRows; ++r) {
#pragma unroll
        for (int c = 0; c < kOwn; ++c) sums[r][c] = fma(x[r], factor[c], sums[r][c]);
      }
    }
    if (more) staging.store(1 - current);
    current = 1 - current;
  }
  constexpr int kSize = kVectorSize<T>;
#pragma unroll
  for (int c = 0; c < kOwn; ++c) {
    const std::int64_t k = first_k + Along<T, kOwn>::at(tx, c);
    if (k >= parameters.n_components) continue;
    const T constant = parameters.constants[k];
#pragma unroll
    for (int r = 0; r < kOwnRows; r += kSize) {
      // Rows beyond the last lie within the block's, where nothing is.
      const std::int64_t row = first_row + Along<T, kOwnRows>::at(ty, r);
      Piece<T, kSize> piece;
#pragma unroll
      for (int v = 0; v < kSize; ++v) piece.v[v] = constant + sums[r + v][c];
      *reinterpret_cast<Piece<T, kSize>*>(out.data + k * out.stride + row) = piece;
    }
  }
}

// ---- normalise ----------------------------------------------------------------------------------
//
// As kernels/cuda/device/normalise.cuh has it. No density is infinite: log_pair() has no −∞.

template <class T>
__global__ void __launch_bounds__(device::kRecordThreads, sizeof(T) == 4 ? 2 : 1)
    normalise_kernel(DeviceRows<T> rows, std::int64_t n_components, DeviceResponsibilities<T> resp,
                     double* log_prob, double* heads) {
  device::normalise_block(resp, rows.weights, rows.n_rows, n_components, log_prob, heads,
                          [](std::int64_t, bool, double greatest) { return greatest; });
}

// ---- find_outside -------------------------------------------------------------------------------
//
// One block for kBlockRows rows; a warp takes a row at a time, lanes features. The least of
// integers does not depend on the order.
//   bytes: N D sizeof(T)

constexpr unsigned long long kNowhere = ~0ull;

template <class T>
__global__ void __launch_bounds__(kThreads)
    find_outside_kernel(DeviceRows<T> rows, std::int64_t first_row, bool missing,
                        std::int64_t* cell) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t begin = std::int64_t{blockIdx.x} * kBlockRows;
  const std::int64_t end = min(begin + kBlockRows, rows.n_rows);
  unsigned long long first = kNowhere;
  for (std::int64_t row = begin + threadIdx.x / 32; row < end; row += kThreads / 32) {
    const T* values = rows.data + row * rows.stride;
    for (std::int64_t j = lane; j < rows.n_features; j += 32) {
      const T value = values[j];
      const auto at = static_cast<unsigned long long>((first_row + row) * rows.n_features + j);
      const bool fits = (value >= T{0} && value <= T{1}) || (missing && value != value);
      if (!fits && at < first) first = at;
    }
  }
  if (first != kNowhere) {
    atomicMin(reinterpret_cast<unsigned long long*>(cell), first);
  }
}

template <class T, int kOwn>
void launch_log_joint(const CudaBackend& backend, const DeviceRows<T>& rows,
                      const DeviceParameters<T>& parameters, const DeviceResponsibilities<T>& out) {
  const std::int64_t panels = div_up<std::int64_t>(parameters.n_components, kSide * kOwn);
  const auto grid = static_cast<unsigned>(panels * div_up<std::int64_t>(rows.n_rows, kRows));
  const auto kernel =
      parameters.missing ? log_joint_kernel<T, kOwn, true> : log_joint_kernel<T, kOwn, false>;
  device::launch(kernel, grid, kThreads, 0, backend.device.stream(), rows, parameters,
                 static_cast<int>(padded_components(parameters.n_components)), panels, out);
}

}  // namespace

template <class T>
void log_joint(const CudaBackend& backend, const DeviceRows<T>& rows,
               const DeviceParameters<T>& parameters, const DeviceResponsibilities<T>& out) {
  if (rows.n_rows == 0) return;
  const std::int64_t k = parameters.n_components;
  if (k <= 16) return launch_log_joint<T, 1>(backend, rows, parameters, out);
  if (k <= 32) return launch_log_joint<T, 2>(backend, rows, parameters, out);
  if constexpr (sizeof(T) == 4) {
    if (k > 64) return launch_log_joint<T, 8>(backend, rows, parameters, out);
  }
  launch_log_joint<T, 4>(backend, rows, parameters, out);
}

template <class T>
void normalise(const CudaBackend& backend, const DeviceRows<T>& rows, std::int64_t n_components,
               const DeviceResponsibilities<T>& resp, double* log_prob, double* heads) {
  static_assert(kHeads == device::NormaliseHead::kSize);
  if (rows.n_rows == 0) return;
  device::launch(normalise_kernel<T>, static_cast<unsigned>(div_up(rows.n_rows, kBlockRows)),
                 device::kRecordThreads, 0, backend.device.stream(), rows, n_components, resp,
                 log_prob, heads);
}

template <class T>
void find_outside(const CudaBackend& backend, const DeviceRows<T>& rows, std::int64_t first_row,
                  bool missing, std::int64_t* cell) {
  if (rows.n_rows == 0) return;
  device::launch(find_outside_kernel<T>, static_cast<unsigned>(div_up(rows.n_rows, kBlockRows)),
                 kThreads, 0, backend.device.stream(), rows, first_row, missing, cell);
}

#define CULATENT_INSTANTIATE(T)                                                                 \
  template void log_joint(const CudaBackend&, const DeviceRows<T>&, const DeviceParameters<T>&, \
                          const DeviceResponsibilities<T>&);                                    \
  template void normalise(const CudaBackend&, const DeviceRows<T>&, std::int64_t,               \
                          const DeviceResponsibilities<T>&, double*, double*);                  \
  template void find_outside(const CudaBackend&, const DeviceRows<T>&, std::int64_t, bool,      \
                             std::int64_t*);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::bernoulli_mixture
