#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "host/device_feed.hpp"
#include "host/neighbors.hpp"
#include "kernels/cuda/download.hpp"
#include "kernels/cuda/neighbors.hpp"

/// The searches for neighbours on a CUDA device. That of the context, which is active in all of
/// this.
namespace culatent::neighbors {

/// Neighbours that stay on the device, for steps that go on there.
struct DeviceNeighbors {
  DeviceArray<std::int32_t> indices;      ///< [N, k] nearest first
  DeviceArray<double> squared_distances;  ///< [N, k]
  Neighbors rest;                         ///< all else; its matrices are empty
};

/// What search() finds among rows, which may lie in host or device memory. Interrupted: the arrays
/// are empty. Throws as search().
DeviceNeighbors search_on_device(const Context& context, const RowSource<float>& rows,
                                 const Options& options);
/// What it holds at most, its result included. Throws as plan().
Plan plan_search_on_device(const Context& context, const RowSource<float>& rows,
                           const Options& options);

/// search() for a CUDA context; `queries` may be the rows.
Neighbors cuda_search(const Context& context, const RowSource<float>& rows,
                      const RowSource<float>& queries, const Options& options, Plan plan);
/// Sets the bytes of cuda_search(). Throws out_of_memory when they are not there.
void cuda_plan(const Context& context, const RowSource<float>& rows,
               const RowSource<float>& queries, const Options& options, Plan& plan);

/// All rows of a source in device memory: in place, or a copy. Throws data_error as HeldRows.
class DeviceHeldRows {
 public:
  DeviceHeldRows(const Context& context, const CudaBackend& backend,
                 const RowSource<float>& source);
  DeviceHeldRows(const DeviceHeldRows&) = delete;
  DeviceHeldRows& operator=(const DeviceHeldRows&) = delete;
  static std::int64_t device_bytes(const Context& context, const RowSource<float>& source);
  static std::int64_t pinned_bytes(const Context& context, const RowSource<float>& source);
  const SearchRows& rows() const { return rows_; }

 private:
  const FitRows<float> source_;
  DeviceFeed<float> feed_;
  SearchRows rows_;
};

/// choose_coordinates() of rows on the device.
Coordinates device_coordinates(const CudaBackend& backend, const SearchRows& rows);

/// Where the neighbours go: to the matrices of `result` or, where there is device memory for them
/// ([queries, k] each), there.
struct SearchTarget {
  Neighbors& result;
  std::int32_t* indices = nullptr;
  double* squared_distances = nullptr;
};

/// What is searched.
struct DeviceProblem {
  SearchRows rows;
  std::optional<SearchRows> queries = {};  ///< none: the rows, which are not their own neighbours
  int k = 0;
  /// The row of each position, −1: none; whole tiles. Empty: rows as they lie.
  std::vector<std::int32_t> row_order = {}, query_order = {};
  std::vector<std::int32_t> own = {};  ///< [queries] a row that each query leaves out; or empty
  /// As TileLists has them; empty: every query meets all rows.
  std::vector<TileRange> ranges = {};
  std::vector<std::int32_t> range_begins = {}, list_of_tile = {};

  bool both() const { return !queries; }
  const SearchRows& asked() const { return queries ? *queries : rows; }
};

/// What decides how much of a device a search takes.
struct SearchSizes {
  explicit SearchSizes(const DeviceProblem& problem);
  SearchSizes(std::int64_t n_rows, std::optional<std::int64_t> n_queries, std::int64_t n_features,
              std::int64_t n_neighbors);

