#pragma once

#include "kernels/cuda/device/launch.cuh"

/// cp.async: copies from global to shared memory that a thread starts now and waits for later. On
/// devices before compute capability 8.0 the copy is done at once. What one thread copied others
/// may read after that thread has waited and then all have passed a barrier (or __syncwarp).
namespace culatent::device {

/// Starts copying the first `valid` of kBytes (4, 8 or 16) bytes, both addresses aligned to
/// kBytes; the rest of the destination becomes zero. `global` is not read where `valid` is 0.
template <int kBytes>
__device__ __forceinline__ void cp_async(void* shared, const void* global, int valid = kBytes) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
#if defined(SIMT_EMULATION)
  ::simt::cp_async<kBytes>(shared, global, valid);
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(global), "n"(kBytes),
               "r"(valid)
               : "memory");
#else
  const auto* from = static_cast<const unsigned*>(global);
  auto* to = static_cast<unsigned*>(shared);
#pragma unroll
  for (int word = 0; word < kBytes / 4; ++word) to[word] = 4 * word < valid ? from[word] : 0u;
#endif
}

/// Ends a group: of the copies that the thread started since the last one, maybe none.
__device__ __forceinline__ void cp_async_commit() {
#if defined(SIMT_EMULATION)
  ::simt::cp_async_commit();
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/// Waits until at most the kPending newest groups of the thread are still under way.
template <int kPending>
__device__ __forceinline__ void cp_async_wait() {
#if defined(SIMT_EMULATION)
  ::simt::cp_async_wait(kPending);
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#endif
}

}  // namespace culatent::device
