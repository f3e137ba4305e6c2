#pragma once

#include <cstdint>
#include <limits>

#include "kernels/cuda/device/async.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/kmeans_assign.hpp"

/// Tiles of rows by centroids of k-means.
namespace culatent::kmeans {

template <class T>
__device__ __forceinline__ T in_coordinates(const ClusterRows<T>& rows, std::int64_t row,
                                            std::int64_t feature) {
  const T value = fma(rows.data[row * rows.stride + feature], rows.scale, rows.offset[feature]);
  return rows.factors != nullptr ? value * rows.factors[row] : value;
}

template <class T>
__device__ __forceinline__ double weight_of(const ClusterRows<T>& rows, std::int64_t row) {
  return rows.weights != nullptr ? rows.weights[row] : 1.0;
}

// ---- tile ---------------------------------------------------------------------------------------
//
//   out[r][c] = start_c + sum_j x'_rj c_cj    or    sum_j (x'_rj − c_cj)²,   j in ascending order
//
// A block of 256 threads, 16 by 16, has kRows rows and meets the centroids 16 kOwn at a time, of
// which a thread has 8 by kOwn. Features are staged kDepth at a time in two buffers: the next are
// under way while these are multiplied, one barrier each. Rows, centroids and features beyond the
// last are 0, which adds nothing.
//   per warp and feature, float, kOwn 8: 64 FMA for 6 wavefronts of shared memory (2 of rows, which
//   16 lanes share, and 4 of centroids); double, kOwn 4: 32 FMA for 8

inline constexpr int kThreads = 256;
inline constexpr int kSide = 16;
inline constexpr int kOwnRows = 8;
inline constexpr int kRows = kSide * kOwnRows;

template <class T>
inline constexpr T kLowest = std::numeric_limits<T>::lowest();

template <class T>
inline constexpr int kDepth = 64 / static_cast<int>(sizeof(T));

/// Centroids a thread has at most.
template <class T>
inline constexpr int kMostOwn = sizeof(T) == 4 ? 8 : 4;

template <class T, int kOwn>
struct TileStage {
  // The pitch: a warp that stores 16 features of two rows (double: 8 of four) meets a bank twice.
  alignas(16) T rows[2][kDepth<T>][kRows + device::kVectorSize<T>];
  alignas(16) T centroids[2][kDepth<T>][kSide * kOwn];
  T factors[kRows];
};

template <class T, int kCount>
using Along = device::Along<T, kSide, kCount>;

/// One feature-by-feature pass of a tile of rows over panels of centroids.
template <class T, int kOwn>
class Tile {
 public:
  static constexpr int kPanel = kSide * kOwn;

  __device__ __forceinline__ Tile(const ClusterRows<T>& rows, const DeviceCentroids<T>& centroids,
                                  std::int64_t first_row, TileStage<T, kOwn>& stage)
      : rows_(rows), centroids_(centroids), first_row_(first_row), stage_(stage) {
    const int thread = static_cast<int>(threadIdx.x);
    if (thread < kRows) {
      const bool scaled = rows.factors != nullptr && first_row + thread < rows.n_rows;
      stage.factors[thread] = scaled ? rows.factors[first_row + thread] : T{1};
    }
    __syncthreads();
  }

