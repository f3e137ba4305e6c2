#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/gaussian_mixture.hpp"

/// Weighted outer products of rows: the second moments of full components and the scatter of a tied
/// one.
///
///   squares[b, k, i (i+1)/2 + j] = sum_row q_k z_i z_j,  sums[b, k, j] = sum_row q_k z_j
///   z = x' − shift_k,  rows of block b,  j ≤ i < D
///
/// The lower triangle is cut into tiles of 8 x 8 float or 4 x 4 double accumulators, one a thread.
/// The tiles of all components form one list, of which every block of 256 threads takes 256, so
/// none is idle for any D: about 7 components at D = 64, one 128 x 128 corner of one at D = 784.
/// The *strips* (a component and 8 or 4 neighbouring features) that those tiles meet are staged as
/// √q z for a few rows at a time in two buffers: one is filled while the other is used, with one
/// barrier a stage. √q and x', which many strips share, go ahead by a stage more.
///   flops     N K D (D + 1) + 2 N K D, and the upper halves of the tiles on the diagonal (11 % at
///             D = 64)
///   a tile and row: 64 FFMA and 10 other instructions; to stage, at D = 64, 20 to 25 more
///   bytes     N D from main memory; X and q again from the L2 cache for every group of tiles
namespace culatent::gaussian_mixture::outer_products {

inline constexpr int kThreads = 256;
inline constexpr int kCorner = 16;  // tiles are numbered in squares of 16 x 16
inline constexpr int kMostStageRows = 16;
// Strips that 256 tiles can meet: 257, counted for every place in the list and D up to 2300; from
// there on the worst is the same, 16 times one row of 16 tiles.
inline constexpr int kMostSlots = 257;
inline constexpr int kStageBytes = 44 << 10;  // of both buffers: 10 rows at least of 64 features

using device::kVectorSize;
using device::load_piece;
using device::Piece;
using device::Vector;

template <class Acc>
inline constexpr int kTile = 2 * kVectorSize<Acc>;

/// Where a block keeps what, in bytes of dynamic shared memory that begins with the buffers.
struct SharedPlan {
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

// Writes the first moments of the strips whose tile on the diagonal this block has.
template <class In, class Acc>
__device__ __forceinline__ void write_sums(const Problem<In, Acc>& p, const Stage& s,
                                           const Arrays<Acc>& arrays, Acc* record) {
  constexpr int kSize = kVectorSize<Acc>;
  const int n_halves = 2 * s.n_slots;
  const int n_phases = max(kThreads / n_halves, 1);
  for (int half = static_cast<int>(threadIdx.x); half < n_halves; half += kThreads) {
    const int2 slot = arrays.slots[half / 2];
    if (slot.y >= 0) continue;
    Vector<Acc> sum = arrays.sums[half];
    for (int phase = 1; phase < n_phases; ++phase) {
#pragma unroll
      for (int i = 0; i < kSize; ++i) sum.v[i] += arrays.sums[phase * n_halves + half].v[i];
    }
    const std::int64_t d = p.rows.n_features;
    const std::int64_t feature = ~slot.y * kTile<Acc> + half % 2 * kSize;
    Acc* const out = record + (s.first_component + slot.x) * d;
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      if (feature + i < d) out[feature + i] = sum.v[i];
    }
  }
}

// Through shared memory, one row of every tile at a time, so that neighbouring threads write
// neighbouring elements.
template <class Acc>
__device__ __forceinline__ void write_squares(const Acc (&acc)[kTile<Acc>][kTile<Acc>],
                                              const Corner* corners, std::int64_t n_features,
                                              Acc* values, Acc* record) {
  constexpr int kSize = kTile<Acc>;
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int i = 0; i < kSize; ++i) {
    __syncthreads();
#pragma unroll
    for (int j = 0; j < kSize; ++j) values[thread * kSize + j] = acc[i][j];
    __syncthreads();
    for (int at = thread; at < kThreads * kSize; at += kThreads) {
      const Corner& c = corners[at / kSize];
      const int j = at % kSize;
      if (c.row + i < n_features && c.column + j <= c.row + i) {
        record[c.first + i * (i + 1) / 2 + static_cast<std::int64_t>(i) * c.row + j] = values[at];
      }
    }
  }
}

