#pragma once

#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/neighbors_rounding.cuh"
#include "kernels/neighbors_distance.hpp"

/// The candidates of one query, in the hands of one warp: all lanes call these, with the same
/// arguments. What one lane wrote to the lists the others may read when a call returns.
///
/// A candidate's half squared distance, in the coordinates, is at most
///
///   (high_i + high_j − low_j) − score,   score = dot − low_j as computed
///
/// so with `reach` the k-th smallest of these, a row is none of the k nearest when
/// low_i − score > reach: when its score is less than limit = low_i − reach.
namespace culatent::neighbors {

inline constexpr int kWarp = 32;
inline constexpr float kAlways = -0x1p125f;  ///< a limit that all rows pass; padding has -kNowhere
inline constexpr std::int32_t kAnyRow = std::numeric_limits<std::int32_t>::max();

/// What is known of a query.
struct QueryState {
  float reach = kUnbounded;
  float limit = kAlways;
  std::int32_t worst = kAnyRow;  ///< the k-th row where k rows equal the query: a higher is none
  int count = 0;
};

/// A query and its candidates.
struct CandidateList {
  const DeviceScreen& rows;
  const float* x;  ///< its values
  float low, high;
  Candidate* candidates;
  double* squares;
  int k;
};

/// Those of the query at a position, which has `slot` of the buffers; `warp` of those that work on
/// the wave.
__device__ __forceinline__ CandidateList list_of(const SearchWave& wave, std::int64_t position,
                                                 std::int64_t slot, std::int64_t warp) {
  const SearchRows& rows = wave.queries.rows;
  return {wave.rows,
          rows.data + row_at(wave.queries, position) * rows.stride,
          wave.queries.low[position],
          wave.queries.high[position],
          wave.buffers.candidates + slot * wave.capacity.total,
          wave.buffers.squares + warp * wave.capacity.total,
          wave.capacity.k};
}

__device__ __forceinline__ float limit_of(const CandidateList& list, float reach) {
  return fmaxf(kAlways, below(static_cast<double>(list.low) - static_cast<double>(reach)));
}

/// Floats as integers of the same order, and back.
__device__ __forceinline__ unsigned ordered_bits(float x) {
  const unsigned bits = __float_as_uint(x);
  return bits ^ ((bits >> 31) != 0u ? 0xffffffffu : 0x80000000u);
}
__device__ __forceinline__ float from_ordered(unsigned key) {
  return __uint_as_float(key ^ ((key >> 31) != 0u ? 0x80000000u : 0xffffffffu));
}

/// A value that at least k of the candidates' bounds do not exceed, high_i aside: the k-th, or one
/// that comes before the next. `count` >= k. Uses `squares`.
///   about 15 passes over the candidates
__device__ __forceinline__ float kth_bound(const CandidateList& list, int count) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  unsigned least = 0xffffffffu, most = 0u;
  for (int c = lane; c < count; c += kWarp) {
    const Candidate candidate = list.candidates[c];
    const float bound = above(static_cast<double>(list.rows.high[candidate.position]) -
                              static_cast<double>(list.rows.low[candidate.position]) -
                              static_cast<double>(candidate.score));
    list.squares[c] = static_cast<double>(bound);
    least = min(least, ordered_bits(bound));
    most = max(most, ordered_bits(bound));
  }
  __syncwarp();
  most = device::warp_max(most);
  least = ~device::warp_max(~least);
  while (least < most) {
    const unsigned middle = least + (most - least) / 2u;
    const auto bound = static_cast<double>(from_ordered(middle));
    int below_it = 0;
    for (int c = lane; c < count; c += kWarp) below_it += list.squares[c] <= bound ? 1 : 0;
    below_it = device::warp_sum(below_it);
    if (below_it >= list.k) {
      most = middle;
      if (below_it == list.k) break;
    } else {
      least = middle + 1u;
    }
  }
  __syncwarp();  // the others have read what the next step writes
  return from_ordered(most);
}

