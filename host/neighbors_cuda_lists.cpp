#include <algorithm>
#include <numeric>
#include <utility>

#include "host/fit_loop.hpp"
#include "host/neighbors_cuda.hpp"
#include "host/neighbors_lists.hpp"
#include "kernels/cuda/scan.hpp"

namespace culatent::neighbors {
namespace {

using Int = std::int64_t;

std::size_t index(Int i) { return static_cast<std::size_t>(i); }

// For fits and searches within this one, which the observer has not asked to be told of: on the
// same stream, with the memory that is left.
Context::Options quiet_options(const Context& context, Int held) {
  Context::Options options{.n_threads = context.n_threads(), .device = context.device()};
  options.stream = context.cuda()->stream();
  const Int limit = context.options().memory_limit;
  if (limit > 0) options.memory_limit = std::max<Int>(1, limit - held);
  return options;
}

// Rows on the device, one after another.
struct GatheredRows {
  GatheredRows(const CudaBackend& backend, const SearchRows& rows, const std::vector<Int>& chosen)
      : values(backend.device, checked_product(static_cast<Int>(chosen.size()), rows.n_features),
               "a sample of the rows"),
        view{values.data(), static_cast<Int>(chosen.size()), rows.n_features, rows.n_features} {
    DeviceArray<Int> which(backend.device, view.n_rows, "a sample of the rows");
    which.upload(chosen.data(), view.n_rows);
    gather_rows(backend, rows.data, rows.stride, rows.n_features, which.data(), view.n_rows,
                values.data());
    backend.device.synchronize();  // other streams may read them
  }
  DeviceArray<float> values;
  SearchRows view;
};

MatrixView<const float> view_of(const SearchRows& rows) {
  return {rows.data, rows.n_rows, rows.n_features, rows.stride, MemorySpace::device};
}

// The rows of every list, which begin with a tile.
struct ListTiles {
  std::vector<std::int32_t> labels;  // [N] list of each row
  std::vector<Int> sizes;            // [L]
  std::vector<std::int32_t> begins;  // [L + 1] first tile of each list
  std::vector<std::int32_t> order;   // of positions
};

ListTiles make_tiles(const Context& context, const kmeans::Model& model, const SearchRows& rows) {
  const Int n_lists = model.n_clusters();
  ListTiles lists;
  lists.labels.resize(index(rows.n_rows));
  kmeans::predict<float>(context, model, view_of(rows), lists.labels);
  lists.sizes.resize(index(n_lists));
  for (const std::int32_t label : lists.labels) ++lists.sizes[index(label)];
  lists.begins.push_back(0);
  std::vector<Int> next;
  for (const Int size : lists.sizes) {
    next.push_back(Int{lists.begins.back()} * kTileRows);
    lists.begins.push_back(lists.begins.back() +
                           static_cast<std::int32_t>((size + kTileRows - 1) / kTileRows));
  }
  lists.order.assign(index(Int{lists.begins.back()} * kTileRows), -1);
  for (Int i = 0; i < rows.n_rows; ++i) {
    lists.order[index(next[index(lists.labels[index(i)])]++)] = static_cast<std::int32_t>(i);
  }
  return lists;
}

// Sets what the lists of queries look at: their probes, nearest first and, among rows (`both`), the
// lists that look at them.
void set_ranges(const Probes& probes, bool both, const ListTiles& rows, const ListTiles& queries,
                DeviceProblem& problem) {
  const auto n_lists = static_cast<Int>(rows.sizes.size());
  std::vector<std::vector<std::int32_t>> seen_by(index(both ? n_lists : 0));
  for (Int a = 0; both && a < n_lists; ++a) {
    for (Int p = 0; !probes.all(a) && probes.list(a, p) >= 0; ++p) {
      seen_by[index(probes.list(a, p))].push_back(static_cast<std::int32_t>(a));
    }
  }
  const auto add = [&](std::int32_t list) {
    const std::int32_t first = rows.begins[index(list)];
    const std::int32_t count = rows.begins[index(list + 1)] - first;
    if (count > 0) problem.ranges.push_back({first, count});
  };
  problem.range_begins.push_back(0);
  for (Int a = 0; a < n_lists; ++a) {
    if (probes.all(a)) {
      problem.ranges.push_back({0, rows.begins.back()});
    } else {
      for (Int p = 0; probes.list(a, p) >= 0; ++p) {
        add(static_cast<std::int32_t>(probes.list(a, p)));
      }
      for (Int i = 0; both && i < static_cast<Int>(seen_by[index(a)].size()); ++i) {
        const std::int32_t b = seen_by[index(a)][index(i)];
        if (!probes.has(a, b)) add(b);
      }
    }
    problem.range_begins.push_back(static_cast<std::int32_t>(problem.ranges.size()));
    problem.list_of_tile.resize(index(queries.begins[index(a + 1)]), static_cast<std::int32_t>(a));
  }
}

// Neighbours that were found for some queries, wherever they went.
Matrix<std::int32_t> found_of(const CudaBackend& backend, const std::vector<Int>& chosen, Int k,
                              const SearchTarget& target) {
  Matrix<std::int32_t> found(static_cast<Int>(chosen.size()), k);
  for (Int i = 0; i < found.rows(); ++i) {
    if (target.indices == nullptr) {
      std::copy_n(&target.result.indices(chosen[index(i)], 0), k, &found(i, 0));
    } else {
      backend.device.to_host(&found(i, 0), target.indices + chosen[index(i)] * k,
                             k * static_cast<Int>(sizeof(std::int32_t)));
    }
  }
  return found;
}

}  // namespace

CudaPlan plan_lists(const Context& context, const SearchSizes& exact, Int n_rows,
                    std::optional<Int> n_queries, const Options& options,
                    const SearchBudget& budget) {
  const Int d = exact.n_features, k = options.n_neighbors;
  const ListSizes sizes = list_sizes(options, n_rows);
  const CudaBackend backend{*context.cuda(), context.threads(), 1};
  const Context quiet(quiet_options(context, context.cuda()->free_bytes() - budget.device));
  CudaPlan plan;
  const MatrixRows<float> fitted(MatrixView<const float>(nullptr, sizes.sample_rows, d));
  const Plan fit = kmeans::plan<float>(quiet, fitted, list_options(sizes, 0));
  plan.bytes = fit.device_bytes + checked_product(sizes.sample_rows, 8);
  plan.host_bytes = fit.host_bytes;
  if (sizes.most_probes > 1) {
    const MatrixRows<float> centroids(MatrixView<const float>(nullptr, sizes.n_lists, d));
    const Plan order =
        neighbors::plan(quiet, centroids, {.n_neighbors = static_cast<int>(sizes.most_probes - 1)});
    plan.bytes = std::max(plan.bytes, order.device_bytes);
    plan.host_bytes = std::max(plan.host_bytes, order.host_bytes);
  }
  const Int n_sample = std::min(options.recall_rows, n_queries.value_or(n_rows));
  SearchSizes sample(n_rows, n_sample, d, k);
  sample.list_bytes = checked_product(n_sample, 4 * d + 12);
  plan.sample = choose_schedule(backend, sample, budget);
  plan.bytes = std::max(plan.bytes, search_bytes(sample, plan.sample));
  // Every list may end with a tile of its own.
  SearchSizes lists = exact;
  lists.has_lists = true;
  lists.row_tiles += sizes.n_lists;
  lists.query_tiles += sizes.n_lists;
  const Int n_tiles = lists.row_tiles + (n_queries ? lists.query_tiles : 0);
  const Int n_ranges = checked_product(sizes.n_lists, 2 * sizes.most_probes + 1);
  lists.list_bytes = checked_product(n_tiles, 4 * kTileRows) + 4 * lists.query_tiles +
                     8 * n_ranges + 4 * (sizes.n_lists + 1);
  plan.search = choose_schedule(backend, lists, budget);
  plan.bytes = std::max(plan.bytes, search_bytes(lists, plan.search));
  const Int labels = checked_product(n_rows + n_queries.value_or(0), 4);
  const Int pinned = std::max(pinned_bytes(sample, plan.sample), pinned_bytes(lists, plan.search));
  plan.host_bytes = std::max(plan.host_bytes, pinned) + lists.list_bytes + labels +
                    checked_product(sizes.n_lists, 8 * d + 4 * sizes.most_probes + 64) +
                    checked_product(n_sample, 16 * k + 24) + 8 * n_ranges;
  return plan;
}

void cuda_search_lists(const Context& context, const CudaBackend& backend, const SearchRows& rows,
                       const std::optional<SearchRows>& queries, const Options& options,
                       const CudaPlan& plan, SearchProgress& progress, const SearchTarget& target) {
  const ListSizes sizes = list_sizes(options, rows.n_rows);
  const SearchRows& asked = queries ? *queries : rows;
  const bool both = !queries;
  Neighbors& result = target.result;
  result.seed = options.seed.value_or(draw_seed());
  result.n_lists = static_cast<int>(sizes.n_lists);
  const Context quiet(quiet_options(context, context.cuda()->used_bytes()));
  kmeans::Model model;
  {
    const GatheredRows sample(backend, rows, spread_rows(rows.n_rows, sizes.sample_rows));
    model = kmeans::fit<float>(quiet, view_of(sample.view), list_options(sizes, result.seed)).model;
  }
  if (!progress.tell(0.1)) {
    result.interrupted = true;
    return;
  }
  const ListTiles row_lists = make_tiles(quiet, model, rows);
  ListTiles other_lists;
  if (!both) other_lists = make_tiles(quiet, model, asked);
  const ListTiles& query_lists = both ? row_lists : other_lists;
  const Matrix<std::int32_t> order = order_lists(quiet, model, sizes.most_probes);
  const Coordinates coordinates = device_coordinates(backend, rows);
  result.seconds.init = progress.seconds();

  const std::vector<Int> chosen = spread_rows(asked.n_rows, options.recall_rows);
  std::vector<std::int32_t> chosen_lists;
  for (const Int row : chosen) chosen_lists.push_back(query_lists.labels[index(row)]);
  Neighbors truth;
  {
    const GatheredRows sample(backend, asked, chosen);
    DeviceProblem problem{.rows = rows, .queries = sample.view, .k = options.n_neighbors};
    if (both) problem.own.assign(chosen.begin(), chosen.end());
    progress.from = 0.1, progress.to = 0.3;
    DeviceSearch(backend, problem, coordinates, plan.sample).run(progress, {truth});
  }
  if (truth.interrupted) {
    result.interrupted = true;
    return;
  }
  result.n_probes = static_cast<int>(
      options.n_probes > 0 ? sizes.most_probes
                           : choose_probes(order, both, truth, chosen_lists, row_lists.labels));

  DeviceProblem problem{.rows = rows, .queries = queries, .k = options.n_neighbors};
  problem.row_order = row_lists.order;
  problem.query_order = other_lists.order;
  set_ranges(Probes(order, result.n_probes, row_lists.sizes, options.n_neighbors + 1), both,
             row_lists, query_lists, problem);
  progress.from = 0.3, progress.to = 1.0;
  DeviceSearch(backend, problem, coordinates, plan.search).run(progress, target);
  if (result.interrupted) return;
  take_recall(truth, found_of(backend, chosen, options.n_neighbors, target), result);
}

}  // namespace culatent::neighbors
