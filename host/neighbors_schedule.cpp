#include <algorithm>

#include "host/neighbors_cuda.hpp"

namespace culatent::neighbors {
namespace {

using Int = std::int64_t;

// Tiles of a wave fill the device so many times over: what the last ones leave idle is little then.
constexpr Int kFillings = 8;
constexpr Int kBlocksEach = 2;               // of a multiprocessor
constexpr Int kMostBuffer = Int{2} << 30;    // bytes
constexpr Int kMostResult = Int{128} << 20;  // bytes of a wave's, pinned on the host
constexpr int kMostSplits = 64;
constexpr int kShrinks = 3;        // waves would rather be 1 / 2^this than without fp32 at hand
constexpr Int kLeastFeatures = 8;  // in fewer, rows are too near each other for bf16

Int tiles_of(Int n_rows, const std::vector<std::int32_t>& order) {
  const Int n = order.empty() ? n_rows : static_cast<Int>(order.size());
  return (n + kTileRows - 1) / kTileRows;
}

template <class T>
Int bytes_of(const std::vector<T>& values) {
  return static_cast<Int>(values.size() * sizeof(T));
}

}  // namespace

SearchSizes::SearchSizes(const DeviceProblem& problem)
    : n_features(problem.rows.n_features),
      row_tiles(tiles_of(problem.rows.n_rows, problem.row_order)),
      query_tiles(problem.both() ? row_tiles
                                 : tiles_of(problem.queries->n_rows, problem.query_order)),
      both(problem.both()),
      k(problem.k),
      has_lists(!problem.ranges.empty()),
      list_bytes(bytes_of(problem.row_order) + bytes_of(problem.query_order) +
                 bytes_of(problem.own) + bytes_of(problem.ranges) + bytes_of(problem.range_begins) +
                 bytes_of(problem.list_of_tile)) {}

SearchSizes::SearchSizes(Int n_rows, std::optional<Int> n_queries, Int n_features_, Int n_neighbors)
    : n_features(n_features_),
      row_tiles(tiles_of(n_rows, {})),
      query_tiles(tiles_of(n_queries.value_or(n_rows), {})),
      both(!n_queries),
      k(static_cast<int>(n_neighbors)) {}

Int search_bytes(const SearchSizes& sizes, const SearchSchedule& schedule) {
  const Int d = sizes.n_features;
  const Int n_tiles = sizes.row_tiles + (sizes.both ? 0 : sizes.query_tiles);
  Int operands = operand_bytes(schedule.products, 1, d);
  if (schedule.may_change) operands = std::max(operands, operand_bytes(Products::fp32, 1, d));
  const Int split_bytes = sizes.has_lists ? 0 : 12 * schedule.n_splits + 4;
  Int bytes =
      checked_product(n_tiles, operands + kTileRows * 8) + 8 * d + sizes.list_bytes + split_bytes +
      checked_product(schedule.wave_tiles, buffer_bytes(schedule.n_splits, Capacity(sizes.k))) +
      static_cast<Int>(sizeof(SearchCounters));
  return bytes + (sizes.on_device ? 0 : pinned_bytes(sizes, schedule));
}

Int pinned_bytes(const SearchSizes& sizes, const SearchSchedule& schedule) {
  const Int n_lanes = schedule.wave_tiles < sizes.query_tiles ? 2 : 1;
  if (sizes.on_device) return n_lanes * kHeadBytes;
  return n_lanes *
         (kHeadBytes + checked_product(schedule.wave_tiles, kTileRows * 12 * Int{sizes.k}));
}

SearchSchedule choose_schedule(const CudaBackend& backend, const SearchSizes& sizes,
                               const SearchBudget& budget) {
  const Int n_tiles = sizes.query_tiles;
  const Int n_filling = kBlocksEach * backend.device.n_multiprocessors();
  const bool bf16 =
      sizes.n_features >= kLeastFeatures && can_multiply_bf16(backend, sizes.n_features);
  SearchSchedule schedule;
  schedule.products = bf16 ? Products::bf16 : Products::fp32;
  if (!sizes.has_lists && n_tiles < n_filling) {
    schedule.n_splits = static_cast<int>(
        std::min({Int{kMostSplits}, (n_filling + n_tiles - 1) / n_tiles, sizes.row_tiles}));
  }
  const Int tile_bytes = buffer_bytes(schedule.n_splits, Capacity(sizes.k));
  Int wanted = std::min(kFillings * n_filling, kMostBuffer / tile_bytes);
  if (!sizes.on_device) wanted = std::min(wanted, kMostResult / (kTileRows * 12 * Int{sizes.k}));
  if (wanted > n_filling) wanted -= wanted % n_filling;
  wanted = std::clamp(wanted, Int{1}, n_tiles);
  const auto fits = [&] {
    return search_bytes(sizes, schedule) <= budget.device &&
           pinned_bytes(sizes, schedule) <= budget.host;
  };
  schedule.may_change = bf16;
  for (int shrink = 0; bf16 && shrink <= kShrinks; ++shrink) {
    schedule.wave_tiles = std::max(Int{1}, wanted >> shrink);
    if (fits()) return schedule;
  }
  schedule.may_change = false;
  for (schedule.wave_tiles = wanted; schedule.wave_tiles > 1; schedule.wave_tiles /= 2) {
    if (fits()) return schedule;
  }
  while (schedule.n_splits > 1 && !fits()) schedule.n_splits /= 2;
  return schedule;
}

}  // namespace culatent::neighbors
