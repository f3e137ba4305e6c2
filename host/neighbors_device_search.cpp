#include <algorithm>
#include <utility>

#include "host/neighbors_cuda.hpp"

namespace culatent::neighbors {
namespace {

using Int = std::int64_t;

// Tiles of a wave fill the device so many times over: what the last ones leave idle is little then.
constexpr Int kFillings = 8;
constexpr Int kBlocksEach = 2;             // of a multiprocessor
constexpr Int kMostBuffer = Int{2} << 30;  // bytes
constexpr int kMostSplits = 64;
constexpr int kShrinks = 3;  // waves would rather be 1 / 2^this than without fp32 at hand
// Where more than this share of the pairs is measured, which takes 4 D bytes of memory a pair, fp32
// is faster: D / 8 ns beside the 6e-3 D ns by which its products take longer (H200, a
// multiprocessor).
constexpr double kMostMeasured = 1.0 / 16.0;
constexpr Int kLeastFeatures = 8;  // in fewer, rows are too near each other for bf16

Int tiles_of(Int n_rows, const std::vector<std::int32_t>& order) {
  const Int n = order.empty() ? n_rows : static_cast<Int>(order.size());
  return (n + kTileRows - 1) / kTileRows;
}

template <class T>
Int bytes_of(const std::vector<T>& values) {
  return static_cast<Int>(values.size() * sizeof(T));
}

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
  if (!sizes.on_device) {
    bytes += checked_product(schedule.wave_tiles, kTileRows * 12 * Int{sizes.k});
  }
  return bytes;
}

SearchSchedule choose_schedule(const CudaBackend& backend, const SearchSizes& sizes,
                               Int available) {
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
  const Int wanted =
      std::clamp(std::min(kFillings * n_filling, kMostBuffer / tile_bytes), Int{1}, n_tiles);
  const auto fits = [&] { return search_bytes(sizes, schedule) <= available; };
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
  counters_.fill_zero();
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

bool DeviceSearch::run_waves(const SearchProgress& progress, bool by_row, std::int32_t* indices,
                             double* squared_distances, const Done& done) {
  SearchWave wave;
  wave.same = problem_.both();
  wave.own = own_.data();
  wave.lists = {ranges_.data(), range_begins_.data(), list_of_tile_.data()};
  wave.n_splits = schedule_.n_splits;
  wave.capacity = Capacity(problem_.k);
  wave.buffers = {candidates_.data(), counts_.data(), reaches_.data(), squares_.data()};
  wave.counters = counters_.data();
  const Int n_tiles = sizes_.query_tiles;
  double pairs = 0.0;
  for (Int first = 0; first < n_tiles; first += wave.n_tiles) {
    wave.rows = rows_.screen;
    wave.queries = queries_ ? queries_->screen : rows_.screen;
    wave.first_tile = first;
    wave.n_tiles = std::min(schedule_.wave_tiles, n_tiles - first);
    // What the first tells of the bounds should not take long.
    const bool trial = first == 0 && schedule_.may_change;
    if (trial) {
      wave.n_tiles = std::min(wave.n_tiles, kBlocksEach * Int{backend_.device.n_multiprocessors()});
    }
    collect(backend_, wave);
    finish(backend_, wave, by_row, indices, squared_distances);
    done(first, wave.n_tiles);
    counters_.download(&counted_, 1);  // waits
    pairs += pairs_of(first, wave.n_tiles);
    if (trial && static_cast<double>(counted_.n_measured) > kMostMeasured * pairs) {
      prepare(Products::fp32);
    }
    const Int last = first + wave.n_tiles;
    if (!progress.tell(static_cast<double>(last) / static_cast<double>(n_tiles))) return false;
  }
  return true;
}

void DeviceSearch::run(const SearchProgress& progress, const SearchTarget& target) {
  if (target.indices == nullptr) {
    run_to_host(progress, target.result);
    return;
  }
  target.result.interrupted =
      !run_waves(progress, true, target.indices, target.squared_distances, [](Int, Int) {});
}

void DeviceSearch::run_to_host(const SearchProgress& progress, Neighbors& result) {
  const Int k = problem_.k, n = problem_.asked().n_rows;
  const Int size = checked_product(schedule_.wave_tiles * kTileRows, k);
  const std::vector<std::int32_t>& order =
      problem_.both() ? problem_.row_order : problem_.query_order;
  DeviceArray<std::int32_t> indices(backend_.device, size, "neighbours");
  DeviceArray<double> squares(backend_.device, size, "neighbours");
  result.indices = Matrix<std::int32_t>(n, k);
  result.squared_distances = Matrix<double>(n, k);
  // Of a wave in another order.
  std::vector<std::int32_t> wave_indices(order.empty() ? 0 : static_cast<std::size_t>(size));
  std::vector<double> wave_squares(wave_indices.size());
  const auto take = [&](Int first_tile, Int n_tiles) {
    const Int first = first_tile * kTileRows;
    if (order.empty()) {
      const Int count = std::min(n_tiles * kTileRows, n - first) * k;
      indices.download(&result.indices(first, 0), count);
      squares.download(&result.squared_distances(first, 0), count);
      return;
    }
    const Int count = n_tiles * kTileRows;
    indices.download(wave_indices.data(), count * k);
    squares.download(wave_squares.data(), count * k);
    for (Int i = 0; i < count; ++i) {
      const std::int32_t row = order[static_cast<std::size_t>(first + i)];
      if (row < 0) continue;
      std::copy_n(wave_indices.data() + i * k, k, &result.indices(row, 0));
      std::copy_n(wave_squares.data() + i * k, k, &result.squared_distances(row, 0));
    }
  };
  result.interrupted = !run_waves(progress, false, indices.data(), squares.data(), take);
  if (!result.interrupted) return;
  result.indices = {};
  result.squared_distances = {};
}

}  // namespace culatent::neighbors
