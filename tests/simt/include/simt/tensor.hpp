#pragma once

#include <cstdint>

#include "simt/kernel.hpp"

/// Matrix fragments of a warp, as PTX's mma.sync and ldmatrix have them, and the conversions that
/// feed them. A project calls these from its own wrappers, whose other arm is inline PTX.
///
/// With row = lane / 4 and pair = lane % 4, registers hold (PTX ISA, "Matrix Fragments"):
///   m16n8k8 tf32   A[16][8]  a0=(row, pair)   a1=(row+8, pair)   a2, a3: columns + 4
///                  B[8][8]   b0=(k=pair, n=row)                  b1=(k=pair+4, n=row)
///   m16n8k16 bf16  A[16][16] a0=(row, 2 pair..+1) a1=(row+8, …)  a2, a3: columns + 8
///                  B[16][8]  b0=(k=2 pair..+1, n=row)            b1: k + 8
///   both           C[16][8]  c0, c1=(row, 2 pair..+1)            c2, c3: row + 8
/// Of two bf16 in a register the lower half is the one with the lower index.
namespace simt {

/// cvt.rna.tf32.f32: 10 bits of mantissa, to nearest, ties away from zero.
std::uint32_t cvt_rna_tf32(float value);
/// cvt.rn.bf16.f32: to nearest, ties to even.
std::uint16_t cvt_rn_bf16(float value);
/// cvt.rn.bf16x2.f32 of (upper, lower), in PTX's order of operands.
std::uint32_t cvt_rn_bf16x2(float upper, float lower);

/// D = A B + C. Products are exact and the sum is rounded once, towards zero, as tensor cores do
/// (a long chain of these loses what a rounding accumulator would not). Reports mma-operand where
/// an operand has bits that tf32 has not: the hardware ignores them, so the kernel forgot to round.
void mma_m16n8k8_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                      const float (&c)[4], Where where = Where::current());
void mma_m16n8k16_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                       const float (&c)[4], Where where = Where::current());

/// ldmatrix.sync.aligned.m8n8.b16: loads 1, 2 or 4 matrices of 8 rows of 16 bytes from shared
/// memory. Lane 8 i + r gives the address of row r of matrix i; other lanes' addresses are not
/// used. Register i of a lane then holds elements 2 pair and 2 pair + 1 of row `row` of matrix i
/// (_trans: of column `row`).
void ldmatrix_x1(std::uint32_t (&result)[1], const void* row, Where where = Where::current());
void ldmatrix_x2(std::uint32_t (&result)[2], const void* row, Where where = Where::current());
void ldmatrix_x4(std::uint32_t (&result)[4], const void* row, Where where = Where::current());
void ldmatrix_x1_trans(std::uint32_t (&result)[1], const void* row, Where where = Where::current());
void ldmatrix_x2_trans(std::uint32_t (&result)[2], const void* row, Where where = Where::current());
void ldmatrix_x4_trans(std::uint32_t (&result)[4], const void* row, Where where = Where::current());

}  // namespace simt
