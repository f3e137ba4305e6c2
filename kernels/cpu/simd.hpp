#pragma once

#include <cstdint>
#include <cstring>

/// Short vectors for the hot loops of the CPU path, by the vector extension of GCC and Clang.
namespace culatent::cpu {

template <class T>
struct Simd {
  static constexpr int kLanes = 32 / static_cast<int>(sizeof(T));
  typedef T Vec __attribute__((vector_size(32), may_alias));

  static Vec load(const T* p) {
    Vec v;
    std::memcpy(&v, p, sizeof(v));
    return v;
  }
  static void store(T* p, Vec v) { std::memcpy(p, &v, sizeof(v)); }
  static Vec fill(T value) { return Vec{} + value; }
  /// The sum of the lanes, as a balanced tree.
  static T sum(Vec v) {
    T lanes[kLanes];
    std::memcpy(lanes, &v, sizeof(v));
    for (int width = kLanes / 2; width > 0; width /= 2) {
      for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
    }
    return lanes[0];
  }
};

}  // namespace culatent::cpu