// Finds out which strips the block's tiles meet, and gives them places in the buffers. Writes `s`,
// for all threads after the next barrier, and the thread's corner; returns the places of its tile's
// rows and columns.
template <class In, class Acc>
__device__ __forceinline__ int2 choose_strips(const Problem<In, Acc>& p, unsigned char* shared,
                                              Stage& s, Corner* corners) {
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t n_items = p.n_components * p.n_tiles;
  const std::int64_t first_item = blockIdx.x % p.n_groups * kThreads;
  const std::int64_t first_component = first_item / p.n_tiles;
  const bool present = first_item + thread < n_items;
  const std::int64_t item = present ? first_item + thread : first_item;
  const std::int64_t component = item / p.n_tiles;
  const int2 tile = in_corners(item % p.n_tiles, p.n_strips);
  const std::int64_t d = p.rows.n_features;
  const std::int64_t row = static_cast<std::int64_t>(tile.x) * kTile<Acc>;
  const int column = tile.y * kTile<Acc>;
  corners[thread] = {component * (d * (d + 1) / 2) + row * (row + 1) / 2 + column,
                     static_cast<int>(present ? row : d), column};

  int* const marks = reinterpret_cast<int*>(shared + p.shared.marks);
  for (int i = thread; i < p.n_marks; i += kThreads) marks[i] = 0;
  __syncthreads();
  int* const own = marks + (component - first_component) * p.n_strips;
  atomicOr(own + tile.x, tile.x == tile.y && present ? 3 : 1);
  atomicOr(own + tile.y, 1);
  __syncthreads();
  const int share = device::div_up(p.n_marks, kThreads);
  const int end = min((thread + 1) * share, p.n_marks);
  int count = 0;
  for (int i = thread * share; i < end; ++i) count += marks[i] != 0 ? 1 : 0;
  int n_slots = 0;
  int place = scan(count, n_slots);
  auto* const slots = reinterpret_cast<int2*>(shared + p.shared.slots);
  for (int i = thread * share; i < end; ++i) {
    if (marks[i] == 0) continue;
    const int strip = i % p.n_strips;
    slots[place] = {i / p.n_strips, marks[i] == 3 ? ~strip : strip};
    marks[i] = place++;
  }
  auto* const sums = reinterpret_cast<Vector<Acc>*>(shared + p.shared.sums);
  for (int i = thread; i < max(kThreads, 2 * n_slots); i += kThreads) sums[i] = {};
  if (thread == 0) {
    s.first_component = first_component;
    s.first_row = (p.first_block + blockIdx.x / p.n_groups) * kBlockRows;
    s.block_rows = static_cast<int>(min(p.rows.n_rows - s.first_row, kBlockRows));
    s.n_local =
        static_cast<int>((min(first_item + kThreads, n_items) - 1) / p.n_tiles - first_component) +
        1;
    s.n_slots = n_slots;
    s.pitch = (n_slots + 3) / 8 * 8 + 4;
    s.n_x = p.n_strips <= kCorner ? p.n_strips : n_slots;
    s.n_rows = min(kStageBytes / (4 * 16) / (s.pitch + s.n_x), kMostStageRows);
  }
  __syncthreads();
  return {own[tile.x], own[tile.y]};
}

