#pragma once

// The C++ wrapper: exp(float) is a float here as it is in a kernel.
#include <math.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "simt/kernel.hpp"

/// Device functions on numbers that a host compiler lacks. The fast ones (__expf, …) are exact
/// here: what a GPU loses, only a GPU shows.

// glibc declares these names without having them, so they cannot be functions.
#define __expf(x) ::simt::fast::exponential(x)
#define __exp10f(x) ::simt::fast::exponential10(x)
#define __logf(x) ::simt::fast::logarithm(x)
#define __log2f(x) ::simt::fast::logarithm2(x)
#define __log10f(x) ::simt::fast::logarithm10(x)
#define __powf(x, y) ::simt::fast::power(x, y)
#define __sinf(x) ::simt::fast::sine(x)
#define __cosf(x) ::simt::fast::cosine(x)

namespace simt::fast {
inline float exponential(float x) { return std::exp(x); }
inline float exponential10(float x) { return std::pow(10.0f, x); }
inline float logarithm(float x) { return std::log(x); }
inline float logarithm2(float x) { return std::log2(x); }
inline float logarithm10(float x) { return std::log10(x); }
inline float power(float x, float y) { return std::pow(x, y); }
inline float sine(float x) { return std::sin(x); }
inline float cosine(float x) { return std::cos(x); }
}  // namespace simt::fast

inline float rsqrtf(float x) { return static_cast<float>(1.0 / std::sqrt(static_cast<double>(x))); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float rsqrt(float x) { return rsqrtf(x); }
inline float exp10f(float x) { return std::pow(10.0f, x); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __frsqrt_rn(float x) { return rsqrtf(x); }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
// Kernels are compiled with -ffp-contract=off, so these round after every operation.
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __drcp_rn(double a) { return 1.0 / a; }
inline double __dsqrt_rn(double a) { return std::sqrt(a); }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
inline float __saturatef(float x) { return x > 0.0f ? std::fmin(x, 1.0f) : 0.0f; }  // NaN: 0

inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<std::uint64_t>(a) * b >> 32);
}
inline int __mulhi(int a, int b) {
  return static_cast<int>(static_cast<std::int64_t>(a) * b >> 32);
}
__extension__ using simt_uint128 = unsigned __int128;
__extension__ using simt_int128 = __int128;
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>(static_cast<simt_uint128>(a) * b >> 64);
}
inline long long __mul64hi(long long a, long long b) {
  return static_cast<long long>(static_cast<simt_int128>(a) * b >> 64);
}

inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline int __double2hiint(double x) {
  return static_cast<int>(std::bit_cast<std::uint64_t>(x) >> 32);
}
inline int __double2loint(double x) {
  return static_cast<int>(std::bit_cast<std::uint64_t>(x) & 0xffffffffu);
}
inline double __hiloint2double(int high, int low) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(static_cast<unsigned>(high)) << 32 |
                               static_cast<unsigned>(low));
}

namespace simt::detail {

// CUDA's conversions to integers round as they say and saturate; NaN gives 0.
template <class To, class From>
To saturated(From rounded) {
  if (rounded != rounded) return 0;
  if (rounded >= -static_cast<From>(std::numeric_limits<To>::min())) {
    return std::numeric_limits<To>::max();
  }
  if (rounded <= static_cast<From>(std::numeric_limits<To>::min())) {
    return std::numeric_limits<To>::min();
  }
  return static_cast<To>(rounded);
}

}  // namespace simt::detail

inline int __float2int_rn(float x) { return simt::detail::saturated<int>(std::rint(x)); }
inline int __float2int_rz(float x) { return simt::detail::saturated<int>(std::trunc(x)); }
inline int __float2int_rd(float x) { return simt::detail::saturated<int>(std::floor(x)); }
inline int __double2int_rn(double x) { return simt::detail::saturated<int>(std::rint(x)); }
inline long long __float2ll_rn(float x) { return simt::detail::saturated<long long>(std::rint(x)); }
inline long long __double2ll_rn(double x) {
  return simt::detail::saturated<long long>(std::rint(x));
}
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __double2float_rn(double x) { return static_cast<float>(x); }
inline double __ll2double_rn(long long x) { return static_cast<double>(x); }

template <class T>
T __ldg(const T* address) {
  return *address;
}
template <class T>
T __ldcs(const T* address) {
  return *address;
}
template <class T>
T __ldcg(const T* address) {
  return *address;
}
template <class T>
void __stcs(T* address, T value) {
  *address = value;
}
template <class T>
void __stcg(T* address, T value) {
  *address = value;
}

#define SIMT_MIN_MAX(T)                               \
  constexpr T min(T a, T b) { return b < a ? b : a; } \
  constexpr T max(T a, T b) { return a < b ? b : a; }
SIMT_MIN_MAX(int)
SIMT_MIN_MAX(unsigned)
SIMT_MIN_MAX(long)
SIMT_MIN_MAX(unsigned long)
SIMT_MIN_MAX(long long)
SIMT_MIN_MAX(unsigned long long)
#undef SIMT_MIN_MAX
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }
inline double min(double a, double b) { return std::fmin(a, b); }
inline double max(double a, double b) { return std::fmax(a, b); }
