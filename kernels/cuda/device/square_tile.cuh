#pragma once

#include <limits>

#include "kernels/cuda/device/reduce.cuh"

/// Linear algebra of one 64 x 64 tile of doubles in one block of 256 threads.
namespace culatent::device {

inline constexpr int kSquare = 64;                     // rows and columns of a tile
inline constexpr int kSquareLanes = 16;                // threads along either side
inline constexpr int kSquareOwn = 4;                   // elements of a thread along either side
inline constexpr int kSquareThreads = 256;             // kSquareLanes²
inline constexpr int kSquareSize = kSquare * kSquare;  // elements
inline constexpr int kSquareDepth = 16;                // rows staged at a time
inline constexpr double kRounding = std::numeric_limits<double>::epsilon();
inline constexpr double kNoValue = std::numeric_limits<double>::quiet_NaN();
using SquareStage = double2[2][kSquareDepth * kSquare / 2];

// A thread's elements of a tile. sweep: (i, j) at (x + 16 a, y + 16 b).
using SquareShare = double[kSquareOwn][kSquareOwn];

struct SweepScratch {
  double line[2][kSquare];   // row and column of the pivot: two, for one barrier a step
  double diagonal[kSquare];  // of the matrix whose factor is sought, before any step
  double sums[kSquareThreads / 32];
};

// ---- sweep --------------------------------------------------------------------------------------
//
// Turns a symmetric A = L Lᵀ into W = L⁻¹ in place by elimination on [A | I]. The columns of A that
// are done and the columns of W that are not begun share the lower triangle, so that with pivot
// l = √A_pp and
//
//   g_j = W_pj / l (j < p),   g_p = 1 / l,   g_j = A_jp / l = L_jp (j > p)
//
// every step is one symmetric update: row i > p loses g_i g_j, column p starting from 0; row p
// becomes g. Elements stay in registers; a step costs one barrier, a square root, a division and
// 16 FMA a thread: about 64 x 350 cycles a tile. Columns `limit` and beyond are not eliminated.
// Returns log |L|, or NaN when a pivot is not finite or is rounding beside its diagonal.
// All threads of the block call it and get the same value. The upper triangle is left undefined.
__device__ __forceinline__ double sweep(SquareShare& x, int limit, SweepScratch& scratch) {
  const int tx = static_cast<int>(threadIdx.x) % kSquareLanes;
  const int ty = static_cast<int>(threadIdx.x) / kSquareLanes;
  double own_pivot = 1.0;
#pragma unroll
  for (int along = 0; along < kSquareOwn; ++along) {
#pragma unroll 1
    for (int lane = 0; lane < kSquareLanes; ++lane) {
      const int p = along * kSquareLanes + lane;
      if (p >= limit) break;
      double(&line)[kSquare] = scratch.line[p % 2];
#pragma unroll
      for (int a = 0; a < kSquareOwn; ++a) {
        const int i = tx + kSquareLanes * a;
        const int j = ty + kSquareLanes * a;
        if (tx == lane && j <= p) line[j] = x[along][a];
        if (ty == lane && i > p) line[i] = x[a][along];
      }
      __syncthreads();
      const double pivot = sqrt(line[p]);
      // NaN fails too, and so does infinity, which the diagonal shares.
      if (!(pivot * pivot > kRounding * scratch.diagonal[p])) {
        return kNoValue;
      }
      const double inverse = 1.0 / pivot;
      if (static_cast<int>(threadIdx.x) == p) own_pivot = pivot;
      double g[kSquareOwn];
#pragma unroll
      for (int b = 0; b < kSquareOwn; ++b) {
        const int j = ty + kSquareLanes * b;
        g[b] = j == p ? inverse : line[j] * inverse;
      }
#pragma unroll
      for (int a = along; a < kSquareOwn; ++a) {
        const int i = tx + kSquareLanes * a;
        const double f = line[i] * inverse;
#pragma unroll
        for (int b = 0; b < kSquareOwn; ++b) {
          const int j = ty + kSquareLanes * b;
          const double before = j == p ? 0.0 : x[a][b];
          if (i > p) x[a][b] = before - f * g[b];
          if (i == p && j <= p) x[a][b] = g[b];
        }
      }
    }
  }
  return block_sum<kSquareThreads>(log(own_pivot), scratch.sums);
}

// ---- add_product --------------------------------------------------------------------------------
//
// acc(r, c) += sum_m a[m][r] b[m][c] for two tiles in global memory. A thread's elements are those
// of square_at(). 16 FMA for four 16-byte loads of shared memory, which no two lanes take from the
// same bank at different places.

// Row or column of a thread's element `a` where the thread has place `lane` along that side.
__device__ __forceinline__ int square_at(int lane, int a) {
  return 2 * lane + a % 2 + 32 * (a / 2);
}

__device__ __forceinline__ void add_product(const double* a, const double* b, SquareStage& stage,
                                            SquareShare& acc) {
  const int tx = static_cast<int>(threadIdx.x) % kSquareLanes;
  const int ty = static_cast<int>(threadIdx.x) / kSquareLanes;
  constexpr int kPairs = kSquareDepth * kSquare / 2;
#pragma unroll 1
  for (int first = 0; first < kSquare; first += kSquareDepth) {
    const auto* from_a = reinterpret_cast<const double2*>(a + first * kSquare);
    const auto* from_b = reinterpret_cast<const double2*>(b + first * kSquare);
    __syncthreads();
#pragma unroll
    for (int at = 0; at < kPairs; at += kSquareThreads) {
      const int pair = at + static_cast<int>(threadIdx.x);
      stage[0][pair] = from_a[pair];
      stage[1][pair] = from_b[pair];
    }
    __syncthreads();
#pragma unroll
    for (int m = 0; m < kSquareDepth; ++m) {
      const double2* row = stage[0] + m * (kSquare / 2);
      const double2* column = stage[1] + m * (kSquare / 2);
      const double2 r0 = row[ty], r1 = row[ty + kSquareLanes];
      const double2 c0 = column[tx], c1 = column[tx + kSquareLanes];
      const double rows[kSquareOwn] = {r0.x, r0.y, r1.x, r1.y};
      const double columns[kSquareOwn] = {c0.x, c0.y, c1.x, c1.y};
#pragma unroll
      for (int i = 0; i < kSquareOwn; ++i) {
#pragma unroll
        for (int j = 0; j < kSquareOwn; ++j) acc[i][j] += rows[i] * columns[j];
      }
    }
  }
}

// tile = before − acc, where `before` is the tile's content or, with `fresh`, 0.
__device__ __forceinline__ void subtract_product(const SquareShare& acc, bool fresh, double* tile) {
  const int tx = static_cast<int>(threadIdx.x) % kSquareLanes;
  const int ty = static_cast<int>(threadIdx.x) / kSquareLanes;
#pragma unroll
  for (int a = 0; a < kSquareOwn; ++a) {
#pragma unroll
    for (int b = 0; b < kSquareOwn; b += 2) {
      auto* out = reinterpret_cast<double2*>(tile + square_at(ty, a) * kSquare + square_at(tx, b));
      const double2 before = fresh ? make_double2(0.0, 0.0) : *out;
      *out = make_double2(before.x - acc[a][b], before.y - acc[a][b + 1]);
    }
  }
}

__device__ __forceinline__ void store_product(const SquareShare& acc, double* tile) {
  const int tx = static_cast<int>(threadIdx.x) % kSquareLanes;
  const int ty = static_cast<int>(threadIdx.x) / kSquareLanes;
#pragma unroll
  for (int a = 0; a < kSquareOwn; ++a) {
#pragma unroll
    for (int b = 0; b < kSquareOwn; b += 2) {
      *reinterpret_cast<double2*>(tile + square_at(ty, a) * kSquare + square_at(tx, b)) =
          make_double2(acc[a][b], acc[a][b + 1]);
    }
  }
}

}  // namespace culatent::device
