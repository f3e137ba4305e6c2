#include "bench/cuda/limits.hpp"
#include "bench/cuda/ptx.cuh"
#include "bench/cuda/timing.hpp"
#include "kernels/cuda/device/launch.cuh"

// What mma.sync gives at most: a warp's tile of 32 x 32 in registers, two sets of random operands
// in turn (operands that never change draw less power, and the clock follows the power).

namespace culatent::bench {
namespace {

constexpr int kThreads = 128;
constexpr int kBlocksPerMultiprocessor = 4;
constexpr int kRowTiles = 2, kColumnTiles = 4;  // of 16 and 8

// Different and reproducible bits for each thread and place: values in (−1, 1).
__device__ __forceinline__ float noise(unsigned place) {
  unsigned bits = (threadIdx.x + 1u) * 2654435761u + place * 2246822519u;
  bits ^= bits >> 15;
  bits *= 2246822519u;
  bits ^= bits >> 13;
  return static_cast<float>(static_cast<int>(bits)) * 0x1p-31f;
}

__device__ __forceinline__ void step(float (&c)[4], const std::uint32_t (&a)[4],
                                     const std::uint32_t (&b)[2], bool bf16) {
  if (bf16) {
    ptx::mma_bf16(c, a, b);
  } else {
    ptx::mma_tf32(c, a, b);
  }
}

template <bool Bf16>
__global__ void __launch_bounds__(kThreads) mma_kernel(float* never, int steps) {
  std::uint32_t a[2][kRowTiles][4], b[2][kColumnTiles][2];
  float c[kRowTiles][kColumnTiles][4] = {};
#pragma unroll
  for (int set = 0; set < 2; ++set) {
#pragma unroll
    for (int i = 0; i < 4 * kRowTiles; ++i) {
      const unsigned place = static_cast<unsigned>(64 * set + i);
      a[set][i / 4][i % 4] =
          Bf16 ? ptx::to_bf16x2(noise(place), noise(place + 16)) : ptx::to_tf32(noise(place));
    }
#pragma unroll
    for (int i = 0; i < 2 * kColumnTiles; ++i) {
      const unsigned place = static_cast<unsigned>(64 * set + 32 + i);
      b[set][i / 2][i % 2] =
          Bf16 ? ptx::to_bf16x2(noise(place), noise(place + 16)) : ptx::to_tf32(noise(place));
    }
  }
#pragma unroll 1
  for (int i = 0; i < steps; ++i) {
#pragma unroll
    for (int set = 0; set < 2; ++set) {
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
        for (int n = 0; n < kColumnTiles; ++n) step(c[m][n], a[set][m], b[set][n], Bf16);
      }
    }
  }
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < kRowTiles * kColumnTiles * 4; ++i) sum += c[i / 16][i / 4 % 4][i % 4];
  if (sum == -1.0f) never[threadIdx.x] = sum;
}

__global__ void __launch_bounds__(kThreads) mma_f64_kernel(double* never, int steps) {
  constexpr int kTiles = 8;
  double c[kTiles][2] = {};
  const double a[2] = {static_cast<double>(noise(0)), static_cast<double>(noise(1))};
  const double b[2] = {static_cast<double>(noise(2)), static_cast<double>(noise(3))};
#pragma unroll 1
  for (int i = 0; i < steps; ++i) {
#pragma unroll
    for (int set = 0; set < 2; ++set) {
#pragma unroll
      for (int t = 0; t < kTiles; ++t) ptx::mma_f64(c[t], a[set], b[set]);
    }
  }
  double sum = 0.0;
#pragma unroll
  for (int t = 0; t < kTiles; ++t) sum += c[t][0] + c[t][1];
  if (sum == -1.0) never[threadIdx.x] = sum;
}

// `flops` of one warp in one step.
template <class T>
Entry mma_rate(const Limits& limits, const char* workload, void (*kernel)(T*, int), int steps,
               double flops) {
  const int blocks = kBlocksPerMultiprocessor * limits.device.n_multiprocessors();
  const DeviceArray<T> never(limits.device, kThreads, "a result");
  Entry entry{.name = "limits.mma_sync", .workload = workload, .unit = "flop/s"};
  entry.seconds = median_seconds(limits.device.stream(), limits.budget, [&] {
    device::launch(kernel, dim3(static_cast<unsigned>(blocks)), dim3(kThreads), 0,
                   limits.device.stream(), never.data(), steps);
  });
  entry.rate = flops * double(steps) * (kThreads / 32) * blocks / entry.seconds;
  return entry;
}

}  // namespace

void measure_tensor(const Limits& limits) {
  const int steps = limits.quick ? 1000 : 10000;
  constexpr double kTiles = 2.0 * kRowTiles * kColumnTiles;  // of both sets
  limits.add(mma_rate<float>(limits, "tf32", mma_kernel<false>, steps, kTiles * 2 * 16 * 8 * 8));
  limits.add(mma_rate<float>(limits, "bf16", mma_kernel<true>, steps, kTiles * 2 * 16 * 8 * 16));
  limits.add(mma_rate<double>(limits, "float64", mma_f64_kernel, steps, 16.0 * 2 * 8 * 8 * 4));
}

}  // namespace culatent::bench
