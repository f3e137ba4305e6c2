#pragma once

#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/neighbors.hpp"

/// How a block multiplies a tile of queries with a tile of rows. A thread has the sums of
/// kQueries queries with kRows rows:
///
///   query(q), row(r)   which of the tile's they are
///   start(lows)        the sums become −low of their rows
///   multiply(...)      sums += products of the first features of two slices
///   sum(q, r)
///
/// Slices lie in shared memory as prepare_screen() made them.
namespace culatent::neighbors {

inline constexpr int kSliceSize = kSliceBytes / 16;  // uint4

/// Fused multiply-adds of float: a thread has 8 x 8 sums, in pieces of four.
///   a feature: 4 loads of 16 bytes for 64 FFMA
struct Fp32Tier {
  static constexpr Products kProducts = Products::fp32;
  static constexpr int kFeatures = slice_features(kProducts);  // of a slice
  static constexpr int kThreads = 256;
  static constexpr int kQueries = 8;
  static constexpr int kRows = 8;
  using Side = device::Along<float, 16, 8>;

  static __device__ __forceinline__ int query(int q) {
    return Side::at(static_cast<int>(threadIdx.x) / 16, q);
  }
  static __device__ __forceinline__ int row(int r) {
    return Side::at(static_cast<int>(threadIdx.x) % 16, r);
  }
  __device__ __forceinline__ float sum(int q, int r) const { return sums[q][r]; }

  __device__ __forceinline__ void start(const float* lows) {
    float own[kRows];
    Side::load(lows, static_cast<int>(threadIdx.x) % 16, own);
#pragma unroll
    for (int q = 0; q < kQueries; ++q) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) sums[q][r] = -own[r];
    }
  }

  __device__ __forceinline__ void multiply(const uint4* queries, const uint4* rows,
                                           int n_features) {
    const auto* x = reinterpret_cast<const float*>(queries);
    const auto* y = reinterpret_cast<const float*>(rows);
    const int lane = static_cast<int>(threadIdx.x);
#pragma unroll 2
    for (int j = 0; j < n_features; ++j) {
      float a[kQueries], b[kRows];
      Side::load(x + j * kTileRows, lane / 16, a);
      Side::load(y + j * kTileRows, lane % 16, b);
#pragma unroll
      for (int q = 0; q < kQueries; ++q) {
#pragma unroll
        for (int r = 0; r < kRows; ++r) sums[q][r] = fma(a[q], b[r], sums[q][r]);
      }
    }
  }

  float sums[kQueries][kRows];
};

/// Tensor cores: a warp has 64 queries with 64 rows, in 4 x 8 products of 16 x 8.
///   16 features: 8 loads of 16 bytes for 32 products
struct Bf16Tier {
  static constexpr Products kProducts = Products::bf16;
  static constexpr int kFeatures = slice_features(kProducts);
  static constexpr int kThreads = 128;
  static constexpr int kQueries = 8;
  static constexpr int kRows = 16;
  static constexpr int kHeight = 4;
  static constexpr int kWidth = 8;
  static constexpr int kStep = kTileRows / 16 * 32;  // uint4 of 16 features

  static __device__ __forceinline__ int query(int q) {
    const int thread = static_cast<int>(threadIdx.x);
    return thread / 32 % 2 * 64 + 8 * q + thread % 32 / 4;
  }
  static __device__ __forceinline__ int row(int r) {
    const int thread = static_cast<int>(threadIdx.x);
    return thread / 64 * 64 + r / 2 * 8 + thread % 4 * 2 + r % 2;
  }
  __device__ __forceinline__ float sum(int q, int r) const {
    return sums[q / 2][r / 2][q % 2 * 2 + r % 2];
  }

  __device__ __forceinline__ void start(const float* lows) {
#pragma unroll
    for (int n = 0; n < kWidth; ++n) {
      const float2 own = *reinterpret_cast<const float2*>(lows + row(2 * n));
#pragma unroll
      for (int m = 0; m < kHeight; ++m) {
        sums[m][n][0] = sums[m][n][2] = -own.x;
        sums[m][n][1] = sums[m][n][3] = -own.y;
      }
    }
  }

  __device__ __forceinline__ void multiply(const uint4* queries, const uint4* rows,
                                           int n_features) {
    const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
    queries += thread / 32 % 2 * (kHeight * 32) + lane;
    rows += thread / 64 * (kWidth / 2 * 32) + lane;
#pragma unroll 1
    for (int j = 0; j < n_features; j += 16) {
      std::uint32_t a[kHeight][4];
#pragma unroll
      for (int m = 0; m < kHeight; ++m) {
        const uint4 own = queries[32 * m];
        a[m][0] = own.x;
        a[m][1] = own.z;
        a[m][2] = own.y;
        a[m][3] = own.w;
      }
#pragma unroll
      for (int n = 0; n < kWidth; n += 2) {
        const uint4 own = rows[16 * n];
        const std::uint32_t b[2][2] = {{own.x, own.y}, {own.z, own.w}};
#pragma unroll
        for (int i = 0; i < 2; ++i) {
#pragma unroll
          for (int m = 0; m < kHeight; ++m) device::mma_bf16(sums[m][n + i], a[m], b[i]);
        }
      }
      queries += kStep;
      rows += kStep;
    }
  }

  float sums[kHeight][kWidth][4];
};

}  // namespace culatent::neighbors
