#include "simt/tensor.hpp"

#include <bit>
#include <cmath>
#include <cstring>

#include "internal.hpp"

namespace simt {
namespace {

constexpr std::uint32_t kInfinity = 0x7f800000u;
constexpr std::uint32_t kNotTf32 = 0x1fffu;  // bits of a float that tf32 has not

struct Operands {
  std::uint32_t a[4];
  std::uint32_t b[2];
};

Operands operands_of(const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  return {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
}

// The accumulator of a tensor core does not round, it cuts off.
float rounded_towards_zero(double value) {
  const float nearest = static_cast<float>(value);
  if (std::isinf(nearest) && !std::isinf(value)) return nearest;
  if (std::fabs(static_cast<double>(nearest)) <= std::fabs(value) || std::isnan(value)) {
    return nearest;
  }
  return std::nextafter(nearest, 0.0f);
}

double tf32_value(std::uint32_t bits) {
  return static_cast<double>(std::bit_cast<float>(bits & ~kNotTf32));
}
double bf16_value(std::uint32_t pair, unsigned upper) {
  return static_cast<double>(std::bit_cast<float>(upper != 0 ? pair & 0xffff0000u : pair << 16));
}

// One lane's four elements of C: rows `row` and row + 8, columns 2 pair and 2 pair + 1.
template <class Product>
void accumulate(float (&d)[4], const float (&c)[4], unsigned depth, Product product) {
  const unsigned row = detail::lane() / 4;
  const unsigned pair = detail::lane() % 4;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned lower_half = i / 2;
    const unsigned column = 2 * pair + i % 2;
    double sum = static_cast<double>(c[i]);
    for (unsigned k = 0; k < depth; ++k) sum += product(row, lower_half, column, k);
    d[i] = rounded_towards_zero(sum);
  }
}

struct Row {
  std::uint16_t elements[8];
};

// Registers of one lane from the rows that the lanes gave: `matrices` rows of 8 lanes each.
void load_matrices(const char* name, std::uint32_t* result, unsigned matrices, bool transposed,
                   const void* row, Where where) {
  const detail::RuntimeCall call;
  const unsigned lane = detail::lane();
  Row mine{};
  if (lane < 8 * matrices) {
    if (reinterpret_cast<std::uintptr_t>(row) % sizeof(Row) != 0) {
      detail::report("misaligned", "%s at %s:%u: a row's address is not a multiple of 16 bytes",
                     name, where.file_name(), where.line());
    }
    detail::note_access(row, sizeof(Row), detail::Access::kRead, where);
    std::memcpy(&mine, row, sizeof(Row));
  }
  const detail::Gathered<Row> all(name, detail::kAllLanes, mine, false, where);
  for (unsigned i = 0; i < matrices; ++i) {
    std::uint32_t halves[2];
    for (unsigned half = 0; half < 2; ++half) {
      const unsigned along = 2 * (lane % 4) + half;
      const unsigned across = lane / 4;
      halves[half] =
          transposed ? all[8 * i + along].elements[across] : all[8 * i + across].elements[along];
    }
    result[i] = halves[0] | halves[1] << 16;
  }
}

}  // namespace

std::uint32_t cvt_rna_tf32(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return 0x7fffffffu & ~kNotTf32;
  if ((bits & kInfinity) == kInfinity) return bits;
  return (bits + 0x1000u) & ~kNotTf32;
}

std::uint16_t cvt_rn_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return 0x7fff;
  return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

std::uint32_t cvt_rn_bf16x2(float upper, float lower) {
  return static_cast<std::uint32_t>(cvt_rn_bf16(upper)) << 16 | cvt_rn_bf16(lower);
}

void mma_m16n8k8_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                      const float (&c)[4], Where where) {
  const detail::RuntimeCall call;
  const Operands mine = operands_of(a, b);
  if (((a[0] | a[1] | a[2] | a[3] | b[0] | b[1]) & kNotTf32) != 0) {
    detail::report("mma-operand", "mma.m16n8k8 at %s:%u: an operand is not rounded to tf32",
                   where.file_name(), where.line());
  }
  const detail::Gathered<Operands> all("mma.m16n8k8", detail::kAllLanes, mine, false, where);
  accumulate(d, c, 8, [&](unsigned row, unsigned lower_half, unsigned column, unsigned k) {
    return tf32_value(all[4 * row + k % 4].a[lower_half + 2 * (k / 4)]) *
           tf32_value(all[4 * column + k % 4].b[k / 4]);
  });
}

void mma_m16n8k16_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                       const float (&c)[4], Where where) {
  const detail::RuntimeCall call;
  const Operands mine = operands_of(a, b);
  const detail::Gathered<Operands> all("mma.m16n8k16", detail::kAllLanes, mine, false, where);
  accumulate(d, c, 16, [&](unsigned row, unsigned lower_half, unsigned column, unsigned k) {
    const unsigned holder = k % 8 / 2;
    return bf16_value(all[4 * row + holder].a[lower_half + 2 * (k / 8)], k % 2) *
           bf16_value(all[4 * column + holder].b[k / 8], k % 2);
  });
}

void ldmatrix_x1(std::uint32_t (&result)[1], const void* row, Where where) {
  load_matrices("ldmatrix.x1", result, 1, false, row, where);
}
void ldmatrix_x2(std::uint32_t (&result)[2], const void* row, Where where) {
  load_matrices("ldmatrix.x2", result, 2, false, row, where);
}
void ldmatrix_x4(std::uint32_t (&result)[4], const void* row, Where where) {
  load_matrices("ldmatrix.x4", result, 4, false, row, where);
}
void ldmatrix_x1_trans(std::uint32_t (&result)[1], const void* row, Where where) {
  load_matrices("ldmatrix.x1.trans", result, 1, true, row, where);
}
void ldmatrix_x2_trans(std::uint32_t (&result)[2], const void* row, Where where) {
  load_matrices("ldmatrix.x2.trans", result, 2, true, row, where);
}
void ldmatrix_x4_trans(std::uint32_t (&result)[4], const void* row, Where where) {
  load_matrices("ldmatrix.x4.trans", result, 4, true, row, where);
}

}  // namespace simt
