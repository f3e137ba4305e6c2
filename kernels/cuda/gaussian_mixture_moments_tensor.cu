#include <algorithm>

#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/gaussian_mixture_moments.hpp"
#include "kernels/cuda/gaussian_mixture_turned_tile.cuh"

// ---- add_moments_tensor -------------------------------------------------------------------------
//
//   squares[b, k, i (i+1)/2 + j] = sum_row q_k z_i z_j,  sums[b, k, j] = sum_row q_k z_j,
//   z = x' − shift_k
//
// Y = √q z of a block's rows, split; Yᵀ Y by products of fragments, rows being what is summed over.
// Squares are cut into sides of 64 features. A warp has one component and one square on the
// diagonal (of 32 features for D ≤ 32), or one half, 32 x 64, of a square below it, and keeps the
// sums in registers over a block of rows. Fragments of A and of B are made of the same values, so
// on the diagonal every element of Y is made and split once, by the lane that multiplies it.
// Four warps with the same square and different components share a tile of 32 rows of x', turned
// (features by rows), of which there are two, with one barrier a tile; rows come by cp.async while
// the tile before is worked on. 16 rows of which the component has no share are skipped.
//
//   D = 64, one component, 16 rows, of a warp:           Tf32x3    Bf16x3
//     products of fragments (tiles above the diagonal
//     are left out: 20 of 32)                             120        60
//     cycles that those take at 62 % of the peak          740       370
//     instructions issued in all, about                   720       450
//       of them 130 or 70 copies, as A's registers
//       cannot be B's
//     blocks of four warps on a multiprocessor              2         3
//   bytes N D from main memory; X again from the L2 cache for every 4 components, q once a square
//
// Error of a square, beside that of float's own z: sum q |z_i z_j| times 5 · 2⁻²² (Tf32x3) or
// 3 · 2⁻¹⁶ (Bf16x3) for the split at most. Tensor cores cut sums off instead of rounding them,
// which would bias 1024 rows by up to 2⁻¹⁴; so with Tf32x3 the three products of 8 rows start from
// 0 and are added to the sum so far as floats are, n / 8 roundings of 2⁻²⁴.

