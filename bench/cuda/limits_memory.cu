#include <algorithm>

#include "bench/cuda/limits.hpp"
#include "bench/cuda/timing.hpp"
#include "kernels/cuda/device/launch.cuh"

namespace culatent::bench {
namespace {

constexpr int kThreads = 256;
constexpr int kBlocksPerMultiprocessor = 8;

__device__ __forceinline__ unsigned scrambled(unsigned x) {
  x ^= x >> 16;
  x *= 2246822519u;
  x ^= x >> 13;
  x *= 3266489917u;
  return x ^ (x >> 16);
}

__device__ __forceinline__ std::int64_t first_index() {
  return std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
}

__device__ __forceinline__ std::int64_t n_threads() { return std::int64_t{gridDim.x} * kThreads; }

__global__ void __launch_bounds__(kThreads) fill_kernel(uint4* out, std::int64_t count) {
  for (std::int64_t i = first_index(); i < count; i += n_threads()) {
    const unsigned x = scrambled(static_cast<unsigned>(i));
    out[i] = {x, scrambled(x + 1), scrambled(x + 2), scrambled(x + 3)};
  }
}

__global__ void __launch_bounds__(kThreads)
    copy_kernel(const uint4* from, uint4* to, std::int64_t count) {
  for (std::int64_t i = first_index(); i < count; i += n_threads()) to[i] = from[i];
}

__global__ void __launch_bounds__(kThreads)
    read_kernel(const uint4* from, unsigned* never, std::int64_t count, int passes) {
  unsigned mix = 0;
#pragma unroll 1
  for (int pass = 0; pass < passes; ++pass) {
#pragma unroll 4
    for (std::int64_t i = first_index(); i < count; i += n_threads()) {
      const uint4 x = __ldcg(from + i);  // a later pass must not find it in L1
      mix += x.x ^ x.y ^ x.z ^ x.w;
    }
  }
  if (mix == 0x12345678u) never[threadIdx.x] = mix;
}

// `steps` reads of 8 bytes a thread at random places of a table of a power of two, past L1.
__global__ void __launch_bounds__(kThreads)
    gather_kernel(const float2* table, unsigned mask, float* never, int steps) {
  constexpr int kTogether = 8;
  unsigned state = scrambled(static_cast<unsigned>(first_index()) + 1u);
  float sum = 0.0f;
#pragma unroll 1
  for (int i = 0; i < steps; i += kTogether) {
#pragma unroll
    for (int j = 0; j < kTogether; ++j) {
      state = state * 1664525u + 1013904223u;
      const float2 value = __ldcg(table + ((state >> 8) & mask));
      sum += value.x + value.y;
    }
  }
  if (sum == -1.0f) never[threadIdx.x] = sum;
}

dim3 whole_device(const Limits& limits) {
  return dim3(static_cast<unsigned>(kBlocksPerMultiprocessor * limits.device.n_multiprocessors()));
}

void fill(const Limits& limits, const DeviceArray<uint4>& array) {
  device::launch(fill_kernel, whole_device(limits), dim3(kThreads), 0, limits.device.stream(),
                 array.data(), array.size());
}

// `bytes`: those that a run of the body moves.
void add_rate(const Limits& limits, const char* name, const char* workload, double bytes,
              const std::function<void()>& body) {
  Entry entry{.name = name, .workload = workload, .unit = "B/s"};
  entry.seconds = median_seconds(limits.device.stream(), limits.budget, body);
  entry.rate = bytes / entry.seconds;
  limits.add(entry);
}

void measure_main_memory(const Limits& limits) {
  const std::int64_t bytes = (limits.quick ? std::int64_t{1} : std::int64_t{4}) << 30;
  const DeviceArray<uint4> from(limits.device, bytes / 16, "the source of a copy");
  const DeviceArray<uint4> to(limits.device, bytes / 16, "the target of a copy");
  fill(limits, from);
  const dim3 grid = whole_device(limits), block(kThreads);
  add_rate(limits, "limits.copy", "kernel, read and written", 2.0 * double(bytes), [&] {
    device::launch(copy_kernel, grid, block, 0, limits.device.stream(), from.data(), to.data(),
                   from.size());
  });
  add_rate(limits, "limits.copy", "cudaMemcpy, read and written", 2.0 * double(bytes), [&] {
    device::check(cudaMemcpyAsync(to.data(), from.data(), static_cast<std::size_t>(bytes),
                                  cudaMemcpyDeviceToDevice,
                                  static_cast<cudaStream_t>(limits.device.stream())),
                  "cudaMemcpyAsync");
  });
  add_rate(limits, "limits.read", "main memory", double(bytes), [&] {
    device::launch(read_kernel, grid, block, 0, limits.device.stream(), from.data(),
                   reinterpret_cast<unsigned*>(to.data()), from.size(), 1);
  });
}

void measure_cache(const Limits& limits) {
  constexpr std::int64_t kBytes = std::int64_t{16} << 20;
  constexpr int kSteps = 1024, kPasses = 64;
  const DeviceArray<uint4> table(limits.device, kBytes / 16, "a table");
  const DeviceArray<unsigned> never(limits.device, kThreads, "a result");
  fill(limits, table);
  const dim3 grid = whole_device(limits), block(kThreads);
  add_rate(limits, "limits.read", "L2, 16 MiB", kPasses * double(kBytes), [&] {
    device::launch(read_kernel, grid, block, 0, limits.device.stream(), table.data(), never.data(),
                   table.size(), kPasses);
  });
  Entry entry{.name = "limits.gather", .workload = "8 bytes, L2, 16 MiB", .unit = "op/s"};
  entry.seconds = median_seconds(limits.device.stream(), limits.budget, [&] {
    device::launch(gather_kernel, grid, block, 0, limits.device.stream(),
                   reinterpret_cast<const float2*>(table.data()),
                   static_cast<unsigned>(kBytes / 8 - 1), reinterpret_cast<float*>(never.data()),
                   kSteps);
  });
  entry.rate = double(kSteps) * kThreads * grid.x / entry.seconds;
  limits.add(entry);
}

void measure_upload(const Limits& limits) {
  constexpr std::size_t kBytes = std::size_t{256} << 20;
  const DeviceArray<uint4> to(limits.device, kBytes / 16, "the target of an upload");
  void* host = nullptr;
  device::check(cudaMallocHost(&host, kBytes), "cudaMallocHost");
  std::fill_n(static_cast<unsigned char*>(host), kBytes, static_cast<unsigned char>(1));
  add_rate(limits, "limits.upload", "pinned host memory", double(kBytes), [&] {
    device::check(cudaMemcpyAsync(to.data(), host, kBytes, cudaMemcpyHostToDevice,
                                  static_cast<cudaStream_t>(limits.device.stream())),
                  "cudaMemcpyAsync");
  });
  device::check(cudaFreeHost(host), "cudaFreeHost");
}

}  // namespace

void measure_memory(const Limits& limits) {
  measure_main_memory(limits);
  measure_cache(limits);
  measure_upload(limits);
}

}  // namespace culatent::bench
