#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/reciprocal.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/tsne.hpp"
#include "kernels/cuda/tsne_point.cuh"

namespace culatent::tsne {
namespace {

// ---- repel --------------------------------------------------------------------------------------
//
//   force_i = sum_j q_ij² (y_i − y_j),  Z = sum_{i ≠ j} q_ij,  q_ij = 1 / (1 + |y_i − y_j|²)
//
// Every pair once, for both of its points. A lane holds kOwn points and their forces in registers;
// 32 other points, one a lane, wander through the warp with theirs, so that after 32 turns each has
// met 32 kOwn points and is back. The four warps of a block have different points and go around the
// same others at different places, a barrier between two places, and so add to their forces in
// shared memory in a fixed order. What a pair of tiles does to the points of each goes to the row
// of the other one in parts.forces: rows are added up in order by the next launch. In a tile paired
// with itself the points on either side are the same: every ordered pair is met, and nothing
// wanders but positions; it costs what another pair does.
//
// Places beyond the last point hold points that are infinitely far from all others, q = 0. The
// reciprocal's error of 1 ulp is that of any of the roundings beside it.
//   per pair, q = 2, kOwn = 8: 10 FP32, 1 reciprocal, half a shuffle; with the loop 97 instructions
//   for 8 pairs (sm_90). 60,000 points: 1.83e9 pairs x 12.1 / (132 multiprocessors x 128 lanes x
//   1.76 GHz) = 0.75 ms, where the floor of these without a loop is 0.62; parts of 28 MB are
//   written once and read once, from L2

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;
// Squares of such a coordinate are infinite, the coordinate is not; own and other places beyond the
// last point differ in sign.
constexpr float kNowhere = 1e30f;

template <int Q>
__device__ __forceinline__ void load_or_nowhere(const float* points, std::int64_t i,
                                                std::int64_t n_points, float nowhere,
                                                float (&y)[Q]) {
#pragma unroll
  for (int k = 0; k < Q; ++k) y[k] = nowhere;
  if (i < n_points) load_point<Q>(points, i, y);
}

// All pairs of the warp's 32 kOwn points with the 32 others that its lanes hold. Adds to the
// own points' forces and to those on the others, which end in the lane where they began; returns
// the lane's sum of q. `self`: which of the own points the lane's other is; kOwn: none.
template <int Q, int kOwn, bool kSame>
__device__ __forceinline__ float meet(const float (&own)[kOwn][Q], float (&force)[kOwn][Q],
                                      float (&other)[Q], float (&other_force)[Q], int self) {
  const int next = (static_cast<int>(threadIdx.x) + 1) % 32;
  float sum = 0.0f;
#pragma unroll 1
  for (int turn = 0; turn < 32; ++turn) {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      float delta[Q], square = 1.0f;
#pragma unroll
      for (int k = 0; k < Q; ++k) {
        delta[k] = own[i][k] - other[k];
        square += delta[k] * delta[k];
      }
      float q = device::fast_reciprocal(square);
      if (kSame && i == self) q = 0.0f;
      sum += q;
      const float weight = q * q;
#pragma unroll
      for (int k = 0; k < Q; ++k) {
        force[i][k] += weight * delta[k];
        if constexpr (!kSame) other_force[k] -= weight * delta[k];
      }
    }
    self = kOwn;  // a point meets itself before it wanders
#pragma unroll
    for (int k = 0; k < Q; ++k) {
      other[k] = __shfl_sync(device::kAllLanes, other[k], next);
      if constexpr (!kSame) other_force[k] = __shfl_sync(device::kAllLanes, other_force[k], next);
    }
  }
  return sum;
}

// The tiles that a block has, and where what it finds goes.
struct TilePair {
  std::int64_t first, last;              // points of the own tile
  std::int64_t other_first, other_last;  // and of the other
  float* forces;                         // [N q]: on the own points
  float* other_forces;                   // and on the others
};

// All pairs of a point of the own tile with one of the other; returns the thread's sum of q.
template <int Q, int kOwn, bool kSame>
__device__ __forceinline__ double meet_tiles(const float* points, std::int64_t n_points,
                                             const TilePair& pair,
                                             float (&others)[Q][kThreads * kOwn]) {
  constexpr int kPiece = kThreads * kOwn;
  constexpr int kPlaces = kPiece / 32;
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % 32, warp = thread / 32;
  double total = 0.0;
#pragma unroll 1
  for (std::int64_t first = pair.first; first < pair.last; first += kPiece) {
    const std::int64_t begin = first + warp * (32 * kOwn) + lane;
    float own[kOwn][Q], force[kOwn][Q] = {};
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      load_or_nowhere<Q>(points, begin + 32 * i, n_points, -kNowhere, own[i]);
    }
#pragma unroll 1
    for (std::int64_t other_first = pair.other_first; other_first < pair.other_last;
         other_first += kPiece) {
      if constexpr (!kSame) {
        for (int at = thread; at < kPiece; at += kThreads) {
#pragma unroll
          for (int k = 0; k < Q; ++k) others[k][at] = 0.0f;
        }
        __syncthreads();
      }
#pragma unroll 1
      for (int step = 0; step < kPlaces; ++step) {
        const int place = (step + warp * (kPlaces / kWarps)) % kPlaces;
        const std::int64_t at = other_first + 32 * place;
        if (at < n_points && first + warp * (32 * kOwn) < n_points) {
          float other[Q], other_force[Q] = {};
          load_or_nowhere<Q>(points, at + lane, n_points, kNowhere, other);
          const int self = first == other_first ? place - warp * kOwn : kOwn;
          // Few enough terms for float.
          total += static_cast<double>(meet<Q, kOwn, kSame>(own, force, other, other_force, self));
          if constexpr (!kSame) {
#pragma unroll
            for (int k = 0; k < Q; ++k) others[k][32 * place + lane] += other_force[k];
          }
        }
        if constexpr (!kSame) __syncthreads();
      }
      if constexpr (!kSame) {
        // The block alone has these points in this row: the first piece sets them.
        for (int at = thread; at < kPiece && other_first + at < n_points; at += kThreads) {
#pragma unroll
          for (int k = 0; k < Q; ++k) {
            float* const to = pair.other_forces + (other_first + at) * Q + k;
            *to = others[k][at] + (first == pair.first ? 0.0f : *to);
          }
        }
        __syncthreads();
      }
    }
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      if (begin + 32 * i >= n_points) continue;
#pragma unroll
      for (int k = 0; k < Q; ++k) pair.forces[(begin + 32 * i) * Q + k] = force[i][k];
    }
  }
  return kSame ? total : 2.0 * total;
}