  /// Calls feature(x, c) with the values of every feature, x[kOwnRows] and c[kOwn], for the panel
  /// that begins at centroid `first`; and staged(features, count) once for each stage, with x' at
  /// features[j][row]. Ends with a barrier.
  template <class Feature, class Staged>
  __device__ __forceinline__ void run(std::int64_t first, Feature&& feature, Staged&& staged) {
    const int tx = static_cast<int>(threadIdx.x) % kSide;
    const int ty = static_cast<int>(threadIdx.x) / kSide;
    fetch(first, 0, 0);
    store(0, 0);
    int current = 0;
    for (std::int64_t j = 0; j < rows_.n_features; j += kDepth<T>) {
      device::cp_async_wait<0>();
      __syncthreads();
      const std::int64_t next = j + kDepth<T>;
      if (next < rows_.n_features) fetch(first, next, 1 - current);
      staged(stage_.rows[current]);
#pragma unroll 4
      for (int depth = 0; depth < kDepth<T>; ++depth) {
        T x[kOwnRows], c[kOwn];
        Along<T, kOwnRows>::load(stage_.rows[current][depth], ty, x);
        Along<T, kOwn>::load(stage_.centroids[current][depth], tx, c);
        feature(x, c);
      }
      if (next < rows_.n_features) store(next, 1 - current);
      current = 1 - current;
    }
    __syncthreads();
  }

 private:
  static constexpr int kStep = kThreads / kDepth<T>;  // rows staged at a time
  static constexpr int kBatch = kRows / kStep;

  // Starts loading features [first_feature, + kDepth) of the rows to registers, and of the panel
  // to a buffer.
  __device__ __forceinline__ void fetch(std::int64_t first, std::int64_t first_feature,
                                        int buffer) {
    constexpr int kVector = Along<T, kOwn>::kSize;
    constexpr int kPieces = kPanel / kVector;
    const int thread = static_cast<int>(threadIdx.x);
    const std::int64_t pitch = packed_clusters(centroids_.n_clusters);
    for (int piece = thread; piece < kDepth<T> * kPieces; piece += kThreads) {
      const int j = piece / kPieces, k = piece % kPieces * kVector;
      const bool inside = first_feature + j < rows_.n_features;
      const T* from = centroids_.packed + (inside ? (first_feature + j) * pitch + first + k : 0);
      constexpr int kBytes = kVector * static_cast<int>(sizeof(T));
      device::cp_async<kBytes>(&stage_.centroids[buffer][j][k], from, inside ? kBytes : 0);
    }
    device::cp_async_commit();
    const std::int64_t j = first_feature + thread % kDepth<T>;
    const std::int64_t row = first_row_ + thread / kDepth<T>;
    const std::int64_t left = j < rows_.n_features ? rows_.n_rows - row : 0;
    const T* from = rows_.data + row * rows_.stride + j;
    const std::int64_t step = kStep * rows_.stride;
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      raw_[i] = i * kStep < left ? *from : T{0};
      from += step;
    }
  }

  // Brings what the thread has loaded into the coordinates, and into a buffer.
  __device__ __forceinline__ void store(std::int64_t first_feature, int buffer) {
    const int thread = static_cast<int>(threadIdx.x);
    const int depth = thread % kDepth<T>, at = thread / kDepth<T>;
    const bool inside = first_feature + depth < rows_.n_features;
    const T offset = inside ? rows_.offset[first_feature + depth] : T{0};
    const std::int64_t left = inside ? rows_.n_rows - first_row_ - at : 0;
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const T x = fma(raw_[i], rows_.scale, offset) * stage_.factors[at + i * kStep];
      stage_.rows[buffer][depth][at + i * kStep] = i * kStep < left ? x : T{0};
    }
  }

  const ClusterRows<T>& rows_;
  const DeviceCentroids<T>& centroids_;
  const std::int64_t first_row_;
  TileStage<T, kOwn>& stage_;
  T raw_[kBatch];
};

/// distance[r][c] += (x_r − c_c)² of one feature, each with two roundings, as on the CPU.
template <class T, int kOwn>
__device__ __forceinline__ void add_squares(const T (&x)[kOwnRows], const T (&c)[kOwn],
                                            T (&distance)[kOwnRows][kOwn]) {
#pragma unroll
  for (int r = 0; r < kOwnRows; ++r) {
#pragma unroll
    for (int k = 0; k < kOwn; ++k) {
      const T z = x[r] - c[k];
      distance[r][k] = fma(z, z, distance[r][k]);
    }
  }
}

}  // namespace culatent::kmeans
