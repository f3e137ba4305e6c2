#pragma once

/// char1 to double4 with CUDA's alignment, make_*, and dim3.

#define SIMT_VECTOR_TYPES(Element, name)                                                  \
  struct name##1 {                                                                        \
    Element x;                                                                            \
  };                                                                                      \
  struct alignas(2 * sizeof(Element)) name##2 {                                           \
    Element x, y;                                                                         \
  };                                                                                      \
  struct name##3 {                                                                        \
    Element x, y, z;                                                                      \
  };                                                                                      \
  struct alignas(4 * sizeof(Element) < 16 ? 4 * sizeof(Element) : 16) name##4 {           \
    Element x, y, z, w;                                                                   \
  };                                                                                      \
  constexpr name##1 make_##name##1(Element x) { return {x}; }                             \
  constexpr name##2 make_##name##2(Element x, Element y) { return {x, y}; }               \
  constexpr name##3 make_##name##3(Element x, Element y, Element z) { return {x, y, z}; } \
  constexpr name##4 make_##name##4(Element x, Element y, Element z, Element w) {          \
    return {x, y, z, w};                                                                  \
  }
SIMT_VECTOR_TYPES(signed char, char)
SIMT_VECTOR_TYPES(unsigned char, uchar)
SIMT_VECTOR_TYPES(short, short)
SIMT_VECTOR_TYPES(unsigned short, ushort)
SIMT_VECTOR_TYPES(int, int)
SIMT_VECTOR_TYPES(unsigned, uint)
SIMT_VECTOR_TYPES(long, long)
SIMT_VECTOR_TYPES(unsigned long, ulong)
SIMT_VECTOR_TYPES(long long, longlong)
SIMT_VECTOR_TYPES(unsigned long long, ulonglong)
SIMT_VECTOR_TYPES(float, float)
SIMT_VECTOR_TYPES(double, double)
#undef SIMT_VECTOR_TYPES

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned along_x = 1, unsigned along_y = 1, unsigned along_z = 1)
      : x(along_x), y(along_y), z(along_z) {}
  constexpr dim3(uint3 extents) : x(extents.x), y(extents.y), z(extents.z) {}
  constexpr operator uint3() const { return {x, y, z}; }
};
