#pragma once

#include <algorithm>

#include "simt/kernel.hpp"

/// Barriers, fences, shuffles, votes and warp reductions.

inline void __syncthreads(simt::Where where = simt::Where::current()) {
  simt::detail::block_barrier("__syncthreads", 0, simt::detail::Vote::kNone, where);
}
inline int __syncthreads_count(int predicate, simt::Where where = simt::Where::current()) {
  using simt::detail::Vote;
  return simt::detail::block_barrier("__syncthreads_count", predicate, Vote::kCount, where);
}
inline int __syncthreads_and(int predicate, simt::Where where = simt::Where::current()) {
  return simt::detail::block_barrier("__syncthreads_and", predicate, simt::detail::Vote::kAnd,
                                     where);
}
inline int __syncthreads_or(int predicate, simt::Where where = simt::Where::current()) {
  return simt::detail::block_barrier("__syncthreads_or", predicate, simt::detail::Vote::kOr, where);
}
inline void __syncwarp(unsigned mask = simt::detail::kAllLanes,
                       simt::Where where = simt::Where::current()) {
  simt::detail::Gathered<int>("__syncwarp", mask, 0, true, where);
}
void __threadfence();
void __threadfence_block();
void __threadfence_system();
[[noreturn]] inline void __trap(simt::Where where = simt::Where::current()) {
  simt::detail::trap(where);
}

namespace simt::detail {

// Whole lanes of `width`: the first lane of the part of the warp that this lane belongs to.
inline unsigned part_begin(int width) { return lane() & ~(static_cast<unsigned>(width) - 1u); }
inline unsigned lane_in_part(int width) { return lane() & (static_cast<unsigned>(width) - 1u); }

template <class T>
concept Shuffled = std::is_arithmetic_v<T> && sizeof(T) >= 4;

template <class T, class Combine>
T reduce(const char* name, unsigned mask, T value, Combine combine, Where where) {
  const Gathered<T> all(name, mask, value, false, where);
  bool first = true;
  T result{};
  for (unsigned other = 0; other < 32; ++other) {
    if (!all.has(other)) continue;
    result = first ? all[other] : combine(result, all[other]);
    first = false;
  }
  return result;
}

}  // namespace simt::detail

template <simt::detail::Shuffled T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              simt::Where where = simt::Where::current()) {
  const simt::detail::Gathered<T> all("__shfl_sync", mask, value, false, where);
  const unsigned inside = static_cast<unsigned>(source) & (static_cast<unsigned>(width) - 1u);
  return all[simt::detail::part_begin(width) | inside];
}
template <simt::detail::Shuffled T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 simt::Where where = simt::Where::current()) {
  const simt::detail::Gathered<T> all("__shfl_up_sync", mask, value, false, where);
  return simt::detail::lane_in_part(width) >= delta ? all[simt::detail::lane() - delta] : value;
}
template <simt::detail::Shuffled T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   simt::Where where = simt::Where::current()) {
  const simt::detail::Gathered<T> all("__shfl_down_sync", mask, value, false, where);
  const bool inside = simt::detail::lane_in_part(width) + delta < static_cast<unsigned>(width);
  return inside ? all[simt::detail::lane() + delta] : value;
}
template <simt::detail::Shuffled T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                  simt::Where where = simt::Where::current()) {
  const simt::detail::Gathered<T> all("__shfl_xor_sync", mask, value, false, where);
  const unsigned source = simt::detail::lane() ^ static_cast<unsigned>(lane_mask);
  const bool inside = source < simt::detail::part_begin(width) + static_cast<unsigned>(width);
  return inside ? all[source] : value;
}

inline unsigned __ballot_sync(unsigned mask, int predicate,
                              simt::Where where = simt::Where::current()) {
  const simt::detail::Gathered<int> all("__ballot_sync", mask, predicate, false, where);
  unsigned result = 0;
  for (unsigned other = 0; other < 32; ++other) {
    if (all.has(other) && all[other] != 0) result |= 1u << other;
  }
  return result;
}
inline int __any_sync(unsigned mask, int predicate, simt::Where where = simt::Where::current()) {
  return __ballot_sync(mask, predicate, where) != 0;
}
inline int __all_sync(unsigned mask, int predicate, simt::Where where = simt::Where::current()) {
  return __ballot_sync(mask, predicate == 0, where) == 0;
}
template <simt::detail::Shuffled T>
unsigned __match_any_sync(unsigned mask, T value, simt::Where where = simt::Where::current()) {
  const simt::detail::Gathered<T> all("__match_any_sync", mask, value, false, where);
  unsigned result = 0;
  for (unsigned other = 0; other < 32; ++other) {
    const T theirs = all.has(other) ? all[other] : T{};
    if (all.has(other) && std::memcmp(&theirs, &value, sizeof(T)) == 0) result |= 1u << other;
  }
  return result;
}

#define SIMT_REDUCE(name, T, combined)                                                \
  inline T name(unsigned mask, T value, simt::Where where = simt::Where::current()) { \
    return simt::detail::reduce(                                                      \
        #name, mask, value, [](T a, T b) { return combined; }, where);                \
  }
SIMT_REDUCE(__reduce_add_sync, unsigned, a + b)
SIMT_REDUCE(__reduce_min_sync, unsigned, std::min(a, b))
SIMT_REDUCE(__reduce_max_sync, unsigned, std::max(a, b))
SIMT_REDUCE(__reduce_and_sync, unsigned, a& b)
SIMT_REDUCE(__reduce_or_sync, unsigned, a | b)
SIMT_REDUCE(__reduce_xor_sync, unsigned, a ^ b)
SIMT_REDUCE(__reduce_add_sync, int, static_cast<int>(static_cast<unsigned>(a) + unsigned(b)))
SIMT_REDUCE(__reduce_min_sync, int, std::min(a, b))
SIMT_REDUCE(__reduce_max_sync, int, std::max(a, b))
#undef SIMT_REDUCE