  std::int64_t n_features = 0;
  std::int64_t row_tiles = 0, query_tiles = 0;
  bool both = true;
  int k = 0;
  bool has_lists = false;
  std::int64_t list_bytes = 0;  ///< of orders, own rows and lists
  bool on_device = false;       ///< results stay there
};

/// How a search goes through the device. No bit of its result depends on it.
struct SearchSchedule {
  Products products = Products::fp32;
  bool may_change = false;  ///< to fp32, where bounds of bf16 leave too many pairs to be measured
  int n_splits = 1;
  std::int64_t wave_tiles = 1;
  /// Of products; tests give others.
  std::function<ProductSlack(Products, std::int64_t n_features)> slack = product_slack;
};
/// Device bytes of a search beside its rows, and its results where they stay there.
std::int64_t search_bytes(const SearchSizes& sizes, const SearchSchedule& schedule);
/// Of a download buffer, before the results: counters.
inline constexpr std::int64_t kHeadBytes = 32;
static_assert(sizeof(SearchCounters) <= kHeadBytes);
/// Bytes of its download buffers.
std::int64_t pinned_bytes(const SearchSizes& sizes, const SearchSchedule& schedule);

struct SearchBudget {
  std::int64_t device = 0;  ///< bytes of search_bytes() at most
  std::int64_t host = std::numeric_limits<std::int64_t>::max();  ///< of pinned_bytes()
};
/// The fastest schedule within the budget; the smallest when there is none.
SearchSchedule choose_schedule(const CudaBackend& backend, const SearchSizes& sizes,
                               const SearchBudget& budget);

/// The k nearest rows of every query.
class DeviceSearch {
 public:
  /// What is passed must outlive this.
  DeviceSearch(const CudaBackend& backend, const DeviceProblem& problem,
               const Coordinates& coordinates, const SearchSchedule& schedule);

  /// Sets `interrupted` when the observer ended it: nothing is found then.
  void run(const SearchProgress& progress, const SearchTarget& target);

  const SearchCounters& counters() const { return counted_; }
  Products products() const { return products_; }  ///< of the last wave

 private:
  // A screen and what is uploaded of it.
  struct Held {
    Held(const CudaBackend& backend, const SearchRows& rows, const std::vector<std::int32_t>& order,
         std::int64_t n_tiles, double scale);
    void prepare(const CudaBackend& backend, Products products, const double* centre,
                 const SearchSchedule& schedule);
    DeviceArray<std::int32_t> order;
    DeviceArray<std::uint32_t> operands;
    DeviceArray<float> low, high;
    DeviceScreen screen;
  };
  // What a wave found, on its way to the host.
  struct Lane {
    Lane(CudaDevice& device, std::int64_t n_results);
    DeviceArray<std::int32_t> indices;
    DeviceArray<double> squares;
    DownloadLane download;  // gone before the arrays that it reads
    std::int64_t first_tile = 0, n_tiles = 0;
  };
  void start(std::int64_t first_tile, std::int64_t n_tiles, const SearchTarget& target, Lane& lane);
  void take(const SearchTarget& target, const Lane& lane);
  SearchWave wave_of(std::int64_t first_tile, std::int64_t n_tiles) const;
  void prepare(Products products);
  double pairs_of(std::int64_t first_tile, std::int64_t n_tiles) const;

  const CudaBackend backend_;
  const DeviceProblem& problem_;
  const SearchSizes sizes_;
  const SearchSchedule schedule_;
  Products products_;
  SearchCounters counted_;
  DeviceArray<double> centre_;
  Held rows_;
  std::optional<Held> queries_;
  DeviceArray<std::int32_t> own_;
  DeviceArray<TileRange> ranges_;
  DeviceArray<std::int32_t> range_begins_, list_of_tile_;
  DeviceArray<Candidate> candidates_;
  DeviceArray<double> squares_;
  DeviceArray<std::int32_t> counts_;
  DeviceArray<float> reaches_;
  DeviceArray<SearchCounters> counters_;
};

/// What a call will hold on the device.
struct CudaPlan {
  std::int64_t bytes = 0;
  std::int64_t host_bytes = 0;  ///< besides results and rows
  SearchSchedule search;
  SearchSchedule sample;  ///< ivf: of the queries that are also searched exactly
};

/// Of a search by lists, with a budget beside the rows. `n_queries` absent: the rows.
CudaPlan plan_lists(const Context& context, const SearchSizes& exact, std::int64_t n_rows,
                    std::optional<std::int64_t> n_queries, const Options& options,
                    const SearchBudget& budget);

/// search_lists() of rows on the device.
void cuda_search_lists(const Context& context, const CudaBackend& backend, const SearchRows& rows,
                       const std::optional<SearchRows>& queries, const Options& options,
                       const CudaPlan& plan, SearchProgress& progress, const SearchTarget& target);

}  // namespace culatent::neighbors
