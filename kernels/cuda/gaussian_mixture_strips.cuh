#pragma once

#include <cstdint>

#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/gaussian_mixture.hpp"

/// What gaussian_mixture_outer_products.cuh keeps in shared memory, and how it gets there.
namespace culatent::gaussian_mixture::outer_products {

inline constexpr int kThreads = 256;
inline constexpr int kCorner = 16;  // tiles are numbered in squares of 16 x 16
inline constexpr int kMostStageRows = 16;
// Strips that 256 tiles can meet: 257, counted for every place in the list and D up to 2300; from
// there on the worst is the same, 16 times one row of 16 tiles.
inline constexpr int kMostSlots = 257;
// Of both buffers: 8 rows of 72 strips, where a block can have so much; at least one row of the
// most.
inline constexpr int kStageBytes = 44 << 10;
inline constexpr int kLeastStageBytes = 33 << 10;

using device::kVectorSize;
using device::load_piece;
using device::Piece;
using device::Vector;

template <class Acc>
inline constexpr int kTile = 2 * kVectorSize<Acc>;

/// Where a block keeps what, in bytes of dynamic shared memory that begins with the buffers. The
/// marks lie where these will be.
struct SharedPlan {
  int stage = 0;  // bytes of the buffers
  int roots = 0, sums = 0, corners = 0, slots = 0, marks = 0, bytes = 0;
};

template <class In, class Acc>
struct Problem {
  DeviceRows<In> rows;
  DeviceFrame<In> frame;
  const In* shifts = nullptr;  // [K, D], null: zero
  const In* q = nullptr;       // (k, row) at k * q_stride + row, null: all 1
  std::int64_t q_stride = 0;
  std::int64_t n_components = 1;
  Acc* sums = nullptr;  // null: not wanted
  Acc* squares = nullptr;
  std::int64_t record = 0;  // elements from one block's to the next's

  // Set by launch().
  std::int64_t n_tiles = 0;   // of a component
  std::int64_t n_groups = 0;  // of 256 tiles
  std::int64_t first_block = 0;
  int n_strips = 0;  // of a component
  int n_marks = 0;   // strips of all components that a group can meet
  bool whole_pieces = false;
  SharedPlan shared;
};

/// Where a tile's elements go: (i, j) at first + i (i + 1) / 2 + i row + j from its own corner.
struct Corner {
  std::int64_t first;
  int row, column;  // row = D: no tile
};

// Row i and column j of tile `m` of a triangle that is numbered row by row.
__device__ __forceinline__ int2 in_triangle(std::int64_t m) {
  auto i = static_cast<int>((sqrt(8.0 * static_cast<double>(m) + 1.0) - 1.0) / 2.0);
  while (static_cast<std::int64_t>(i) * (i + 1) / 2 > m) --i;
  while (static_cast<std::int64_t>(i + 1) * (i + 2) / 2 <= m) ++i;
  return {i, static_cast<int>(m - static_cast<std::int64_t>(i) * (i + 1) / 2)};
}

// The same of a triangle that is numbered square by square, so that few strips meet many tiles.
__device__ __forceinline__ int2 in_corners(std::int64_t m, int n_strips) {
  const int corner = in_triangle(m).x / kCorner;
  const int first = corner * kCorner;
  const int height = min(n_strips - first, kCorner);
  const auto rest = static_cast<int>(m - static_cast<std::int64_t>(first) * (first + 1) / 2);
  const int left = rest / (height * kCorner);
  const int local = rest % (height * kCorner);
  if (left < corner) return {first + local / kCorner, left * kCorner + local % kCorner};
  const int2 at = in_triangle(rest - corner * height * kCorner);
  return {first + at.x, first + at.y};
}

// The sum of `value` over the threads before this one; `total` over all.
__device__ __forceinline__ int scan(int value, int& total) {
  CULATENT_SHARED(warps, int[kThreads / 32]);
  const int thread = static_cast<int>(threadIdx.x);
  int sum = value;
#pragma unroll
  for (unsigned offset = 1; offset < 32; offset *= 2) {
    const int before = __shfl_up_sync(device::kAllLanes, sum, offset);
    if (thread % 32 >= static_cast<int>(offset)) sum += before;
  }
  if (thread % 32 == 31) warps[thread / 32] = sum;
  __syncthreads();
  total = 0;
  int earlier = 0;
#pragma unroll
  for (int warp = 0; warp < kThreads / 32; ++warp) {
    if (warp < thread / 32) earlier += warps[warp];
    total += warps[warp];
  }
  return earlier + sum - value;
}

// What a block of threads works on.
struct Stage {
  std::int64_t first_component;
  std::int64_t first_row;  // of the block of rows
  int n_local;             // components
  int n_slots;
  int pitch;       // strips in a buffer: 4 more than a multiple of 8, so that the halves of four
                   // strips lie in different banks
  int n_x;         // strips of x': all that there are, or one for each slot
  int n_rows;      // of a stage
  int block_rows;  // of the block of rows, less at the end of the data
};

// The arrays in shared memory. Pointers of its own, so that the compiler knows where they point.
template <class Acc>
struct Arrays {
  __device__ __forceinline__ Arrays(unsigned char* shared, const SharedPlan& plan, const Stage& s)
      : z(reinterpret_cast<Vector<Acc>*>(shared)),
        x(z + 4 * s.n_rows * s.pitch),
        sums(reinterpret_cast<Vector<Acc>*>(shared + plan.sums)),
        roots(reinterpret_cast<Acc*>(shared + plan.roots)),
        slots(reinterpret_cast<int2*>(shared + plan.slots)) {}

