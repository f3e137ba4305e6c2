#include <algorithm>
#include <utility>

#include "host/neighbors_cuda.hpp"

namespace culatent::neighbors {
namespace {

using Int = std::int64_t;

// Where more than this share of the pairs is measured, which takes 4 D bytes of memory a pair, fp32
// is faster: D / 8 ns beside the 6e-3 D ns by which its products take longer (H200, a
// multiprocessor).
constexpr double kMostMeasured = 1.0 / 16.0;

constexpr Int kTrialBlocks = 2;  // of a multiprocessor

template <class T>
DeviceArray<T> uploaded(CudaDevice& device, const std::vector<T>& values, const char* what) {
  DeviceArray<T> array(device, static_cast<Int>(values.size()), what);
  if (!values.empty()) array.upload(values.data(), array.size());
  return array;
}

// For each split its range of all tiles of rows.
std::vector<TileRange> split_ranges(Int n_tiles, int n_splits) {
  std::vector<TileRange> ranges;
  for (Int split = 0; split < n_splits; ++split) {
    const Int first = split * n_tiles / n_splits, last = (split + 1) * n_tiles / n_splits;
    ranges.push_back({static_cast<std::int32_t>(first), static_cast<std::int32_t>(last - first)});
  }
  return ranges;
}

std::vector<std::int32_t> split_begins(int n_splits) {
  std::vector<std::int32_t> begins;
  for (int split = 0; split <= n_splits; ++split) begins.push_back(split);
  return begins;
}

}  // namespace

DeviceSearch::Held::Held(const CudaBackend& backend, const SearchRows& rows,
                         const std::vector<std::int32_t>& order_, Int n_tiles, double scale)
    : order(uploaded(backend.device, order_, "the order of the rows")),
      low(backend.device, n_tiles * kTileRows, "bounds of the rows"),
      high(backend.device, n_tiles * kTileRows, "bounds of the rows") {
  screen.rows = rows;
  screen.order = order.data();
  screen.n_tiles = n_tiles;
  screen.scale = scale;
  screen.low = low.data();
  screen.high = high.data();
}

void DeviceSearch::Held::prepare(const CudaBackend& backend, Products products,
                                 const double* centre, const SearchSchedule& schedule) {
  const Int d = screen.rows.n_features;
  operands = {};  // before there are others
  operands = {backend.device, operand_bytes(products, screen.n_tiles, d) / 4, "the rows' operands"};
  screen.products = products;
  screen.operands = operands.data();
  prepare_screen(backend, centre, schedule.slack(products, d), screen);
}

DeviceSearch::DeviceSearch(const CudaBackend& backend, const DeviceProblem& problem,
                           const Coordinates& coordinates, const SearchSchedule& schedule)
    : backend_(backend),
      problem_(problem),
      sizes_(problem),
      schedule_(schedule),
      products_(schedule.products),
      centre_(uploaded(backend.device, coordinates.centre, "the centre")),
      rows_(backend, problem.rows, problem.row_order, sizes_.row_tiles, coordinates.scale),
      own_(uploaded(backend.device, problem.own, "own rows")),
      ranges_(uploaded(backend.device,
                       problem.ranges.empty() ? split_ranges(sizes_.row_tiles, schedule.n_splits)
                                              : problem.ranges,
                       "lists")),
      range_begins_(
          uploaded(backend.device,
                   problem.ranges.empty() ? split_begins(schedule.n_splits) : problem.range_begins,
                   "lists")),
      list_of_tile_(uploaded(backend.device, problem.list_of_tile, "lists")),
      counters_(backend.device, 1, "counters") {
  const Int n_slots = checked_product(schedule.wave_tiles * schedule.n_splits, kTileRows);
  const Int n_candidates = checked_product(n_slots, Capacity(problem.k).total);
  candidates_ = {backend.device, n_candidates, "candidates"};
  squares_ = {backend.device, n_candidates / kTileRows * kTileWarps, "candidates"};
  counts_ = {backend.device, n_slots, "candidates"};
  reaches_ = {backend.device, n_slots, "candidates"};
  if (!problem.both()) {
    queries_.emplace(backend, *problem.queries, problem.query_order, sizes_.query_tiles,
                     coordinates.scale);
  }
  prepare(products_);
}

void DeviceSearch::prepare(Products products) {
  products_ = products;
  rows_.prepare(backend_, products, centre_.data(), schedule_);
  if (queries_) queries_->prepare(backend_, products, centre_.data(), schedule_);
}

// Pairs of positions that some tiles of queries meet.
double DeviceSearch::pairs_of(Int first_tile, Int n_tiles) const {
  constexpr double kPairs = static_cast<double>(kTileRows) * kTileRows;
  if (problem_.ranges.empty()) {
    return kPairs * static_cast<double>(n_tiles) * static_cast<double>(sizes_.row_tiles);
  }
  double tiles = 0.0;
  for (Int t = first_tile; t < first_tile + n_tiles; ++t) {
    const auto list = static_cast<std::size_t>(problem_.list_of_tile[static_cast<std::size_t>(t)]);
    for (std::int32_t r = problem_.range_begins[list]; r < problem_.range_begins[list + 1]; ++r) {
      tiles += static_cast<double>(problem_.ranges[static_cast<std::size_t>(r)].count);
    }
  }
  return kPairs * tiles;
}

SearchWave DeviceSearch::wave_of(Int first_tile, Int n_tiles) const {
  SearchWave wave;
  wave.queries = queries_ ? queries_->screen : rows_.screen;
  wave.rows = rows_.screen;
  wave.same = problem_.both();
  wave.own = own_.data();
  wave.lists = {ranges_.data(), range_begins_.data(), list_of_tile_.data()};
  wave.n_splits = schedule_.n_splits;
  wave.capacity = Capacity(problem_.k);
  wave.buffers = {candidates_.data(), counts_.data(), reaches_.data(), squares_.data()};
  wave.counters = counters_.data();
  wave.first_tile = first_tile;
  wave.n_tiles = n_tiles;
  return wave;
}

DeviceSearch::Lane::Lane(CudaDevice& device, Int n_results)
    : indices(device, n_results, "neighbours"),
      squares(device, n_results, "neighbours"),
      download(device, kHeadBytes + 12 * n_results) {}

// Starts a wave, and the way of its results to the lane.
void DeviceSearch::start(Int first_tile, Int n_tiles, const SearchTarget& target, Lane& lane) {
  const bool to_host = target.indices == nullptr;
  const SearchWave wave = wave_of(first_tile, n_tiles);
  lane.first_tile = first_tile;
  lane.n_tiles = n_tiles;
  collect(backend_, wave);
  if (to_host) {
    finish(backend_, wave, false, lane.indices.data(), lane.squares.data());
  } else {
    finish(backend_, wave, true, target.indices, target.squared_distances);
  }
  lane.download.fetch(counters_.data(), 0, sizeof(SearchCounters));
  if (!to_host) return;
  const Int size = n_tiles * kTileRows * problem_.k;
  lane.download.fetch(lane.squares.data(), kHeadBytes, 8 * size);
  lane.download.fetch(lane.indices.data(), kHeadBytes + 8 * size, 4 * size);
}

// Waits for a wave, and takes what it brought.
void DeviceSearch::take(const SearchTarget& target, const Lane& lane) {
  const auto* from = static_cast<const unsigned char*>(lane.download.host());
  counted_ = *reinterpret_cast<const SearchCounters*>(from);
  if (target.indices != nullptr) return;
  const Int k = problem_.k, first = lane.first_tile * kTileRows;
  const Int count = lane.n_tiles * kTileRows, n = problem_.asked().n_rows;
  const auto* squares = reinterpret_cast<const double*>(from + kHeadBytes);
  const auto* indices = reinterpret_cast<const std::int32_t*>(squares + count * k);
  const std::vector<std::int32_t>& order =
      problem_.both() ? problem_.row_order : problem_.query_order;
  backend_.threads.parallel_for(lane.n_tiles, backend_.n_workers, [&](Int tile, int) {
    for (Int i = tile * kTileRows; i < (tile + 1) * kTileRows; ++i) {
      Int row = first + i;
      if (!order.empty()) row = order[static_cast<std::size_t>(row)];
      if (row < 0 || row >= n) continue;
      std::copy_n(indices + i * k, k, &target.result.indices(row, 0));
      std::copy_n(squares + i * k, k, &target.result.squared_distances(row, 0));
    }
  });
}

void DeviceSearch::run(const SearchProgress& progress, const SearchTarget& target) {
  Neighbors& result = target.result;
  counters_.fill_zero();
  const Int n_tiles = sizes_.query_tiles;
  Int n_results = 0;
  if (target.indices == nullptr) {
    result.indices = Matrix<std::int32_t>(problem_.asked().n_rows, problem_.k);
    result.squared_distances = Matrix<double>(problem_.asked().n_rows, problem_.k);
    n_results = checked_product(schedule_.wave_tiles * kTileRows, problem_.k);
  }
  // One wave is searched while what the one before found is taken.
  std::optional<Lane> lanes[2];
  for (int i = 0; i < (schedule_.wave_tiles < n_tiles ? 2 : 1); ++i) {
    lanes[i].emplace(backend_.device, n_results);
  }
  const Lane* pending = nullptr;
  const auto go_on = [&] {
    take(target, *pending);
    const Int done = pending->first_tile + pending->n_tiles;
    pending = nullptr;
    return progress.tell(static_cast<double>(done) / static_cast<double>(n_tiles));
  };
  int turn = 0;
  for (Int first = 0; first < n_tiles && !result.interrupted;) {
    Int count = std::min(schedule_.wave_tiles, n_tiles - first);
    // What the first tells of the bounds should not take long.
    const bool trial = first == 0 && schedule_.may_change;
    if (trial) {
      count = std::min(count, kTrialBlocks * Int{backend_.device.n_multiprocessors()});
    }
    Lane& lane = *lanes[turn];
    start(first, count, target, lane);
    if (pending != nullptr) result.interrupted = !go_on();
    pending = &lane;
    if (trial && !result.interrupted) {
      result.interrupted = !go_on();
      const bool many =
          static_cast<double>(counted_.n_measured) > kMostMeasured * pairs_of(first, count);
      if (many && first + count < n_tiles) prepare(Products::fp32);
    }
    first += count;
    if (lanes[1]) turn = 1 - turn;
  }
  if (pending != nullptr && !result.interrupted) result.interrupted = !go_on();
  if (!result.interrupted) return;
  result.indices = {};
  result.squared_distances = {};
}

}  // namespace culatent::neighbors
