#pragma once

#include <cstdint>

#include "kernels/cuda/device/launch.cuh"

/// Tensor-core products of a warp, from compute capability 8.0 on: a kernel compiled for less must
/// not be launched (has_tensor_cores()). Split operands make float products of them:
///
///   x = high + low + rest,   a b ≈ high high + high low + low high
///
///             |low| ≤      |rest| ≤     a product loses at most
///   Tf32x3    2⁻¹¹ |x|     2⁻²¹ |x|     5 · 2⁻²² |a b|        about as float: "fp32"
///   Bf16x3    2⁻⁸  |x|     2⁻¹⁶ |x|     3 · 2⁻¹⁶ |a b|        "fast"
///
/// and each product of fragments, added to an accumulator, cuts its last bits off (tensor cores
/// round towards zero): 2⁻²³ of the sum so far, three times for kDepth terms.
namespace culatent::device {

/// d += a b, fragments of A [16][8], B [8][8], C [16][8]. With row = lane / 4, pair = lane % 4:
/// a[0], a[1] = (row, pair), (row + 8, pair); a[2], a[3]: columns + 4; b[0], b[1] = (pair, row),
/// (pair + 4, row); d[0], d[1] = (row, 2 pair), (row, 2 pair + 1); d[2], d[3]: row + 8.
__device__ __forceinline__ void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4],
                                         const std::uint32_t (&b)[2]) {
#if defined(SIMT_EMULATION)
  ::simt::mma_m16n8k8_tf32(d, a, b, d);
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  static_cast<void>(d), static_cast<void>(a), static_cast<void>(b);
  __trap();
#endif
}

/// d += a b, fragments of A [16][16], B [16][8], C [16][8]: a[0], a[1] = columns 2 pair and 2 pair
/// + 1 of rows row and row + 8; a[2], a[3]: columns + 8; b[0], b[1] = rows 2 pair and 2 pair + 1,
/// then + 8, of column row; d as above. The lower half of a register has the lower index.
__device__ __forceinline__ void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4],
                                         const std::uint32_t (&b)[2]) {
#if defined(SIMT_EMULATION)
  ::simt::mma_m16n8k16_bf16(d, a, b, d);
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  static_cast<void>(d), static_cast<void>(a), static_cast<void>(b);
  __trap();
#endif
}

/// x to the nearest tf32, ties away from zero. What cvt.rna.tf32 does, which is six instructions on
/// some devices, but for the largest NaN: those of the hardware are turned into −0.
__device__ __forceinline__ float round_to_tf32(float x) {
  return __uint_as_float((__float_as_uint(x) + 0x1000u) & 0xffffe000u);
}

/// x as an operand: the hardware ignores the bits that tf32 has not.
__device__ __forceinline__ std::uint32_t tf32_operand(float x) {
#if defined(SIMT_EMULATION)
  return __float_as_uint(x) & 0xffffe000u;  // it reports them
#else
  return __float_as_uint(x);
#endif
}

/// Both to the nearest bf16, `x` in the lower half.
__device__ __forceinline__ std::uint32_t to_bf16_pair(float x, float y) {
#if defined(SIMT_EMULATION)
  return ::simt::cvt_rn_bf16x2(y, x);
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  std::uint32_t result;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(y), "f"(x));
  return result;
#else
  static_cast<void>(x), static_cast<void>(y);
  return 0;
#endif
}

/// Registers of a fragment, split.
template <int kSize>
struct Split {
  std::uint32_t high[kSize];
  std::uint32_t low[kSize];
};

/// How float operands are split and multiplied, kDepth features at a time. Of each eight a lane has
/// two neighbours, 2 pair and 2 pair + 1. (Which features share a slot of the product is free, as
/// long as both operands agree.) A lane keeps its part of A in kSlots times 16 bytes: pack() of
/// x[row / 8][feature of the lane], and unpack().
struct Tf32x3 {
  static constexpr int kDepth = 8;
  static constexpr int kSlots = 1;  // not split

  template <int kSize>
  static __device__ __forceinline__ void split(float x, int at, Split<kSize>& out) {
    const float high = round_to_tf32(x);
    out.high[at] = tf32_operand(high);
    out.low[at] = tf32_operand(x - high);
  }
  static __device__ __forceinline__ void pack(const float (&x)[2][2], uint4 (&slots)[kSlots]) {
    slots[0] = make_uint4(__float_as_uint(x[0][0]), __float_as_uint(x[1][0]),
                          __float_as_uint(x[0][1]), __float_as_uint(x[1][1]));
  }
  static __device__ __forceinline__ void unpack(const uint4 (&slots)[kSlots], Split<4>& a) {
    split(__uint_as_float(slots[0].x), 0, a);
    split(__uint_as_float(slots[0].y), 1, a);
    split(__uint_as_float(slots[0].z), 2, a);
    split(__uint_as_float(slots[0].w), 3, a);
  }
  /// The lane's part of B: w[feature of the lane].
  static __device__ __forceinline__ void split_b(const float (&w)[2], Split<2>& b) {
    split(w[0], 0, b);
    split(w[1], 1, b);
  }
  static __device__ __forceinline__ void multiply(float (&d)[4], const std::uint32_t (&a)[4],
                                                  const std::uint32_t (&b)[2]) {
    mma_tf32(d, a, b);
  }
};

struct Bf16x3 {
  static constexpr int kDepth = 16;
  static constexpr int kSlots = 2;  // high, low

  static __device__ __forceinline__ void split(float x, float y, std::uint32_t& high,
                                               std::uint32_t& low) {
    high = to_bf16_pair(x, y);
    low = to_bf16_pair(x - __uint_as_float(high << 16), y - __uint_as_float(high & 0xffff0000u));
  }
  static __device__ __forceinline__ void pack(const float (&x)[2][4], uint4 (&slots)[kSlots]) {
    split(x[0][0], x[0][1], slots[0].x, slots[1].x);
    split(x[1][0], x[1][1], slots[0].y, slots[1].y);
    split(x[0][2], x[0][3], slots[0].z, slots[1].z);
    split(x[1][2], x[1][3], slots[0].w, slots[1].w);
  }
  static __device__ __forceinline__ void unpack(const uint4 (&slots)[kSlots], Split<4>& a) {
    a = {{slots[0].x, slots[0].y, slots[0].z, slots[0].w},
         {slots[1].x, slots[1].y, slots[1].z, slots[1].w}};
  }
  static __device__ __forceinline__ void split_b(const float (&w)[4], Split<2>& b) {
    split(w[0], w[1], b.high[0], b.low[0]);
    split(w[2], w[3], b.high[1], b.low[1]);
  }
  static __device__ __forceinline__ void multiply(float (&d)[4], const std::uint32_t (&a)[4],
                                                  const std::uint32_t (&b)[2]) {
    mma_bf16(d, a, b);
  }
};

/// Whether `kernel`, as it would run on the current device, was compiled for one with these
/// instructions.
template <class... P>
bool has_tensor_cores(void (*kernel)(P...)) {
  cudaFuncAttributes attributes{};
  check(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel)),
        "cudaFuncGetAttributes");
  return attributes.ptxVersion >= 80;
}

}  // namespace culatent::device
