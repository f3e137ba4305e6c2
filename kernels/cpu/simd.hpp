#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

/// Short vectors for the hot loops of the CPU path, by the vector extension of GCC and Clang.
namespace culatent::cpu {

template <class T>
struct Simd {
  static constexpr int kLanes = 32 / static_cast<int>(sizeof(T));
  typedef T Vec __attribute__((vector_size(32), may_alias));
  using Integer = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  typedef Integer Index __attribute__((vector_size(32)));

  static Vec load(const T* p) {
    Vec v;
    std::memcpy(&v, p, sizeof(v));
    return v;
  }
  static void store(T* p, Vec v) { std::memcpy(p, &v, sizeof(v)); }
  static Vec fill(T value) { return value - Vec{}; }  // x − 0 is x, −0 included: one broadcast
  /// Lane j of rows[i] to lane i of rows[j].
  static void transpose(Vec (&rows)[kLanes]) {
    Vec half[kLanes], pairs[kLanes];
    if constexpr (kLanes == 8) {
      for (int i = 0; i < 8; i += 2) {
        half[i] = __builtin_shufflevector(rows[i], rows[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        half[i + 1] = __builtin_shufflevector(rows[i], rows[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
      }
      for (int i = 0; i < 8; i += 4) {
        for (int k = 0; k < 2; ++k) {
          const Vec a = half[i + k], b = half[i + k + 2];
          pairs[i + 2 * k] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
          pairs[i + 2 * k + 1] = __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
        }
      }
      for (int i = 0; i < 4; ++i) {
        const Vec a = pairs[i], b = pairs[i + 4];
        rows[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11);
        rows[i + 4] = __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
      }
    } else {
      for (int i = 0; i < 4; i += 2) {
        half[i] = __builtin_shufflevector(rows[i], rows[i + 1], 0, 4, 2, 6);
        half[i + 1] = __builtin_shufflevector(rows[i], rows[i + 1], 1, 5, 3, 7);
      }
      for (int i = 0; i < 2; ++i) {
        const Vec a = half[i], b = half[i + 2];
        rows[i] = __builtin_shufflevector(a, b, 0, 1, 4, 5);
        rows[i + 2] = __builtin_shufflevector(a, b, 2, 3, 6, 7);
      }
    }
  }
  /// The sum of the lanes, as a balanced tree.
  static T sum(Vec v) {
#if defined(__clang__)
    T lanes[kLanes];
    std::memcpy(lanes, &v, sizeof(v));
    for (int width = kLanes / 2; width > 0; width /= 2) {
      for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
    }
    return lanes[0];
#else
    if constexpr (kLanes == 8) {
      v += __builtin_shuffle(v, Index{4, 5, 6, 7, 4, 5, 6, 7});
      v += __builtin_shuffle(v, Index{2, 3, 2, 3, 2, 3, 2, 3});
    } else {
      v += __builtin_shuffle(v, Index{2, 3, 2, 3});
    }
    return v[0] + v[1];
#endif
  }
};

}  // namespace culatent::cpu