  Vector<Acc>* z;     // [2][n_rows][2 halves][pitch]
  Vector<Acc>* x;     // [2][n_rows][2 halves][n_x]
  Vector<Acc>* sums;  // one for each half strip and phase
  Acc* roots;         // [2][n_local][n_rows]
  int2* slots;        // strips that are staged: component from the first on, and tile row; the
                      // latter's complement in the block that owns the tile on the diagonal
};

template <class In, class Acc>
__device__ __forceinline__ void stage_roots(const Problem<In, Acc>& p, const Stage& s,
                                            const Arrays<Acc>& arrays, int stage) {
  Acc* const roots = arrays.roots + stage % 2 * s.n_local * s.n_rows;
  const int own = static_cast<int>(threadIdx.x) % kMostStageRows;
  const int row = stage * s.n_rows + own;
  if (own >= s.n_rows) return;
  for (int local = static_cast<int>(threadIdx.x) / kMostStageRows; local < s.n_local;
       local += kThreads / kMostStageRows) {
    Acc root = 0;
    if (row < s.block_rows) {
      const std::int64_t at = (s.first_component + local) * p.q_stride + s.first_row + row;
      root = p.q == nullptr ? Acc{1} : sqrt(static_cast<Acc>(p.q[at]));
    }
    roots[local * s.n_rows + own] = root;
  }
}

template <class In, class Acc>
__device__ __forceinline__ void stage_x(const Problem<In, Acc>& p, const Stage& s,
                                        const Arrays<Acc>& arrays, int stage) {
  constexpr int kSize = kVectorSize<Acc>;
  const int n_halves = 2 * s.n_x;
  const int filled = min(s.block_rows - stage * s.n_rows, s.n_rows);
  Vector<Acc>* const x = arrays.x + stage % 2 * s.n_rows * n_halves;
  for (int at = static_cast<int>(threadIdx.x); at < s.n_rows * n_halves; at += kThreads) {
    const int row = at / n_halves;
    const int slot = at % n_halves / 2;
    const int half = at % 2;
    int strip = slot;
    if (s.n_x != p.n_strips)
      strip = arrays.slots[slot].y < 0 ? ~arrays.slots[slot].y : arrays.slots[slot].y;
    Vector<Acc> value{};
    if (row < filled) {
      const int d = static_cast<int>(p.rows.n_features);
      const int feature = strip * kTile<Acc> + half * kSize;
      const In* const from = p.rows.data + (s.first_row + stage * s.n_rows + row) * p.rows.stride;
      const auto piece = load_piece<kSize>(from, feature, d, p.whole_pieces);
      const auto scale = load_piece<kSize>(p.frame.scale, feature, d, p.whole_pieces);
      const auto offset = load_piece<kSize>(p.frame.offset, feature, d, p.whole_pieces);
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
        value.v[i] = static_cast<Acc>(fma(piece.v[i], scale.v[i], offset.v[i]));
      }
    }
    x[(2 * row + half) * s.n_x + slot] = value;
  }
}

// √q z of rows whose √q and x' are staged. A thread has one half strip, or several, for every
// so-many-th row, always the same, so that it adds up their first moments by itself.
template <class In, class Acc>
__device__ __forceinline__ void stage_z(const Problem<In, Acc>& p, const Stage& s,
                                        const Arrays<Acc>& arrays, int stage) {
  constexpr int kSize = kVectorSize<Acc>;
  const int n_halves = 2 * s.n_slots;
  const int n_phases = max(kThreads / n_halves, 1);
  const int thread = static_cast<int>(threadIdx.x);
  const int phase = thread / n_halves % n_phases;
  for (int at = thread; at < n_halves * n_phases; at += kThreads) {
    const int half = at % 2;
    const int place = at % n_halves / 2;
    const int2 slot = arrays.slots[place];
    const int strip = slot.y < 0 ? ~slot.y : slot.y;
    Piece<In, kSize> shift{};
    if (p.shifts != nullptr) {
      const int d = static_cast<int>(p.rows.n_features);
      shift = load_piece<kSize>(p.shifts + (s.first_component + slot.x) * d,
                                strip * kTile<Acc> + half * kSize, d, p.whole_pieces);
    }
    const int first = stage % 2 * s.n_rows + phase;
    const Acc* root = arrays.roots + (stage % 2 * s.n_local + slot.x) * s.n_rows + phase;
    const Vector<Acc>* x =
        arrays.x + (2 * first + half) * s.n_x + (s.n_x == p.n_strips ? strip : place);
    Vector<Acc>* z = arrays.z + (2 * first + half) * s.pitch + place;
    Vector<Acc> sum{};
#pragma unroll 2
    for (int row = phase; row < s.n_rows; row += n_phases) {
      const Vector<Acc> value = *x;
      const Acc factor = *root;
      Vector<Acc> out;
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
        out.v[i] = factor * (value.v[i] - static_cast<Acc>(shift.v[i]));
        sum.v[i] += factor * out.v[i];
      }
      *z = out;
      root += n_phases;
      x += 2 * n_phases * s.n_x;
      z += 2 * n_phases * s.pitch;
    }
    if (p.sums != nullptr) {
#pragma unroll
      for (int i = 0; i < kSize; ++i) arrays.sums[at].v[i] += sum.v[i];
    }
  }
}

}  // namespace culatent::gaussian_mixture::outer_products