template <class In, class Acc>
__global__ void __launch_bounds__(kThreads, 2) outer_products_kernel(const Problem<In, Acc> p) {
  constexpr int kSize = kVectorSize<Acc>;
  CULATENT_DYNAMIC_SHARED(shared, unsigned char);
  CULATENT_SHARED(s, Stage);  // not in registers, which are full
  auto* const corners = reinterpret_cast<Corner*>(shared + p.shared.corners);
  const int2 place = choose_strips(p, shared, s, corners);
  const Arrays<Acc> arrays(shared, p.shared, s);
  stage_roots(p, s, arrays, 0);
  stage_x(p, s, arrays, 0);
  __syncthreads();
  stage_roots(p, s, arrays, 1);
  stage_x(p, s, arrays, 1);
  stage_z(p, s, arrays, 0);
  __syncthreads();

  Acc acc[kTile<Acc>][kTile<Acc>] = {};
  const int n_stages = device::div_up(s.block_rows, s.n_rows);
#pragma unroll 1
  for (int stage = 0; stage < n_stages; ++stage) {
    if (stage + 1 < n_stages) {
      stage_roots(p, s, arrays, stage + 2);
      stage_x(p, s, arrays, stage + 2);
      stage_z(p, s, arrays, stage + 1);
    }
    const int n_rows = s.n_rows, pitch = s.pitch;
    const Vector<Acc>* z = arrays.z + stage % 2 * n_rows * 2 * pitch;
#pragma unroll 2
    for (int row = 0; row < n_rows; ++row, z += 2 * pitch) {
      const Vector<Acc> l[2] = {z[place.x], z[pitch + place.x]};
      const Vector<Acc> r[2] = {z[place.y], z[pitch + place.y]};
#pragma unroll
      for (int i = 0; i < kTile<Acc>; ++i) {
#pragma unroll
        for (int j = 0; j < kTile<Acc>; ++j) {
          acc[i][j] += l[i / kSize].v[i % kSize] * r[j / kSize].v[j % kSize];
        }
      }
    }
    __syncthreads();
  }

  const std::int64_t record = s.first_row / kBlockRows * p.record;
  if (p.sums != nullptr) write_sums(p, s, arrays, p.sums + record);
  write_squares<Acc>(acc, corners, p.rows.n_features, reinterpret_cast<Acc*>(shared),
                     p.squares + record);
}

/// The buffers hold at least one strip, of 32 bytes a row, for every √q.
template <class Acc>
SharedPlan plan_shared(int n_local, int n_marks) {
  const int n_slots = std::min(n_marks, kMostSlots);
  SharedPlan plan;
  plan.roots = kStageBytes;
  plan.sums = plan.roots + std::min(n_local * kMostStageRows * 2, kStageBytes / 32) *
                               static_cast<int>(sizeof(Acc));
  plan.corners = plan.sums + std::max(kThreads, 2 * n_slots) * 16;
  plan.slots = plan.corners + kThreads * static_cast<int>(sizeof(Corner));
  plan.marks = plan.slots + n_slots * static_cast<int>(sizeof(int2));
  plan.bytes = plan.marks + n_marks * static_cast<int>(sizeof(int));
  return plan;
}

/// Adds up the blocks of `p.rows`.
template <class In, class Acc>
void launch(const CudaBackend& backend, Problem<In, Acc> p) {
  constexpr int kSize = kVectorSize<Acc>;
  const std::int64_t d = p.rows.n_features;
  const std::int64_t n_blocks = device::div_up(p.rows.n_rows, kBlockRows);
  if (n_blocks <= 0) return;
  p.n_strips = static_cast<int>(device::div_up<std::int64_t>(d, kTile<Acc>));
  p.n_tiles = std::int64_t{p.n_strips} * (p.n_strips + 1) / 2;
  p.n_groups = device::div_up<std::int64_t>(p.n_components * p.n_tiles, kThreads);
  const auto n_local = static_cast<int>(
      std::min(p.n_components, device::div_up<std::int64_t>(kThreads - 1, p.n_tiles) + 1));
  p.n_marks = n_local * p.n_strips;
  const auto whole = [&](const In* data, std::int64_t stride) {
    return device::whole_pieces(data, stride, d, kSize);
  };
  p.whole_pieces = whole(p.rows.data, p.rows.stride) && whole(p.frame.scale, 0) &&
                   whole(p.frame.offset, 0) && whole(p.shifts, d);
  p.shared = plan_shared<Acc>(n_local, p.n_marks);
  const std::int64_t most = std::max<std::int64_t>(INT32_MAX / p.n_groups, 1);
  for (; p.first_block < n_blocks; p.first_block += most) {
    const std::int64_t count = std::min(most, n_blocks - p.first_block);
    device::launch(outer_products_kernel<In, Acc>, static_cast<unsigned>(count * p.n_groups),
                   kThreads, static_cast<std::size_t>(p.shared.bytes), backend.device.stream(), p);
  }
}

}  // namespace culatent::gaussian_mixture::outer_products
