#pragma once

#include <cstdint>

#include "kernels/cuda/device/async.cuh"
#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/gaussian_mixture.hpp"

/// Which squares of the moments a warp of add_moments_tensor() adds up, and the rows for them in
/// shared memory, turned: features by rows.
namespace culatent::gaussian_mixture::tensor {

using device::cp_async;
using device::cp_async_commit;
using device::cp_async_wait;
using device::load_piece;

inline constexpr int kSide = 64;      // features of a square
inline constexpr int kTileRows = 32;  // of x' at a time
inline constexpr int kWarps = 4;
inline constexpr int kThreads = 32 * kWarps;

struct TensorProblem {
  DeviceRows<float> rows;
  DeviceFrame<float> frame;
  const float* shifts;
  DeviceResponsibilities<float> resp;
  std::int64_t n_components;
  float* tails;
  std::int64_t squares, record;  // of a record: where the squares begin, and its size
  std::int64_t first_block;
  std::int64_t n_squares, n_groups;  // of a block of rows; of warps, for one square
  bool whole_rows, whole_features;
};

// Squares on the diagonal, of 8 kBlocks features, or halves of those below it.
template <bool kOnDiagonal, int kBlocks>
struct Shape {
  static constexpr bool kDiagonal = kOnDiagonal;
  static constexpr int kRowBlocks = kOnDiagonal ? kBlocks : kBlocks / 2;  // of 8 features
  static constexpr int kColumnBlocks = kBlocks;
  static constexpr int kStaged = kOnDiagonal ? 8 * kBlocks : 16 * kBlocks;  // features of x'
  // Tiles of 16 x 8: on the diagonal those that touch the lower triangle.
  static constexpr int kTiles =
      kOnDiagonal ? kBlocks / 2 * (kBlocks / 2 + 1) : kBlocks / 4 * kBlocks;
  // Number of the tile of 16 rows i and 8 columns j.
  static __host__ __device__ constexpr int tile(int i, int j) {
    return (kOnDiagonal ? i * (i + 1) : i * kBlocks) + j;
  }
};

// What a warp adds up: the features of its rows and columns, their places in the tile, and rows.
struct Square {
  std::int64_t component;
  int row, column;
  int row_slot, column_slot;
  bool present;
  int n_rows;
  std::int64_t first_row;
};

// The warp's square. Those below the diagonal are counted 1,0 2,0 2,1 3,0 ...
template <class Shape>
__device__ __forceinline__ Square own_square(const TensorProblem& p) {
  const auto per_block = static_cast<unsigned>(p.n_squares * p.n_groups);
  const auto in_block = static_cast<int>(blockIdx.x % per_block);
  const auto n_groups = static_cast<int>(p.n_groups);
  int column = in_block / n_groups;
  const int unit = in_block % n_groups * kWarps + static_cast<int>(threadIdx.x) / 32;
  Square s;
  s.first_row = (p.first_block + blockIdx.x / per_block) * kBlockRows;
  s.n_rows = static_cast<int>(min(p.rows.n_rows - s.first_row, kBlockRows));
  if constexpr (Shape::kDiagonal) {
    s.component = unit;
    s.row = s.column = column * kSide;
    s.row_slot = s.column_slot = 0;
    s.present = unit < p.n_components;
  } else {
    int row = 1;
    while (column >= row) column -= row++;
    const auto half = static_cast<int>(unit / p.n_components);
    s.component = unit % p.n_components;
    s.row_slot = half * (kSide / 2);
    s.row = row * kSide + s.row_slot;
    s.column = column * kSide;
    s.column_slot = kSide;
    s.present = half < 2;
  }
  return s;
}

// Where four rows of a feature lie in the tile, in units of 16 bytes: so that neither threads that
// write neighbouring quadruples of features nor lanes that read 8 features by 4 chunks share a
// bank.
__device__ __forceinline__ int tile_at(int feature, int chunk) {
  return feature * (kTileRows / 4) + (chunk ^ (feature / 4 % 8) ^ (feature % 2 * 4));
}

// Pieces of a tile as they come from memory: four rows of four features are one thread's, which
// copies them and later turns them, so that no barrier lies between.
struct Corner {
  int local, feature;  // the first of four features, in the tile and of the data
  int chunk;           // of four rows
};

template <class Shape>
inline constexpr int kPieces = Shape::kStaged / 4 * (kTileRows / 4);

template <class Shape>
__device__ __forceinline__ Corner piece_corner(const Square& square, int piece) {
  const int local = piece % (Shape::kStaged / 4) * 4;
  const int first = square.row - square.row_slot;  // of the staged features
  return {local, local < kSide ? first + local : square.column + local - kSide,
          piece / (Shape::kStaged / 4)};
}

// Begins to copy rows `first` and on of the block; zeros beyond the last row and feature.
template <class Shape>
__device__ __forceinline__ void fetch_tile(const TensorProblem& p, const Square& square, int first,
                                           float4* raw) {
#pragma unroll 1
  for (int at = static_cast<int>(threadIdx.x); at < kPieces<Shape>; at += kThreads) {
    const Corner piece = piece_corner<Shape>(square, at);
    const int left = static_cast<int>(p.rows.n_features) - piece.feature;
    const std::int64_t row = first + 4 * piece.chunk;
    const float* from = p.rows.data + (square.first_row + row) * p.rows.stride + piece.feature;
    float4* to = raw + at;
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const int valid = row + r < square.n_rows ? min(max(left, 0), 4) : 0;
      if (p.whole_rows) {
        cp_async<16>(to, valid == 0 ? p.rows.data : from, 4 * valid);
      } else {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          cp_async<4>(reinterpret_cast<float*>(to) + i, i < valid ? from + i : p.rows.data,
                      i < valid ? 4 : 0);
        }
      }
      from += p.rows.stride;
      to += kPieces<Shape>;
    }
  }
  cp_async_commit();
}

// x' of the copied rows into the tile; some finite number beyond the last row, where no component
// has a share.
template <class Shape>
__device__ __forceinline__ void turn_tile(const TensorProblem& p, const Square& square,
                                          const float4* raw, float4* tile) {
  cp_async_wait<0>();
#pragma unroll 1
  for (int at = static_cast<int>(threadIdx.x); at < kPieces<Shape>; at += kThreads) {
    const Corner piece = piece_corner<Shape>(square, at);
    const auto d = p.rows.n_features;
    const auto scale = load_piece<4>(p.frame.scale, piece.feature, d, p.whole_features);
    const auto offset = load_piece<4>(p.frame.offset, piece.feature, d, p.whole_features);
    float x[4][4];
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const float4 row = raw[r * kPieces<Shape> + at];
      const float values[4] = {row.x, row.y, row.z, row.w};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        x[i][r] = fma(values[i], scale.v[i], offset.v[i]);
      }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      tile[tile_at(piece.local + i, piece.chunk)] = make_float4(x[i][0], x[i][1], x[i][2], x[i][3]);
    }
  }
}

}  // namespace culatent::gaussian_mixture::tensor