// Tile a and the one b that comes d after it in the round, d = 0 … n_tiles / 2: each pair once.
__device__ __forceinline__ TilePair choose_pair(const RepulsionTiles& tiles, std::int64_t n_tiles,
                                                std::int64_t& a, std::int64_t& b) {
  a = std::int64_t{blockIdx.x} % n_tiles;
  b = (a + std::int64_t{blockIdx.x} / n_tiles) % n_tiles;
  TilePair pair{};
  pair.first = a * tiles.tile;
  pair.last = min(tiles.n_points, pair.first + tiles.tile);
  pair.other_first = b * tiles.tile;
  pair.other_last = min(tiles.n_points, pair.other_first + tiles.tile);
  return pair;
}

template <int Q, int kOwn>
__global__ void __launch_bounds__(kThreads)
    repel_kernel(RepulsionTiles tiles, std::int64_t n_tiles, const float* points,
                 RepulsionParts parts) {
  CULATENT_SHARED(others, float[Q][kThreads * kOwn]);
  CULATENT_SHARED(scratch, double[kWarps]);
  const std::int64_t n = tiles.n_points;
  std::int64_t a, b;
  TilePair pair = choose_pair(tiles, n_tiles, a, b);
  pair.forces = parts.forces + b * n * Q;
  pair.other_forces = parts.forces + a * n * Q;
  double sum = a == b ? meet_tiles<Q, kOwn, true>(points, n, pair, others)
                      : meet_tiles<Q, kOwn, false>(points, n, pair, others);
  sum = device::block_sum<kThreads>(sum, scratch);
  if (threadIdx.x == 0) parts.sums[blockIdx.x] = sum;
}

// ---- partition ----------------------------------------------------------------------------------
//
// The same pairs of tiles, Z alone: a thread has two points, the others come through shared memory,
// read by all lanes at once.
//   per pair, q = 2: 8 instructions and 1 reciprocal, of which a multiprocessor makes 16 a cycle.
//   60,000 points: 1.83e9 pairs x 8 / (132 x 128 x 1.76 GHz) = 0.49 ms, the reciprocals as much

constexpr int kOwnPoints = RepulsionTiles::kSmallPiece / kThreads;

