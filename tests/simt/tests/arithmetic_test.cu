#include <cuda_bf16.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "array.hpp"
#include "simt/simt.hpp"

// Functions on numbers, matrix fragments and cp.async, against formulas and against the layouts
// that CUTLASS publishes for the same instructions.

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(Conversions, ToTf32RoundTiesAwayFromZero) {
  const auto converted = [](float x) { return std::bit_cast<float>(simt::cvt_rna_tf32(x)); };
  EXPECT_EQ(converted(1.0f + 0x1p-10f), 1.0f + 0x1p-10f);
  EXPECT_EQ(converted(1.0f + 0x1p-11f), 1.0f + 0x1p-10f);
  EXPECT_EQ(converted(-1.0f - 0x1p-11f), -1.0f - 0x1p-10f);
  EXPECT_EQ(converted(1.0f + 0x1.8p-12f), 1.0f);
  EXPECT_EQ(converted(kInf), kInf);
  EXPECT_TRUE(std::isnan(converted(kNan)));
}

TEST(Conversions, ToBf16RoundTiesToEven) {
  const auto converted = [](float x) { return __bfloat162float(__float2bfloat16_rn(x)); };
  EXPECT_EQ(converted(1.0f + 0x1p-8f), 1.0f);
  EXPECT_EQ(converted(1.0f + 0x3p-8f), 1.0f + 0x4p-8f);
  EXPECT_EQ(converted(1.0f + 0x1.1p-8f), 1.0f + 0x1p-7f);
  EXPECT_EQ(converted(std::numeric_limits<float>::max()), kInf);
  EXPECT_EQ(converted(-kInf), -kInf);
  EXPECT_TRUE(std::isnan(converted(kNan)));
  EXPECT_TRUE(std::isnan(converted(std::bit_cast<float>(0x7f800001u))));  // not made an infinity
  EXPECT_EQ(simt::cvt_rn_bf16x2(1.0f, -2.0f), 0x3f80c000u);  // the first operand is the upper half
}

TEST(Conversions, ToIntegersSaturate) {
  EXPECT_EQ(__float2int_rn(2.5f), 2);
  EXPECT_EQ(__float2int_rn(-3.5f), -4);
  EXPECT_EQ(__float2int_rz(-3.9f), -3);
  EXPECT_EQ(__float2int_rd(-3.1f), -4);
  EXPECT_EQ(__float2int_rn(3e9f), std::numeric_limits<int>::max());
  EXPECT_EQ(__float2int_rn(-3e9f), std::numeric_limits<int>::min());
  EXPECT_EQ(__float2int_rn(kNan), 0);
  EXPECT_EQ(__double2ll_rn(1e19), std::numeric_limits<long long>::max());
}

TEST(Bits, AreCountedAsCudaCountsThem) {
  EXPECT_EQ(__clz(0), 32);
  EXPECT_EQ(__clz(1), 31);
  EXPECT_EQ(__clzll(1LL << 40), 23);
  EXPECT_EQ(__ffs(0), 0);
  EXPECT_EQ(__ffs(8), 4);
  EXPECT_EQ(__ffsll(1LL << 40), 41);
  EXPECT_EQ(__popcll(~0ull), 64);
  EXPECT_EQ(__umulhi(0xffffffffu, 0xffffffffu), 0xfffffffeu);
  EXPECT_EQ(__mulhi(-1, 1), -1);
  EXPECT_EQ(__umul64hi(~0ull, ~0ull), ~0ull - 1);
  EXPECT_EQ(__mul64hi(-1, 1), -1);
  EXPECT_EQ(__hiloint2double(__double2hiint(-1.5), __double2loint(-1.5)), -1.5);
  EXPECT_EQ(__longlong_as_double(__double_as_longlong(-1.5)), -1.5);
}

TEST(Functions, OfFloatStayFloat) {
  static_assert(std::is_same_v<decltype(exp(1.0f)), float>);
  static_assert(std::is_same_v<decltype(min(1.0f, 2.0f)), float>);
  static_assert(std::is_same_v<decltype(__expf(1.0f)), float>);
  EXPECT_EQ(rsqrtf(4.0f), 0.5f);
  EXPECT_EQ(rsqrt(4.0), 0.5);
  EXPECT_EQ(__expf(0.0f), 1.0f);
  EXPECT_EQ(__saturatef(kNan), 0.0f);
  EXPECT_EQ(max(kNan, 1.0f), 1.0f);  // as CUDA's fmax
  EXPECT_EQ(__fmaf_rn(1.0f + 0x1p-20f, 1.0f - 0x1p-20f, -1.0f), -0x1p-40f);
  EXPECT_EQ(__fadd_rn(__fmul_rn(1.0f + 0x1p-20f, 1.0f - 0x1p-20f), -1.0f), 0.0f);
}

