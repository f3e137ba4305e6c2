#pragma once

#include <cuda_runtime.h>

#include <cstdint>

/// Several neighbouring values at a time.
namespace culatent::device {

template <class T>
inline constexpr int kVectorSize = 16 / static_cast<int>(sizeof(T));

/// 16 bytes: the most that a thread moves at once.
template <class T>
struct alignas(16) Vector {
  T v[kVectorSize<T>];
};

template <class T, int Size>
struct alignas(Size * sizeof(T)) Piece {
  T v[Size];
};

/// A thread's elements along a side of a tile that kLanes threads share: Count of them in pieces,
/// which lie side by side over the lanes.
template <class T, int kLanes, int Count>
struct Along {
  static constexpr int kSize = kVectorSize<T> < Count ? kVectorSize<T> : Count;
  static __device__ __forceinline__ int at(int lane, int i) {
    return i / kSize * (kLanes * kSize) + lane * kSize + i % kSize;
  }
  static __device__ __forceinline__ void load(const T* line, int lane, T (&values)[Count]) {
#pragma unroll
    for (int i = 0; i < Count; i += kSize) {
      const auto piece = *reinterpret_cast<const Piece<T, kSize>*>(line + at(lane, i));
#pragma unroll
      for (int v = 0; v < kSize; ++v) values[i + v] = piece.v[v];
    }
  }
};

/// from[first … first + Size), zero from `end` on. `whole`: pieces are aligned, and `end` is a
/// multiple of Size; see whole_pieces().
template <int Size, class T, class First, class End>
__device__ __forceinline__ Piece<T, Size> load_piece(const T* from, First first, End end,
                                                     bool whole) {
  Piece<T, Size> piece{};
  if (whole) {
    if (first < end) piece = *reinterpret_cast<const Piece<T, Size>*>(from + first);
  } else {
#pragma unroll
    for (int i = 0; i < Size; ++i) {
      if (first + i < end) piece.v[i] = from[first + i];
    }
  }
  return piece;
}

/// Whether rows of `end` values, `stride` apart, can be loaded in whole pieces of `size`.
template <class T>
bool whole_pieces(const T* data, std::int64_t stride, std::int64_t end, int size) {
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  return address % (static_cast<std::size_t>(size) * sizeof(T)) == 0 && stride % size == 0 &&
         end % size == 0;
}

}  // namespace culatent::device
