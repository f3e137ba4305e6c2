#include "bench/cuda/limits.hpp"
#include "bench/cuda/ptx.cuh"
#include "bench/cuda/timing.hpp"
#include "kernels/cuda/device/launch.cuh"

// Products of float32 matrices on the tensor cores, each operand split into terms whose products
// are added: x = x1 + x2 (+ x3), a b = a1 b1 + a1 b2 + a2 b1 (+ a2 b2 + a1 b3 + a3 b1). The rate
// that a kernel built this way can reach: a warp's tile of 64 x 32, operands read as float32 from
// shared memory and split in registers at every step. Flops are those of the product, 2 m n k, so
// the rates compare with FFMA's.

namespace culatent::bench {
namespace {

constexpr int kThreads = 128;
constexpr int kBlocksPerMultiprocessor = 2;
constexpr int kRowTiles = 4, kColumnTiles = 4;  // of 16 and 8
constexpr int kShared = 4096;                   // floats
constexpr int kFeatures = 16;                   // of one step: 2 tf32 products or 1 of bf16

// Register `r` of an operand, cut into Terms parts: one value of tf32, two of bf16.
template <int Terms>
__device__ __forceinline__ void split_tf32(float x, std::uint32_t (&parts)[Terms]) {
#pragma unroll
  for (int t = 0; t < Terms; ++t) {
    parts[t] = ptx::to_tf32(x);
    x -= __uint_as_float(parts[t]);
  }
}

template <int Terms>
__device__ __forceinline__ void split_bf16(float high, float low, std::uint32_t (&parts)[Terms]) {
#pragma unroll
  for (int t = 0; t < Terms; ++t) {
    parts[t] = ptx::to_bf16x2(high, low);
    high -= __uint_as_float(parts[t] & 0xffff0000u);
    low -= __uint_as_float(parts[t] << 16);
  }
}

template <int Terms, int Registers>
__device__ __forceinline__ void load_tf32(const float* from,
                                          std::uint32_t (&operand)[Terms][Registers]) {
#pragma unroll
  for (int r = 0; r < Registers; ++r) {
    std::uint32_t parts[Terms];
    split_tf32(from[32 * r], parts);
#pragma unroll
    for (int t = 0; t < Terms; ++t) operand[t][r] = parts[t];
  }
}

template <int Terms, int Registers>
__device__ __forceinline__ void load_bf16(const float* from,
                                          std::uint32_t (&operand)[Terms][Registers]) {
#pragma unroll
  for (int r = 0; r < Registers; ++r) {
    std::uint32_t parts[Terms];
    split_bf16(from[64 * r], from[64 * r + 32], parts);
#pragma unroll
    for (int t = 0; t < Terms; ++t) operand[t][r] = parts[t];
  }
}

// c += a b by the products that matter, small ones first: first + second index < Terms, and at 3
// terms the middle one squared is among them.
template <int Terms, bool Bf16>
__device__ __forceinline__ void multiply(float (&c)[4], const std::uint32_t (&a)[Terms][4],
                                         const std::uint32_t (&b)[Terms][2]) {
#pragma unroll
  for (int order = Terms - 1; order >= 0; --order) {
#pragma unroll
    for (int i = 0; i <= order; ++i) {
      if (Bf16) {
        ptx::mma_bf16(c, a[i], b[order - i]);
      } else {
        ptx::mma_tf32(c, a[i], b[order - i]);
      }
    }
  }
}

template <int Terms, bool Bf16>
__global__ void __launch_bounds__(kThreads) split_kernel(float* never, int steps) {
  CULATENT_SHARED(shared, float[kShared]);
  for (int i = static_cast<int>(threadIdx.x); i < kShared; i += kThreads) {
    const unsigned bits = (static_cast<unsigned>(i) + 1u) * 2654435761u;
    shared[i] = static_cast<float>(static_cast<int>(bits ^ (bits >> 15))) * 0x1p-31f;
  }
  __syncthreads();
  constexpr int kProducts = Bf16 ? 1 : 2;  // a step
  constexpr int kRow = Bf16 ? 256 : 128;   // floats of an operand of 16 rows
  constexpr int kColumn = kRow / 2;        // and of 8 columns
  float c[kRowTiles][kColumnTiles][4] = {};
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll 1
  for (int i = 0; i < steps; ++i) {
    const float* from = shared + (i * 32) % (kShared / 2) + lane;
#pragma unroll
    for (int product = 0; product < kProducts; ++product) {
      std::uint32_t a[kRowTiles][Terms][4], b[kColumnTiles][Terms][2];
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        if (Bf16) {
          load_bf16(from + m * kRow, a[m]);
        } else {
          load_tf32(from + (kProducts * m + product) * kRow, a[m]);
        }
      }
#pragma unroll
      for (int n = 0; n < kColumnTiles; ++n) {
        const float* columns = from + kRowTiles * kProducts * kRow;
        if (Bf16) {
          load_bf16(columns + n * kColumn, b[n]);
        } else {
          load_tf32(columns + (kProducts * n + product) * kColumn, b[n]);
        }
      }
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
        for (int n = 0; n < kColumnTiles; ++n) multiply<Terms, Bf16>(c[m][n], a[m], b[n]);
      }
    }
  }
  float sum = 0.0f;
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
    for (int n = 0; n < 4 * kColumnTiles; ++n) sum += c[m][n / 4][n % 4];
  }
  if (sum == -1.0f) never[threadIdx.x] = sum;
}

Entry split_rate(const Limits& limits, const char* workload, void (*kernel)(float*, int),
                 int steps) {
  const int blocks = kBlocksPerMultiprocessor * limits.device.n_multiprocessors();
  const DeviceArray<float> never(limits.device, kThreads, "a result");
  Entry entry{.name = "limits.split_product", .workload = workload, .unit = "flop/s"};
  entry.seconds = median_seconds(limits.device.stream(), limits.budget, [&] {
    device::launch(kernel, dim3(static_cast<unsigned>(blocks)), dim3(kThreads), 0,
                   limits.device.stream(), never.data(), steps);
  });
  entry.rate = 2.0 * (16 * kRowTiles) * (8 * kColumnTiles) * kFeatures * double(steps) *
               (kThreads / 32) * blocks / entry.seconds;
  return entry;
}

}  // namespace

void measure_split(const Limits& limits) {
  const int steps = limits.quick ? 500 : 5000;
  limits.add(split_rate(limits, "tf32x1", split_kernel<1, false>, steps));
  limits.add(split_rate(limits, "tf32x3", split_kernel<2, false>, steps));
  limits.add(split_rate(limits, "bf16x1", split_kernel<1, true>, steps));
  limits.add(split_rate(limits, "bf16x3", split_kernel<2, true>, steps));
  limits.add(split_rate(limits, "bf16x6", split_kernel<3, true>, steps));
}

}  // namespace culatent::bench