// ---- fragments ---------------------------------------------------------------------------------

// A CuTe layout of (thread, value) -> row + rows * column: the strides of thread % 4, thread / 4,
// and of each bit of the value's number.
struct Layout {
  unsigned by_pair;
  unsigned by_row;
  unsigned by_bit[3];
  unsigned at(unsigned lane, unsigned value) const {
    unsigned offset = by_pair * (lane % 4) + by_row * (lane / 4);
    for (unsigned bit = 0; bit < 3; ++bit) offset += (value >> bit & 1u) * by_bit[bit];
    return offset;
  }
};
// From cute/atom/mma_traits_sm80.hpp; A is (M16, K), B is (N8, K), C is (M16, N8), all by columns.
constexpr Layout kC = {32, 1, {16, 8, 0}};
constexpr Layout kTf32A = {16, 1, {8, 64, 0}};
constexpr Layout kTf32B = {8, 1, {32, 0, 0}};
constexpr Layout kBf16A = {32, 1, {16, 8, 128}};
constexpr Layout kBf16B = {16, 1, {8, 64, 0}};

__device__ std::uint32_t pair_at(const float* matrix, Layout layout, unsigned value) {
  return simt::cvt_rn_bf16x2(matrix[layout.at(threadIdx.x, value + 1)],
                             matrix[layout.at(threadIdx.x, value)]);
}

__global__ void product_kernel(bool bf16, const float* a, const float* b, const float* c,
                               float* d) {
  const unsigned lane = threadIdx.x;
  std::uint32_t a_part[4];
  std::uint32_t b_part[2];
  float c_part[4];
  float d_part[4];
  for (unsigned i = 0; i < 4; ++i) {
    a_part[i] = bf16 ? pair_at(a, kBf16A, 2 * i) : simt::cvt_rna_tf32(a[kTf32A.at(lane, i)]);
    c_part[i] = c[kC.at(lane, i)];
  }
  for (unsigned i = 0; i < 2; ++i) {
    b_part[i] = bf16 ? pair_at(b, kBf16B, 2 * i) : simt::cvt_rna_tf32(b[kTf32B.at(lane, i)]);
  }
  if (bf16) {
    simt::mma_m16n8k16_bf16(d_part, a_part, b_part, c_part);
  } else {
    simt::mma_m16n8k8_tf32(d_part, a_part, b_part, c_part);
  }
  for (unsigned i = 0; i < 4; ++i) d[kC.at(lane, i)] = d_part[i];
}

void expect_product(bool bf16) {
  const std::size_t depth = bf16 ? 16 : 8;
  std::vector<float> a(16 * depth);
  std::vector<float> b(8 * depth);
  std::vector<float> c(16 * 8);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i * i % 23) - 11.0f;
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i * i % 19) - 9.0f;
  for (std::size_t i = 0; i < c.size(); ++i) c[i] = static_cast<float>(i);
  Array<float> device_a(a);
  Array<float> device_b(b);
  Array<float> device_c(c);
  Array<float> d(c.size());
  launch(product_kernel, 1, 32, 0, bf16, device_a.data(), device_b.data(), device_c.data(),
         d.data());
  const auto got = d.host();
  for (std::size_t row = 0; row < 16; ++row) {
    for (std::size_t column = 0; column < 8; ++column) {
      float wanted = c[row + 16 * column];
      for (std::size_t k = 0; k < depth; ++k) wanted += a[row + 16 * k] * b[column + 8 * k];
      EXPECT_EQ(got[row + 16 * column], wanted) << row << ", " << column;
    }
  }
}

TEST(Fragments, OfTf32LieAsInCutlass) { expect_product(false); }
TEST(Fragments, OfBf16LieAsInCutlass) { expect_product(true); }

TEST(Fragments, AccumulateTowardsZero) {
  std::vector<float> a(16 * 8, 0.0f);
  std::vector<float> b(8 * 8, 0.0f);
  a[0] = -0x1p-20f;   // row 0
  a[1] = 0x1.8p-12f;  // row 1
  b[0] = b[1] = 0x1p-12f;
  Array<float> device_a(a);
  Array<float> device_b(b);
  Array<float> device_c(std::vector<float>(16 * 8, 1.0f));
  Array<float> d(16 * 8);
  launch(product_kernel, 1, 32, 0, false, device_a.data(), device_b.data(), device_c.data(),
         d.data());
  const auto got = d.host();
  EXPECT_EQ(got[0], 1.0f - 0x1p-24f);  // 1 - 2^-32, cut off
  EXPECT_EQ(got[1], 1.0f);             // 1 + 1.5 2^-24, which would round up
  EXPECT_EQ(got[2], 1.0f);
}

