#pragma once

#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/gaussian_mixture.hpp"

/// A tile of rows in shared memory, feature-major: what a warp reads of one feature lies side by
/// side. Each lane owns kLaneRows rows.
namespace culatent::device {

inline constexpr int kTileRows = 128;
inline constexpr int kLaneRows = kTileRows / 32;

/// 16 bytes, the widest access to shared memory.
template <class T>
struct alignas(16) Pack {
  static constexpr int kSize = 16 / static_cast<int>(sizeof(T));
  T values[kSize];
};

template <class T>
__device__ __forceinline__ Pack<T> load_pack(const T* shared) {
  return *reinterpret_cast<const Pack<T>*>(shared);
}

/// Elements from one feature of a tile to the next. A whole number of packs, and such that a warp
/// that stores eight features of four rows (double: of two, half a warp at a time) meets 32 banks.
template <class T>
inline constexpr int kTilePitch = kTileRows + Pack<T>::kSize;

/// Row in the tile of a lane's own row r: whole packs, so that a warp reads a feature without a
/// bank conflict.
template <class T>
__device__ __forceinline__ int tile_row(int lane, int r) {
  constexpr int kSize = Pack<T>::kSize;
  return r / kSize * (32 * kSize) + lane * kSize + r % kSize;
}

/// A lane's own rows of one feature.
template <class T>
__device__ __forceinline__ void load_rows(const T* feature, int lane, T (&x)[kLaneRows]) {
  constexpr int kSize = Pack<T>::kSize;
#pragma unroll
  for (int r = 0; r < kLaneRows; r += kSize) {
    const Pack<T> pack = load_pack(feature + tile_row<T>(lane, r));
#pragma unroll
    for (int v = 0; v < kSize; ++v) x[r + v] = pack.values[v];
  }
}

/// The same the other way.
template <class T>
__device__ __forceinline__ void store_rows(T* feature, int lane, const T (&x)[kLaneRows]) {
  constexpr int kSize = Pack<T>::kSize;
#pragma unroll
  for (int r = 0; r < kLaneRows; r += kSize) {
    Pack<T> pack;
#pragma unroll
    for (int v = 0; v < kSize; ++v) pack.values[v] = x[r + v];
    *reinterpret_cast<Pack<T>*>(feature + tile_row<T>(lane, r)) = pack;
  }
}

/// out[row] = x for a lane's own rows of those that are `n_rows`, in global memory. `packed`: 16
/// bytes may be stored at a time.
template <class T>
__device__ __forceinline__ void write_rows(T* out, std::int64_t n_rows, bool packed, int lane,
                                           const T (&x)[kLaneRows]) {
  constexpr int kSize = Pack<T>::kSize;
#pragma unroll
  for (int r = 0; r < kLaneRows; r += kSize) {
    const int row = tile_row<T>(lane, r);
    Pack<T> pack;
#pragma unroll
    for (int v = 0; v < kSize; ++v) pack.values[v] = x[r + v];
    if (packed && row + kSize <= n_rows) {
      *reinterpret_cast<Pack<T>*>(out + row) = pack;
    } else {
#pragma unroll
      for (int v = 0; v < kSize; ++v) {
        if (row + v < n_rows) out[row + v] = pack.values[v];
      }
    }
  }
}

/// Whether rows of `out` may be written 16 bytes at a time.
template <class T>
__device__ __forceinline__ bool packed_rows(
    const gaussian_mixture::DeviceResponsibilities<T>& out) {
  return out.stride % Pack<T>::kSize == 0 && reinterpret_cast<std::uintptr_t>(out.data) % 16 == 0;
}

/// tile[j * kTilePitch + i] = x' of row first_row + i and feature first_feature + j, for all rows
/// of the tile and 0 ≤ j < n_features. Rows and features beyond the last, which are not read, and
/// NaN become 0. All threads of a block of whole warps call it; the barriers round it are the
/// caller's.
///   A warp reads four rows by eight features at a time: whole 32-byte sectors. Eight loads
///   (double: four) are in flight for each lane.
template <class T>
__device__ __forceinline__ void stage_rows(const gaussian_mixture::DeviceRows<T>& rows,
                                           const gaussian_mixture::DeviceFrame<T>& frame,
                                           std::int64_t first_row, std::int64_t first_feature,
                                           int n_features, T* tile) {
  constexpr int kFeatures = 8;
  constexpr int kRows = 32 / kFeatures;
  constexpr int kBatch = 32 / static_cast<int>(sizeof(T));
  constexpr int kBatches = kTileRows / (kRows * kBatch);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int n_warps = static_cast<int>(blockDim.x) / 32;
  const int n_items = (n_features + kFeatures - 1) / kFeatures * kBatches;
  for (int item = static_cast<int>(threadIdx.x) / 32; item < n_items; item += n_warps) {
    const int j = item / kBatches * kFeatures + lane % kFeatures;
    if (j >= n_features) continue;
    const int first = item % kBatches * (kRows * kBatch) + lane / kFeatures;
    const std::int64_t feature = first_feature + j;
    const bool inside = feature < rows.n_features;
    const T scale = inside ? frame.scale[feature] : T{0};
    const T offset = inside ? frame.offset[feature] : T{0};
    const std::int64_t left = inside ? rows.n_rows - first_row - first : 0;
    const T* source = rows.data + (first_row + first) * rows.stride + feature;
    T x[kBatch];
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      x[i] = i * kRows < left ? source[i * kRows * rows.stride] : T{0};
    }
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const T value = x[i] * scale + offset;  // one rounding: the scale is a power of two
      const bool keep = i * kRows < left && value == value;
      tile[j * kTilePitch<T> + first + i * kRows] = keep ? value : T{0};
    }
  }
}

}  // namespace culatent::device
