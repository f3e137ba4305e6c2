#include "simt/tensor.hpp"

#include <bit>
#include <cmath>
#include <cstring>

#include "internal.hpp"

namespace simt {
namespace {

constexpr std::uint32_t kInfinity = 0x7f800000u;
constexpr std::uint32_t kNotTf32 = 0x1fffu;  // bits of a float that tf32 has not

// What a lane gives to a product: elements of A and of B, two to a register where they are bf16.
struct Operands {
  std::uint32_t a[4];
  std::uint32_t b[2];
};

const Operands& operands_of(const detail::Group& group, unsigned lane) {
  return *reinterpret_cast<const Operands*>(group.data[lane]);
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

// Elements (k of kDepth) of a row of A, which half of the 16 rows it is in, or of a column of B,
// from the registers of the four lanes that hold it. kPacked elements share a register; registers
// of one half of k lie `step` apart.
template <unsigned kDepth, unsigned kPacked>
void unpack(double (&elements)[kDepth], const std::uint32_t* const (&registers)[4], unsigned first,
            unsigned step) {
  for (unsigned k = 0; k < kDepth; ++k) {
    const unsigned in_half = k % (kDepth / 2);
    const std::uint32_t bits = registers[in_half / kPacked][first + step * (k / (kDepth / 2))];
    elements[k] = kPacked == 2 ? bf16_value(bits, k % 2) : tf32_value(bits);
  }
}

// One lane's four elements of D: rows `row` and row + 8, columns 2 pair and 2 pair + 1.
template <unsigned kDepth, unsigned kPacked>
void multiply(const char* name, float (&d)[4], const std::uint32_t (&a)[4],
              const std::uint32_t (&b)[2], const float (&c)[4], Where where) {
  const Operands mine = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  detail::Group& group = detail::gather(name, detail::kAllLanes, &mine, sizeof mine, false, where);
  if (group.arrived != detail::kAllLanes) {
    detail::report("inactive-lane", "%s at %s:%u: %u lanes of 32 take part", name,
                   where.file_name(), where.line(),
                   static_cast<unsigned>(std::popcount(group.arrived)));
  }
  const unsigned row = detail::lane() / 4;
  const unsigned pair = detail::lane() % 4;
  double rows[2][kDepth];
  double columns[2][kDepth];
  for (unsigned half = 0; half < 2; ++half) {
    const std::uint32_t* a_registers[4];
    const std::uint32_t* b_registers[4];
    for (unsigned i = 0; i < 4; ++i) {
      a_registers[i] = operands_of(group, 4 * row + i).a;
      b_registers[i] = operands_of(group, 4 * (2 * pair + half) + i).b;
    }
    unpack<kDepth, kPacked>(rows[half], a_registers, half, 2);
    unpack<kDepth, kPacked>(columns[half], b_registers, 0, 1);
  }
  detail::release(group);
  for (unsigned i = 0; i < 4; ++i) {
    double sum = static_cast<double>(c[i]);
    for (unsigned k = 0; k < kDepth; ++k) sum += rows[i / 2][k] * columns[i % 2][k];
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
  if (((a[0] | a[1] | a[2] | a[3] | b[0] | b[1]) & kNotTf32) != 0) {
    detail::report("mma-operand", "mma.m16n8k8 at %s:%u: an operand is not rounded to tf32",
                   where.file_name(), where.line());
  }
  multiply<8, 1>("mma.m16n8k8", d, a, b, c, where);
}

void mma_m16n8k16_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                       const float (&c)[4], Where where) {
  const detail::RuntimeCall call;
  multiply<16, 2>("mma.m16n8k16", d, a, b, c, where);
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