namespace culatent::gaussian_mixture {
namespace {

using namespace device;
using namespace tensor;

constexpr int kOutPitch = kSide + 8;  // 16 rows of pairs in as many banks

// Y of 8 kBlocks features and 4 kDepth rows, split: of 8 features the lane has one, and rows
// 4 (lane % 4) + kOwn part and on of the 16 of `chunk` to `chunk` + 3. What is A's fragment for two
// blocks of features is B's for each. Adds √q Y to `sums` where it is wanted.
template <class Kind, bool kSums, int kBlocks>
__device__ __forceinline__ void make_fragments(const float4* tile, int chunk, int part,
                                               const float* roots, const float* shifts,
                                               Split<2> (&out)[kBlocks], float (&sums)[kBlocks]) {
  constexpr int kOwn = Kind::kDepth / 4;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int own = lane % 4 ^ lane / 16 ^ (lane / 4 % 2 * 4) ^ chunk;
  const auto root =
      reinterpret_cast<const Piece<float, kOwn>*>(roots + 4 * (chunk + lane % 4))[part];
#pragma unroll
  for (int f = 0; f < kBlocks; ++f) {
    // tile_at(8 f + lane / 4, chunk + lane % 4), the bits put together.
    const float4* const from = tile + (8 * f + lane / 4) * (kTileRows / 4) + (own ^ (2 * f % 8));
    const auto x = reinterpret_cast<const Piece<float, kOwn>*>(from)[part];
    const float shift = shifts[8 * f + lane / 4];
    float y[kOwn];
#pragma unroll
    for (int r = 0; r < kOwn; ++r) {
      y[r] = root.v[r] * (x.v[r] - shift);
      if constexpr (kSums) sums[f] += root.v[r] * y[r];
    }
    Kind::split_b(y, out[f]);
  }
}

// acc[t] += the features of tile t's rows times those of its columns. Column by column, so that the
// registers of B, which cannot be those of A, are copied once.
template <class Kind, class Shape>
__device__ __forceinline__ void multiply_tiles(const Split<2> (&rows)[Shape::kRowBlocks],
                                               const Split<2> (&columns)[Shape::kColumnBlocks],
                                               float (&acc)[Shape::kTiles][4]) {
  Split<4> a[Shape::kRowBlocks / 2];
#pragma unroll
  for (int i = 0; i < Shape::kRowBlocks / 2; ++i) {
    const Split<2>& upper = rows[2 * i];
    const Split<2>& lower = rows[2 * i + 1];
    a[i] = {{upper.high[0], lower.high[0], upper.high[1], lower.high[1]},
            {upper.low[0], lower.low[0], upper.low[1], lower.low[1]}};
  }
#pragma unroll
  for (int j = 0; j < Shape::kColumnBlocks; ++j) {
#pragma unroll
    for (int i = Shape::kDiagonal ? j / 2 : 0; i < Shape::kRowBlocks / 2; ++i) {
      float(&sum)[4] = acc[Shape::tile(i, j)];
      if constexpr (Kind::kDepth == 8) {
        float part[4] = {};
        Kind::multiply(part, a[i].low, columns[j].high);
        Kind::multiply(part, a[i].high, columns[j].low);
        Kind::multiply(part, a[i].high, columns[j].high);
#pragma unroll
        for (int e = 0; e < 4; ++e) sum[e] += part[e];
      } else {
        Kind::multiply(sum, a[i].low, columns[j].high);
        Kind::multiply(sum, a[i].high, columns[j].low);
        Kind::multiply(sum, a[i].high, columns[j].high);
      }
    }
  }
}

// The shifts of `count` features of the warp's component, zero beyond the last.
__device__ __forceinline__ void load_shifts(const TensorProblem& p, const Square& square, int first,
                                            int count, float* shifts) {
  const std::int64_t d = p.rows.n_features;
  for (int at = static_cast<int>(threadIdx.x) % 32; at < count; at += 32) {
    const bool inside = square.present && first + at < d;
    shifts[at] = inside ? p.shifts[square.component * d + first + at] : 0.0f;
  }
}

// Writes a warp's tiles, 16 rows at a time through shared memory, so that what lies side by side is
// written side by side.
template <class Shape>
__device__ __forceinline__ void write_square(const TensorProblem& p, const Square& square,
                                             const float (&acc)[Shape::kTiles][4], float* scratch,
                                             float* record) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t d = p.rows.n_features;
  float* const squares = record + p.squares + square.component * (d * (d + 1) / 2);
#pragma unroll
  for (int i = 0; i < Shape::kRowBlocks / 2; ++i) {
    __syncwarp();
#pragma unroll
    for (int j = 0; j < (Shape::kDiagonal ? 2 * i + 2 : Shape::kColumnBlocks); ++j) {
      const float(&sum)[4] = acc[Shape::tile(i, j)];
      float* const out = scratch + lane / 4 * kOutPitch + 8 * j + lane % 4 * 2;
      *reinterpret_cast<float2*>(out) = make_float2(sum[0], sum[1]);
      *reinterpret_cast<float2*>(out + 8 * kOutPitch) = make_float2(sum[2], sum[3]);
    }
    __syncwarp();
    for (int r = 0; r < 16; ++r) {
      const std::int64_t row = square.row + 16 * i + r;
      if (row >= d) break;
      const auto end =
          static_cast<int>(min(row - square.column + 1, std::int64_t{8 * Shape::kColumnBlocks}));
      float* const to = squares + row * (row + 1) / 2 + square.column;
      for (int j = lane; j < end; j += 32) to[j] = scratch[r * kOutPitch + j];
    }
  }
}

template <class Kind, class Shape>
__global__ void __launch_bounds__(kThreads, Kind::kDepth == 8 ? 2 : 3)
    moments_tensor_kernel(const TensorProblem p) {
  constexpr int kTile = Shape::kStaged * (kTileRows / 4);
  constexpr int kParts = 16 / Kind::kDepth;  // of 16 rows
  CULATENT_DYNAMIC_SHARED(tiles, float4);
  CULATENT_SHARED(all_roots, float4[kWarps][kTileRows / 4]);
  CULATENT_SHARED(shifts, float[kWarps][kSide + kSide / 2]);
  CULATENT_SHARED(squares, Square[kWarps]);  // not in registers, which are full
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  if (lane == 0) squares[warp] = own_square<Shape>(p);
  __syncwarp();
  const Square& square = squares[warp];
  float* const roots = reinterpret_cast<float*>(all_roots[warp]);
  load_shifts(p, square, square.column, 8 * Shape::kColumnBlocks, shifts[warp]);
  if (!Shape::kDiagonal) {
    load_shifts(p, square, square.row, 8 * Shape::kRowBlocks, shifts[warp] + kSide);
  }
  float acc[Shape::kTiles][4] = {};
  float sums[Shape::kColumnBlocks] = {}, no_sums[Shape::kRowBlocks] = {};
  const auto load_share = [&](int row) {
    return square.present && row < square.n_rows
               ? p.resp.data[square.component * p.resp.stride + square.first_row + row]
               : 0.0f;
  };
  float4* const raw = tiles + 2 * kTile;
  float share = load_share(lane);
  fetch_tile<Shape>(p, square, 0, raw);
  turn_tile<Shape>(p, square, raw, tiles);
  fetch_tile<Shape>(p, square, kTileRows, raw);
#pragma unroll 1
  for (int first = 0; first < square.n_rows; first += kTileRows) {
    __syncwarp();
    roots[lane] = sqrt(share);
    const unsigned shared_rows = __ballot_sync(kAllLanes, share != 0.0f);
    __syncthreads();
    const int next = first + kTileRows;
    share = load_share(next + lane);
    turn_tile<Shape>(p, square, raw, tiles + next / kTileRows % 2 * kTile);
    fetch_tile<Shape>(p, square, next + kTileRows, raw);
    const float4* const tile = tiles + first / kTileRows % 2 * kTile;
#pragma unroll 1
    for (int chunk = 0; chunk < kTileRows / 4; chunk += 4) {
      if ((shared_rows >> (4 * chunk) & 0xffff) == 0) continue;
#pragma unroll 1
      for (int part = 0; part < kParts; ++part) {
        Split<2> columns[Shape::kColumnBlocks];
        make_fragments<Kind, Shape::kDiagonal>(tile + square.column_slot * (kTileRows / 4), chunk,
                                               part, roots, shifts[warp], columns, sums);
        if constexpr (Shape::kDiagonal) {
          multiply_tiles<Kind, Shape>(columns, columns, acc);
        } else {
          Split<2> rows[Shape::kRowBlocks];
          make_fragments<Kind, false>(tile + square.row_slot * (kTileRows / 4), chunk, part, roots,
                                      shifts[warp] + kSide, rows, no_sums);
          multiply_tiles<Kind, Shape>(rows, columns, acc);
        }
      }
    }
  }
  cp_async_wait<0>();
  __syncthreads();
  if (!square.present) return;
  float* const record = p.tails + square.first_row / kBlockRows * p.record;
  write_square<Shape>(p, square, acc, reinterpret_cast<float*>(tiles) + warp * (16 * kOutPitch),
                      record);
  if constexpr (Shape::kDiagonal) {
    const std::int64_t d = p.rows.n_features;
#pragma unroll
    for (int f = 0; f < Shape::kColumnBlocks; ++f) {
      const int feature = square.column + 8 * f + lane / 4;
      const float sum = warp_sum<4>(sums[f]);
      if (lane % 4 == 0 && feature < d) record[square.component * d + feature] = sum;
    }
  }
}

template <class Kind, class Shape>
void launch_squares(const CudaBackend& backend, TensorProblem p, std::int64_t n_squares) {
  constexpr int kTile = Shape::kStaged * kTileRows * static_cast<int>(sizeof(float));
  constexpr int kOut = kWarps * 16 * kOutPitch * static_cast<int>(sizeof(float));
  if (n_squares == 0) return;
  p.n_squares = n_squares;
  p.n_groups = div_up<std::int64_t>(p.n_components * (Shape::kDiagonal ? 1 : 2), kWarps);
  const std::int64_t n_blocks = div_up(p.rows.n_rows, kBlockRows);
  const std::int64_t most = std::max<std::int64_t>(INT32_MAX / (n_squares * p.n_groups), 1);
  for (p.first_block = 0; p.first_block < n_blocks; p.first_block += most) {
    const std::int64_t count = std::min(most, n_blocks - p.first_block);
    launch(moments_tensor_kernel<Kind, Shape>,
           static_cast<unsigned>(count * n_squares * p.n_groups), kThreads,
           static_cast<std::size_t>(std::max(3 * kTile, kOut)), backend.device.stream(), p);
  }
}

template <class Kind>
bool launch_all(const CudaBackend& backend, const TensorProblem& p) {
  using Whole = Shape<true, 8>;
  if (!has_tensor_cores(moments_tensor_kernel<Kind, Whole>)) return false;
  const std::int64_t sides = div_up<std::int64_t>(p.rows.n_features, kSide);
  if (p.rows.n_features <= 32) {
    launch_squares<Kind, Shape<true, 4>>(backend, p, 1);
  } else {
    launch_squares<Kind, Whole>(backend, p, sides);
  }
  launch_squares<Kind, Shape<false, 8>>(backend, p, sides * (sides - 1) / 2);
  return true;
}

}  // namespace

bool add_moments_tensor(const CudaBackend& backend, const DeviceRows<float>& rows,
                        const DeviceFrame<float>& frame, const DeviceParameters<float>& parameters,
                        const DeviceResponsibilities<float>& resp, Precision precision,
                        const DevicePartials<float>& partials) {
  const std::int64_t d = rows.n_features;
  const Layout layout(Covariance::full, parameters.n_components, d);
  TensorProblem p{};
  p.rows = rows;
  p.frame = frame;
  p.shifts = parameters.shifts;
  p.resp = resp;
  p.n_components = parameters.n_components;
  p.tails = partials.tails;
  p.squares = layout.squares - layout.sums;
  p.record = layout.size - layout.sums;
  p.whole_rows = whole_pieces(rows.data, rows.stride, d, 4);
  p.whole_features = whole_pieces(frame.scale, 0, d, 4) && whole_pieces(frame.offset, 0, d, 4);
  return precision == Precision::fast ? launch_all<Bf16x3>(backend, p)
                                      : launch_all<Tf32x3>(backend, p);
}

}  // namespace culatent::gaussian_mixture
