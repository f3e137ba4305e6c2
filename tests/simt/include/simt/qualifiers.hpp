#pragma once

/// CUDA's qualifiers as a host compiler may see them.
#if defined(__CUDACC__)
#error "the stand-in must not be on nvcc's include path"
#endif

/// The stand-in compiles; nvcc does not define this.
#define SIMT_EMULATION 1
/// What nvcc defines from its -arch options: the stand-in claims to be compute capability 9.0.
#define __CUDA_ARCH_LIST__ 900

// Everything a kernel calls becomes part of it: the linker cannot replace an inline function by the
// copy of a file that is not instrumented.
#define __global__ __attribute__((flatten))
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(bytes) __attribute__((aligned(bytes)))
// Nothing could check a variable that the compiler places, nor put a red zone round it.
#define __shared__ \
  static_assert(false, "declare shared memory with simt::shared_var or simt::dynamic_shared");

#if !defined(__clang__)
#define __builtin_assume(condition) static_cast<void>(0)
#endif