template <int Q>
__global__ void __launch_bounds__(kThreads)
    partition_kernel(RepulsionTiles tiles, std::int64_t n_tiles, const float* points,
                     double* sums) {
  CULATENT_SHARED(others, float[Q][kThreads]);
  CULATENT_SHARED(scratch, double[kWarps]);
  const int thread = static_cast<int>(threadIdx.x);
  std::int64_t a, b;
  const TilePair pair = choose_pair(tiles, n_tiles, a, b);
  double total = 0.0;
#pragma unroll 1
  for (std::int64_t first = pair.first; first < pair.last; first += kOwnPoints * kThreads) {
    float own[kOwnPoints][Q];
#pragma unroll
    for (int i = 0; i < kOwnPoints; ++i) {
      load_or_nowhere<Q>(points, first + i * kThreads + thread, tiles.n_points, -kNowhere, own[i]);
    }
#pragma unroll 1
    for (std::int64_t begin = pair.other_first; begin < pair.other_last; begin += kThreads) {
      float other[Q];
      load_or_nowhere<Q>(points, begin + thread, tiles.n_points, kNowhere, other);
      __syncthreads();
#pragma unroll
      for (int k = 0; k < Q; ++k) others[k][thread] = other[k];
      __syncthreads();
      float sum = 0.0f;  // of few enough terms
#pragma unroll 4
      for (int j = 0; j < kThreads; ++j) {
#pragma unroll
        for (int i = 0; i < kOwnPoints; ++i) {
          float square = 1.0f;
#pragma unroll
          for (int k = 0; k < Q; ++k) {
            const float delta = own[i][k] - others[k][j];
            square += delta * delta;
          }
          const bool self = first + i * kThreads + thread == begin + j;
          sum += self ? 0.0f : device::fast_reciprocal(square);
        }
      }
      total += static_cast<double>(sum);
    }
  }
  total = device::block_sum<kThreads>(a == b ? total : 2.0 * total, scratch);
  if (thread == 0) sums[blockIdx.x] = total;
}

// ---- the sums over tiles ------------------------------------------------------------------------
//
// A thread has an element of the forces; the last block has Z.
//   bytes: 4 n_tiles N q read, from L2 up to 60,000 points or so

constexpr int kSumThreads = 256;

__global__ void __launch_bounds__(kSumThreads)
    add_parts_kernel(RepulsionParts parts, std::int64_t n_tiles, std::int64_t n_pairs,
                     std::int64_t n_values, float* forces, double* partition) {
  CULATENT_SHARED(scratch, double[kSumThreads / 32]);
  if (blockIdx.x == gridDim.x - 1) {
    double sum = 0.0;
    for (std::int64_t i = threadIdx.x; i < n_pairs; i += kSumThreads) sum += parts.sums[i];
    sum = device::block_sum<kSumThreads>(sum, scratch);
    if (threadIdx.x == 0) *partition = sum;
    return;
  }
  const std::int64_t at = std::int64_t{blockIdx.x} * kSumThreads + threadIdx.x;
  if (at >= n_values) return;
  double sum = 0.0;
#pragma unroll 4
  for (std::int64_t tile = 0; tile < n_tiles; ++tile) {
    sum += static_cast<double>(parts.forces[tile * n_values + at]);
  }
  forces[at] = static_cast<float>(sum);
}

}  // namespace

RepulsionTiles RepulsionTiles::choose(std::int64_t n_points) {
  RepulsionTiles tiles{.n_points = n_points};
  tiles.piece = n_points >= kLargeFrom ? kLargePiece : kSmallPiece;
  tiles.tile = tiles.piece;
  while (tiles.n_tiles() > kMostTiles) tiles.tile *= 2;
  return tiles;
}

void repel(const CudaBackend& backend, const RepulsionTiles& tiles, const float* points,
           int n_dimensions, const RepulsionParts& parts, float* forces, double* partition) {
  CUstream_st* const stream = backend.device.stream();
  const std::int64_t n_values = tiles.n_points * n_dimensions;
  const auto grid = static_cast<unsigned>(tiles.n_pairs());
  for_dimensions(n_dimensions, [&]<int Q>() {
    const auto kernel = tiles.piece == RepulsionTiles::kLargePiece
                            ? repel_kernel<Q, RepulsionTiles::kLargePiece / kThreads>
                            : repel_kernel<Q, RepulsionTiles::kSmallPiece / kThreads>;
    device::launch(kernel, grid, kThreads, 0, stream, tiles, tiles.n_tiles(), points, parts);
  });
  const auto sums = static_cast<unsigned>(device::div_up<std::int64_t>(n_values, kSumThreads) + 1);
  device::launch(add_parts_kernel, sums, kSumThreads, 0, stream, parts, tiles.n_tiles(),
                 tiles.n_pairs(), n_values, forces, partition);
}

void find_partition(const CudaBackend& backend, const RepulsionTiles& tiles, const float* points,
                    int n_dimensions, double* sums, double* partition) {
  CUstream_st* const stream = backend.device.stream();
  for_dimensions(n_dimensions, [&]<int Q>() {
    device::launch(partition_kernel<Q>, static_cast<unsigned>(tiles.n_pairs()), kThreads, 0, stream,
                   tiles, tiles.n_tiles(), points, sums);
  });
  device::launch(add_parts_kernel, 1, kSumThreads, 0, stream, RepulsionParts{nullptr, sums},
                 tiles.n_tiles(), tiles.n_pairs(), std::int64_t{0}, static_cast<float*>(nullptr),
                 partition);
}

}  // namespace culatent::tsne
