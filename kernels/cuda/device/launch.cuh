#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <source_location>

/// How kernels are launched and declare shared memory: with these alone, so that the same sources
/// compile for a device and for the CPU stand-in of the tests (SIMT_EMULATION).
namespace culatent::device {

template <class T>
struct TypeOf {
  using Type = T;
};

/// CULATENT_SHARED(tile, float[16][17]); and, once a kernel, CULATENT_DYNAMIC_SHARED(data, float);
/// of the launch's `shared_bytes`, aligned to 128 bytes.
#if defined(SIMT_EMULATION)
#define CULATENT_SHARED(name, ...) auto& name = ::simt::shared_var<__VA_ARGS__>([] {})
#define CULATENT_DYNAMIC_SHARED(name, T) T* const name = ::simt::dynamic_shared<T>()
#else
#define CULATENT_SHARED(name, ...) \
  __shared__ typename ::culatent::device::TypeOf<__VA_ARGS__>::Type name
#define CULATENT_DYNAMIC_SHARED(name, T)                                    \
  extern __shared__ __align__(128) unsigned char culatent_dynamic_shared[]; \
  T* const name = reinterpret_cast<T*>(culatent_dynamic_shared)
#endif

/// Throws device_error for a status that is not success; `what` names the call.
void check(cudaError_t status, const char* what,
           const std::source_location& where = std::source_location::current());

template <class T>
__host__ __device__ constexpr T div_up(T a, T b) {
  return (a + b - 1) / b;
}

/// Lets blocks of `kernel` have all the shared memory of the current device. Without it they have
/// 48 KiB, static and dynamic together. Not only what one launch needs: threads that launch the
/// same kernel would take it from one another.
void allow_shared(const void* kernel,
                  const std::source_location& where = std::source_location::current());

/// Launches on `stream` and checks that the launch was taken. An empty grid is the caller's to
/// avoid.
template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes,
            CUstream_st* stream, A... arguments) {
  if (shared_bytes > 0) allow_shared(reinterpret_cast<const void*>(kernel));
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = reinterpret_cast<cudaStream_t>(stream);
  check(cudaLaunchKernelEx(&config, kernel, static_cast<P>(arguments)...), "kernel launch");
}

}  // namespace culatent::device
