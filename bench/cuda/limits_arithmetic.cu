#include "bench/cuda/limits.hpp"
#include "bench/cuda/ptx.cuh"
#include "bench/cuda/timing.hpp"
#include "kernels/cuda/device/launch.cuh"

// Rates of the CUDA cores: chains of dependent operations in registers, kChains of them a thread,
// so that the pipe and not its latency is the limit. Nothing is read; a result is written only in
// a case that does not come about, so that the compiler keeps the work.

namespace culatent::bench {
namespace {

constexpr int kChains = 8;
constexpr int kThreads = 256;
constexpr int kBlocksPerMultiprocessor = 4;

template <class T>
__global__ void __launch_bounds__(kThreads) fma_kernel(T* never, T factor, T term, int steps) {
  T value[kChains];
#pragma unroll
  for (int c = 0; c < kChains; ++c) value[c] = static_cast<T>(threadIdx.x + c);
#pragma unroll 1
  for (int i = 0; i < steps; ++i) {
#pragma unroll
    for (int c = 0; c < 8 * kChains; ++c) {
      value[c % kChains] = value[c % kChains] * factor + term;
    }
  }
  T sum = 0;
#pragma unroll
  for (int c = 0; c < kChains; ++c) sum += value[c];
  if (sum == T{-1}) never[threadIdx.x] = sum;
}

struct Ex2 {
  __device__ __forceinline__ static float apply(float x) { return ptx::ex2(-x); }
};
struct Rcp {
  __device__ __forceinline__ static float apply(float x) { return ptx::rcp(x); }
};

// One function of the MUFU and Fmas FFMAs beside it, on chains of their own.
template <class F, int Fmas>
__global__ void __launch_bounds__(kThreads)
    mufu_kernel(float* never, float factor, float term, int steps) {
  float special[kChains], value[kChains];
#pragma unroll
  for (int c = 0; c < kChains; ++c) {
    special[c] = static_cast<float>(threadIdx.x + c) + 0.5f;
    value[c] = static_cast<float>(threadIdx.x + c);
  }
#pragma unroll 1
  for (int i = 0; i < steps; ++i) {
#pragma unroll
    for (int c = 0; c < kChains; ++c) {
      special[c] = F::apply(special[c]);
#pragma unroll
      for (int f = 0; f < Fmas; ++f) {
        const int chain = (c * Fmas + f) % kChains;
        value[chain] = value[chain] * factor + term;
      }
    }
  }
  float sum = 0.0f;
#pragma unroll
  for (int c = 0; c < kChains; ++c) sum += special[c] + value[c];
  if (sum == -1.0f) never[threadIdx.x] = sum;
}

template <class T>
Entry fma_rate(const Limits& limits, const char* name, const char* workload, int steps) {
  const int blocks = kBlocksPerMultiprocessor * limits.device.n_multiprocessors();
  const DeviceArray<T> never(limits.device, kThreads, "a result");
  Entry entry{.name = name, .workload = workload, .unit = "flop/s"};
  entry.seconds = median_seconds(limits.device.stream(), limits.budget, [&] {
    device::launch(fma_kernel<T>, dim3(static_cast<unsigned>(blocks)), dim3(kThreads), 0,
                   limits.device.stream(), never.data(), static_cast<T>(0.9999), static_cast<T>(1),
                   steps);
  });
  entry.rate = 2.0 * 8 * kChains * double(steps) * kThreads * blocks / entry.seconds;
  return entry;
}

// Functions a second.
template <class F, int Fmas>
Entry mufu_rate(const Limits& limits, const char* name, const char* workload, int steps) {
  const int blocks = kBlocksPerMultiprocessor * limits.device.n_multiprocessors();
  const DeviceArray<float> never(limits.device, kThreads, "a result");
  Entry entry{.name = name, .workload = workload, .unit = "op/s"};
  entry.seconds = median_seconds(limits.device.stream(), limits.budget, [&] {
    device::launch(mufu_kernel<F, Fmas>, dim3(static_cast<unsigned>(blocks)), dim3(kThreads), 0,
                   limits.device.stream(), never.data(), 0.9999f, 1.0f, steps);
  });
  entry.rate = kChains * double(steps) * kThreads * blocks / entry.seconds;
  return entry;
}

}  // namespace

void measure_arithmetic(const Limits& limits) {
  const int steps = limits.quick ? 2000 : 20000;
  limits.add(fma_rate<float>(limits, "limits.fma", "float32", steps));
  limits.add(fma_rate<double>(limits, "limits.fma", "float64", steps / 2));
  limits.add(mufu_rate<Ex2, 0>(limits, "limits.ex2", "alone", steps));
  limits.add(mufu_rate<Rcp, 0>(limits, "limits.rcp", "alone", steps));
  limits.add(mufu_rate<Ex2, 4>(limits, "limits.ex2", "beside 4 FFMA", steps));
  limits.add(mufu_rate<Rcp, 10>(limits, "limits.rcp", "beside 10 FFMA", steps));
}

}  // namespace culatent::bench
