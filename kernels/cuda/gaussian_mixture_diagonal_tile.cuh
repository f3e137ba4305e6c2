#pragma once

#include <cstdint>

#include "kernels/cuda/device/vector.cuh"

/// The moments of diagonal components that one thread adds up: 4 components x 16 bytes of features.
/// 256 threads share a patch of components and features; when the patch has fewer pieces than that,
/// several threads have the same piece for different rows (phases).
namespace culatent::gaussian_mixture::diagonal {

inline constexpr int kThreads = 256;
inline constexpr int kOwn = 4;  // components of a thread

using device::kVectorSize;
using device::Vector;

/// How 256 threads divide a patch.
struct Patch {
  int components = 0;  // in units of kOwn
  int features = 0;    // in units of a vector
  int phases = 0;

  __host__ __device__ int pieces() const { return components * features; }
};

/// sum_row q (x' − shift) and sum_row q (x' − shift)², or the same about the frame's centre.
template <class T>
struct Moments {
  T sum[kOwn][kVectorSize<T>];
  T square[kOwn][kVectorSize<T>];
};

//   sum += q z,  square += q z²,  z = x − mean        4 instructions an element
template <class T>
__device__ __forceinline__ void add_row(const T (&q)[kOwn], const Vector<T>& x,
                                        const Vector<T> (&mean)[kOwn], Moments<T>& m) {
#pragma unroll
  for (int k = 0; k < kOwn; ++k) {
#pragma unroll
    for (int i = 0; i < kVectorSize<T>; ++i) {
      const T z = x.v[i] - mean[k].v[i];
      const T share = q[k] * z;
      m.sum[k][i] += share;
      m.square[k][i] += share * z;
    }
  }
}

//   sum += q x,  square += q x²                       2 instructions an element
template <class T>
__device__ __forceinline__ void add_row(const T (&q)[kOwn], const Vector<T>& x, Moments<T>& m) {
#pragma unroll
  for (int i = 0; i < kVectorSize<T>; ++i) {
    const T square = x.v[i] * x.v[i];
#pragma unroll
    for (int k = 0; k < kOwn; ++k) {
      m.sum[k][i] += q[k] * x.v[i];
      m.square[k][i] += q[k] * square;
    }
  }
}

/// Values of shared memory that combine() wants.
template <class Record>
inline constexpr int kCombineBytes = static_cast<int>(sizeof(Record)) * kThreads / 2;

/// Adds up the records, made of T, of the phases of every piece, in a fixed order; those of phase 0
/// are valid then. All threads call it; thread t has piece t % pieces in phase t / pieces.
template <class T, class Record>
__device__ __forceinline__ void combine(int pieces, int phases, T* scratch, Record& record) {
  constexpr int kValues = static_cast<int>(sizeof(Record) / sizeof(T));
  auto* const values = reinterpret_cast<T*>(&record);
  const int thread = static_cast<int>(threadIdx.x);
  const int phase = thread / pieces;
  for (int left = phases; left > 1;) {
    const int kept = (left + 1) / 2;
    __syncthreads();
    if (phase >= kept && phase < left) {
#pragma unroll
      for (int i = 0; i < kValues; ++i)
        scratch[i * (kThreads / 2) + thread - kept * pieces] = values[i];
    }
    __syncthreads();
    if (phase < left - kept) {
#pragma unroll
      for (int i = 0; i < kValues; ++i) values[i] += scratch[i * (kThreads / 2) + thread];
    }
    left = kept;
  }
}

}  // namespace culatent::gaussian_mixture::diagonal
