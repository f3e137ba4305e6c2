#pragma once

#include <algorithm>

#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/gaussian_mixture_strips.cuh"

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
    s.n_rows = min(p.shared.stage / (4 * 16) / (s.pitch + s.n_x), kMostStageRows);
  }
  __syncthreads();
  const int2 places = {own[tile.x], own[tile.y]};
  __syncthreads();  // the marks are used no more
  return places;
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

/// With buffers of `stage` bytes, which hold at least one strip, of 32 bytes a row, for every √q.
template <class Acc>
SharedPlan plan_shared(int n_local, int n_marks, int stage) {
  const int n_slots = std::min(n_marks, kMostSlots);
  const int mark_bytes = n_marks * static_cast<int>(sizeof(int));
  SharedPlan plan;
  plan.stage = plan.roots = stage;
  plan.sums = plan.roots +
              std::min(n_local * kMostStageRows * 2, stage / 32) * static_cast<int>(sizeof(Acc));
  plan.corners = plan.sums + std::max(kThreads, 2 * n_slots) * 16;
  plan.slots = plan.corners + kThreads * static_cast<int>(sizeof(Corner));
  plan.bytes = plan.slots + n_slots * static_cast<int>(sizeof(int2));
  if (mark_bytes > stage) {  // D > 22000
    plan.marks = plan.bytes;
    plan.bytes += mark_bytes;
  }
  return plan;
}

/// The largest buffers, up to kStageBytes, with which `available` bytes of shared memory suffice.
template <class Acc>
SharedPlan plan_shared(std::int64_t available, int n_local, int n_marks) {
  constexpr int kStep = 1 << 10;
  int stage = kStageBytes;
  SharedPlan plan = plan_shared<Acc>(n_local, n_marks, stage);
  while (plan.bytes > available && stage > kLeastStageBytes) {
    stage -= kStep;
    plan = plan_shared<Acc>(n_local, n_marks, stage);
  }
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
  constexpr std::int64_t kStaticBytes = 256;  // of the kernel, at most
  p.shared = plan_shared<Acc>(backend.device.shared_bytes() - kStaticBytes, n_local, p.n_marks);
  const std::int64_t most = std::max<std::int64_t>(INT32_MAX / p.n_groups, 1);
  for (; p.first_block < n_blocks; p.first_block += most) {
    const std::int64_t count = std::min(most, n_blocks - p.first_block);
    device::launch(outer_products_kernel<In, Acc>, static_cast<unsigned>(count * p.n_groups),
                   kThreads, static_cast<std::size_t>(p.shared.bytes), backend.device.stream(), p);
  }
}

}  // namespace culatent::gaussian_mixture::outer_products
