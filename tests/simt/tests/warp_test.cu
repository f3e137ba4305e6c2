#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "array.hpp"

// Functions of a warp and barriers of a block, against the programming guide's description.

namespace {

// ---- warp functions ----------------------------------------------------------------------------

enum Shuffle { kIndexed, kUp, kDown, kXor };

__global__ void shuffle_kernel(Shuffle kind, int argument, int width, double* out) {
  const double mine = 0.5 + threadIdx.x;
  double got = 0.0;
  if (kind == kIndexed) got = __shfl_sync(0xffffffffu, mine, argument, width);
  const auto distance = static_cast<unsigned>(argument);
  if (kind == kUp) got = __shfl_up_sync(0xffffffffu, mine, distance, width);
  if (kind == kDown) got = __shfl_down_sync(0xffffffffu, mine, distance, width);
  if (kind == kXor) got = __shfl_xor_sync(0xffffffffu, mine, argument, width);
  out[threadIdx.x] = got;
}

// The programming guide's table: the lane that each lane reads, itself where there is none.
int source_lane(Shuffle kind, int lane, int argument, int width) {
  const int begin = lane / width * width;
  switch (kind) {
    case kIndexed:
      return begin + ((argument % width) + width) % width;
    case kUp:
      return lane - argument >= begin ? lane - argument : lane;
    case kDown:
      return lane + argument < begin + width ? lane + argument : lane;
    case kXor:
      return (lane ^ argument) < begin + width ? (lane ^ argument) : lane;
  }
  return -1;
}

TEST(Warp, ShufflesReadTheLanesOfTheGuide) {
  Array<double> out(32);
  for (const Shuffle kind : {kIndexed, kUp, kDown, kXor}) {
    for (const int width : {1, 2, 8, 32}) {
      for (const int argument : {0, 1, 3, 8, 31}) {
        launch(shuffle_kernel, 1, 32, 0, kind, argument, width, out.data());
        const auto got = out.host();
        for (int lane = 0; lane < 32; ++lane) {
          EXPECT_EQ(got[static_cast<std::size_t>(lane)],
                    0.5 + source_lane(kind, lane, argument, width))
              << kind << " " << argument << " of " << width << " in lane " << lane;
        }
      }
    }
  }
}

struct Votes {
  unsigned odd, all, any, equal, sum, smallest, largest, every, either, parity;
  int smallest_signed;
};

__global__ void vote_kernel(Votes* out, unsigned mask) {
  const unsigned thread = threadIdx.x;
  if ((mask >> (thread % 32) & 1u) == 0) return;
  Votes votes{};
  votes.odd = __ballot_sync(mask, static_cast<int>(thread % 2));
  votes.all = static_cast<unsigned>(__all_sync(mask, thread < 40));
  votes.any = static_cast<unsigned>(__any_sync(mask, thread == 35));
  votes.equal = __match_any_sync(mask, thread % 5);
  votes.sum = __reduce_add_sync(mask, thread);
  votes.smallest = __reduce_min_sync(mask, thread);
  votes.largest = __reduce_max_sync(mask, thread);
  votes.every = __reduce_and_sync(mask, thread | 64u);
  votes.either = __reduce_or_sync(mask, thread);
  votes.parity = __reduce_xor_sync(mask, thread);
  votes.smallest_signed = __reduce_min_sync(mask, 5 - static_cast<int>(thread));
  out[thread] = votes;
}

void expect_votes(unsigned threads, unsigned mask) {
  Array<Votes> out(std::vector<Votes>(threads, Votes{}));
  launch(vote_kernel, 1, threads, 0, out.data(), mask);
  const auto got = out.host();
  for (unsigned thread = 0; thread < threads; ++thread) {
    if ((mask >> (thread % 32) & 1u) == 0) continue;
    Votes wanted{};
    wanted.all = 1;
    wanted.smallest = wanted.every = ~0u;
    wanted.smallest_signed = 100;
    for (unsigned other = thread / 32 * 32; other < std::min(threads, thread / 32 * 32 + 32);
         ++other) {
      const unsigned bit = 1u << other % 32;
      if ((mask & bit) == 0) continue;
      if (other % 2 == 1) wanted.odd |= bit;
      if (other >= 40) wanted.all = 0;
      if (other == 35) wanted.any = 1;
      if (other % 5 == thread % 5) wanted.equal |= bit;
      wanted.sum += other;
      wanted.smallest = std::min(wanted.smallest, other);
      wanted.largest = std::max(wanted.largest, other);
      wanted.every &= other | 64u;
      wanted.either |= other;
      wanted.parity ^= other;
      wanted.smallest_signed = std::min(wanted.smallest_signed, 5 - static_cast<int>(other));
    }
    EXPECT_EQ(std::memcmp(&got[thread], &wanted, sizeof wanted), 0)
        << thread << " of " << threads << ", mask " << mask;
  }
}

TEST(Warp, VotesAndReductionsCountTheLanesOfTheMask) {
  expect_votes(32, 0xffffffffu);
  expect_votes(64, 0xffffffffu);
  expect_votes(43, 0xffffffffu);  // the last warp has 11 lanes
  expect_votes(32, 0x0000f0f1u);
}

__global__ void partial_warp_kernel(int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  int value = lane;
  if (lane < 8) {
    value = __shfl_xor_sync(0x000000ffu, value, 1);
  } else {
    value = __shfl_xor_sync(0xffffff00u, value, 2);
  }
  __syncwarp();
  out[lane] = value;
}

TEST(Warp, PartsOfAWarpShuffleOnTheirOwn) {
  Array<int> out(32);
  launch(partial_warp_kernel, 1, 32, 0, out.data());
  const auto got = out.host();
  for (int lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(got[static_cast<std::size_t>(lane)], lane < 8 ? lane ^ 1 : lane ^ 2);
  }
}

__global__ void chain_kernel(int* out) {
  auto& cell = simt::shared_var<int>([] {});
  const unsigned lane = threadIdx.x;
  if (lane == 0) cell = 7;
  if (lane < 2) __syncwarp(0x3u);
  if (lane == 1 || lane == 2) __syncwarp(0x6u);  // lane 2 has met lane 1, who had met lane 0
  if (lane == 2) out[0] = cell;
}

TEST(Warp, WhatLanesMetCarriesOn) {
  Array<int> out(1);
  launch(chain_kernel, 1, 32, 0, out.data());
  EXPECT_EQ(out.host()[0], 7);
}

// ---- barriers ----------------------------------------------------------------------------------

__global__ void barrier_kernel(int limit, int* out) {
  const int thread = static_cast<int>(threadIdx.x);
  const int count = __syncthreads_count(thread < limit);
  const int all = __syncthreads_and(thread < limit);
  const int any = __syncthreads_or(thread < limit);
  out[thread] = count + 1000 * (all != 0) + 2000 * (any != 0);
}

TEST(Barrier, CountsAndCombinesPredicates) {
  for (const int limit : {0, 1, 77, 100}) {
    Array<int> out(100);
    launch(barrier_kernel, 1, 100, 0, limit, out.data());
    const int wanted = limit + (limit == 100 ? 1000 : 0) + (limit > 0 ? 2000 : 0);
    EXPECT_EQ(out.host(), std::vector<int>(100, wanted)) << limit;
  }
}

}  // namespace