/// Keeps the candidates whose score is at least `limit`, in their order; returns how many.
__device__ __forceinline__ int keep_from(const CandidateList& list, int count, float limit) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  int kept = 0;
  for (int first = 0; first < count; first += kWarp) {
    Candidate candidate{};
    bool keep = false;
    if (first + lane < count) {
      candidate = list.candidates[first + lane];
      keep = candidate.score >= limit;
    }
    const unsigned mask = __ballot_sync(device::kAllLanes, keep);
    __syncwarp();
    if (keep) list.candidates[kept + __popc(mask & ((1u << lane) - 1u))] = candidate;
    kept += __popc(mask);
  }
  __syncwarp();
  return kept;
}

/// squares[c] = squared_distance() of the query and candidate c: eight lanes a pair, each a sum.
///   bytes: 4 D a candidate, from anywhere
__device__ __forceinline__ void measure(const CandidateList& list, int count) {
  static_assert(kDistanceLanes == 8);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const SearchRows& rows = list.rows.rows;
  const int d = static_cast<int>(rows.n_features);
  for (int first = 0; first < count; first += kWarp / kDistanceLanes) {
    const int c = first + lane / kDistanceLanes;
    double sum = 0.0;
    if (c < count) {
      const float* y = rows.data + row_at(list.rows, list.candidates[c].position) * rows.stride;
#pragma unroll 4
      for (int j = lane % kDistanceLanes; j < d; j += kDistanceLanes) {
        const double delta = static_cast<double>(list.x[j]) - static_cast<double>(y[j]);
        sum = fma(delta, delta, sum);
      }
    }
    // add_lanes(): of two that are added the order does not matter.
    sum += __shfl_xor_sync(device::kAllLanes, sum, 4);
    sum += __shfl_xor_sync(device::kAllLanes, sum, 2);
    sum += __shfl_xor_sync(device::kAllLanes, sum, 1);
    if (c < count && lane % kDistanceLanes == 0) list.squares[c] = sum;
  }
  __syncwarp();
}

/// How many of the measured candidates are nearer than candidate c.
__device__ __forceinline__ int rank_of(const CandidateList& list, int count, int c) {
  const double square = list.squares[c];
  const std::int64_t row = row_at(list.rows, list.candidates[c].position);
  int rank = 0;
#pragma unroll 4
  for (int other = 0; other < count; ++other) {
    const double there = list.squares[other];
    if (there < square) ++rank;
    if (there == square && row_at(list.rows, list.candidates[other].position) < row) ++rank;
  }
  return rank;
}

/// Keeps exactly the k nearest of more than k candidates.
///   count² / 32 comparisons a lane, and measure()
__device__ __forceinline__ void settle(const CandidateList& list, QueryState& state) {
  constexpr float kDropped = 2.0f * kAlways;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  measure(list, state.count);
  double reach = 0.0;
  std::int32_t worst = kAnyRow;
  for (int first = 0; first < state.count; first += kWarp) {
    const int c = first + lane;
    int rank = -1;
    if (c < state.count) rank = rank_of(list, state.count, c);
    const unsigned mask = __ballot_sync(device::kAllLanes, rank == list.k - 1);
    if (mask != 0) {
      const int last = first + __ffs(static_cast<int>(mask)) - 1;
      reach = list.squares[last];
      if (reach == 0.0) {
        worst = static_cast<std::int32_t>(row_at(list.rows, list.candidates[last].position));
      }
    }
    if (rank >= list.k) list.candidates[c].score = kDropped;
  }
  __syncwarp();
  state.count = keep_from(list, state.count, kAlways);
  state.worst = min(state.worst, worst);
  // Sums in double are off by a share of D / 8 + 6 of 2^-53.
  const double wide = 1.0 + static_cast<double>(list.rows.rows.n_features + 16) * 0x1p-51;
  const double half = 0.5 * reach * list.rows.scale * list.rows.scale * wide;
  state.reach = fminf(state.reach, above(fmin(half, static_cast<double>(kNowhere))));
  state.limit = limit_of(list, state.reach);
}

/// Leaves out what is farther than k others by the bounds. `state.count` >= k.
__device__ __forceinline__ void cut_back(const CandidateList& list, QueryState& state) {
  const float bound = kth_bound(list, state.count);
  state.reach =
      fminf(state.reach, above(static_cast<double>(list.high) + static_cast<double>(bound)));
  state.limit = limit_of(list, state.reach);
  state.count = keep_from(list, state.count, state.limit);
}

}  // namespace culatent::neighbors
