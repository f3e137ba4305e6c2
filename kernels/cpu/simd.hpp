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
  typedef std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t> Index
      __attribute__((vector_size(32)));

  static Vec load(const T* p) {
    Vec v;
    std::memcpy(&v, p, sizeof(v));
    return v;
  }
  static void store(T* p, Vec v) { std::memcpy(p, &v, sizeof(v)); }
  static Vec fill(T value) { return value - Vec{}; }  // x − 0 is x, −0 included: one broadcast
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