// ---- ldmatrix ----------------------------------------------------------------------------------

// A [16][16] and B [16 k][8 n] row by row in shared memory, loaded as kernels do and multiplied.
__global__ void loaded_product_kernel(const std::uint16_t* a, const std::uint16_t* b, float* d) {
  constexpr unsigned kStride = 24;  // 48 bytes: rows stay on 16 bytes, and banks differ
  auto& a_tile = simt::shared_var<std::uint16_t[16 * kStride]>([] {});
  auto& b_tile = simt::shared_var<std::uint16_t[16 * kStride]>([] {});
  const unsigned lane = threadIdx.x;
  for (unsigned i = lane; i < 256; i += 32) a_tile[i / 16 * kStride + i % 16] = a[i];
  for (unsigned i = lane; i < 128; i += 32) b_tile[i / 8 * kStride + i % 8] = b[i];
  __syncwarp();
  std::uint32_t a_part[4];
  std::uint32_t b_part[2];
  simt::ldmatrix_x4(a_part, &a_tile[lane % 16 * kStride + lane / 16 * 8]);
  simt::ldmatrix_x2_trans(b_part, &b_tile[lane % 16 * kStride]);
  const float zero[4] = {};
  float product[4];
  simt::mma_m16n8k16_bf16(product, a_part, b_part, zero);
  for (unsigned i = 0; i < 4; ++i) {
    d[(lane / 4 + 8 * (i / 2)) * 8 + 2 * (lane % 4) + i % 2] = product[i];
  }
}

TEST(LoadMatrix, FeedsFragmentsFromRows) {
  std::vector<std::uint16_t> a;
  std::vector<std::uint16_t> b;
  for (unsigned i = 0; i < 256; ++i) a.push_back(simt::cvt_rn_bf16(static_cast<float>(i % 13)));
  for (unsigned i = 0; i < 128; ++i) b.push_back(simt::cvt_rn_bf16(static_cast<float>(i % 11)));
  Array<std::uint16_t> device_a(a);
  Array<std::uint16_t> device_b(b);
  Array<float> d(128);
  launch(loaded_product_kernel, 1, 32, 0, device_a.data(), device_b.data(), d.data());
  const auto got = d.host();
  for (unsigned i = 0; i < 128; ++i) {
    float wanted = 0.0f;
    for (unsigned k = 0; k < 16; ++k) {
      wanted +=
          static_cast<float>((i / 8 * 16 + k) % 13) * static_cast<float>((k * 8 + i % 8) % 11);
    }
    EXPECT_EQ(got[i], wanted) << i;
  }
}

// ---- cp.async ----------------------------------------------------------------------------------

__global__ void copy_kernel(const float* from, const int* valid, float* to) {
  auto& tile = simt::shared_var<float4[8]>([] {});
  const unsigned thread = threadIdx.x;
  simt::cp_async<16>(&tile[thread], valid[thread] > 0 ? from + 4 * thread : nullptr, valid[thread]);
  simt::cp_async_commit();
  simt::cp_async_wait(0);
  const float4 got = tile[thread];
  to[4 * thread] = got.x;
  to[4 * thread + 1] = got.y;
  to[4 * thread + 2] = got.z;
  to[4 * thread + 3] = got.w;
}

TEST(AsyncCopy, FillsWhatIsNotValidWithZeros) {
  const auto values = small_numbers(32);
  const std::vector<int> valid = {16, 0, 4, 8, 12, 16, 0, 16};
  Array<float> from(values);
  Array<int> counts(valid);
  Array<float> to(32);
  launch(copy_kernel, 1, 8, 0, from.data(), counts.data(), to.data());
  const auto got = to.host();
  for (std::size_t i = 0; i < 32; ++i) {
    const auto filled = static_cast<std::size_t>(valid[i / 4]) / sizeof(float);
    EXPECT_EQ(got[i], i % 4 < filled ? values[i] : 0.0f) << i;
  }
}

__global__ void groups_kernel(const int* from, int* to) {
  auto& tile = simt::shared_var<int[3]>([] {});
  for (int i = 0; i < 3; ++i) {
    simt::cp_async<4>(&tile[i], from + i);
    simt::cp_async_commit();
  }
  simt::cp_async_wait(2);
  to[0] = tile[0];
  simt::cp_async_wait(1);
  to[1] = tile[1];
  simt::cp_async_wait(0);
  to[2] = tile[2];
}

TEST(AsyncCopy, WaitsForTheOldestGroupsFirst) {
  Array<int> from(std::vector<int>{5, 6, 7});
  Array<int> to(3);
  launch(groups_kernel, 1, 1, 0, from.data(), to.data());
  EXPECT_EQ(to.host(), (std::vector<int>{5, 6, 7}));
}

}  // namespace
