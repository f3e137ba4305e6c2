#include "host/neighbors_ivf.hpp"

#include <algorithm>
#include <numeric>
#include <optional>

#include "culatent/error.hpp"
#include "host/fit_loop.hpp"
#include "host/kmeans.hpp"
#include "host/neighbors_lists.hpp"

namespace culatent::neighbors {
namespace {

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

Matrix<float> gather(MatrixView<const float> rows, std::span<const std::int64_t> chosen) {
  Matrix<float> result(static_cast<std::int64_t>(chosen.size()), rows.cols);
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    std::copy_n(rows.row(chosen[i]), rows.cols, &result(static_cast<std::int64_t>(i), 0));
  }
  return result;
}

// The rows of every list: where their groups are in a layout.
struct Lists {
  std::vector<std::int32_t> labels;  // [N] list of each row
  std::vector<std::int64_t> sizes;   // [L]
  std::vector<std::int64_t> begins;  // [L + 1] first group of each list
  Layout layout;
};

Lists make_lists(std::vector<std::int32_t> labels, std::int64_t n_lists) {
  Lists lists{std::move(labels), std::vector<std::int64_t>(index(n_lists)), {}, {}};
  const auto n = static_cast<std::int64_t>(lists.labels.size());
  for (const std::int32_t label : lists.labels) ++lists.sizes[index(label)];
  std::vector<std::int64_t> next(index(n_lists));
  std::exclusive_scan(lists.sizes.begin(), lists.sizes.end(), next.begin(), std::int64_t{0});
  std::vector<std::int32_t> sorted(index(n));
  for (std::int64_t i = 0; i < n; ++i) {
    sorted[index(next[index(lists.labels[index(i)])]++)] = static_cast<std::int32_t>(i);
  }
  lists.layout.order.reserve(index(n + n_lists * kPanelRows));
  std::int64_t first = 0;
  for (const std::int64_t size : lists.sizes) {
    lists.begins.push_back(static_cast<std::int64_t>(lists.layout.groups.size()));
    lists.layout.append(std::span(sorted).subspan(index(first), index(size)));
    first += size;
  }
  lists.begins.push_back(static_cast<std::int64_t>(lists.layout.groups.size()));
  return lists;
}

std::vector<std::int32_t> nearest_lists(const Context& context, const kmeans::Model& model,
                                        MatrixView<const float> rows) {
  std::vector<std::int32_t> labels(index(rows.rows));
  kmeans::predict<float>(context, model, rows, labels);
  return labels;
}

// Joins the groups of list a with those of list b.
void join_lists(const Lists& queries, std::int64_t a, const Lists& rows, std::int64_t b, bool both,
                Candidates& candidates, SearchWorker& worker) {
  for (std::int64_t g = queries.begins[index(a)]; g < queries.begins[index(a + 1)]; ++g) {
    const std::int64_t first = both && a == b ? g : rows.begins[index(b)];
    for (std::int64_t h = first; h < rows.begins[index(b + 1)]; ++h) {
      candidates.join(g, h, worker);
    }
  }
}

}  // namespace

std::int64_t extra_positions(const Options& options, std::int64_t n_rows) {
  return checked_product(list_sizes(options, n_rows).n_lists, kPanelRows);
}

std::int64_t ivf_bytes(const Options& options, std::int64_t n_rows, std::int64_t n_queries,
                       std::int64_t n_features, int n_workers) {
  const ListSizes sizes = list_sizes(options, n_rows);
  const Context context({.n_threads = n_workers});
  const MatrixRows<float> sample(MatrixView<const float>(nullptr, sizes.sample_rows, n_features));
  const std::int64_t fit = checked_product(sizes.sample_rows, 4 * n_features) +
                           kmeans::plan<float>(context, sample, list_options(sizes, 0)).host_bytes;
  std::int64_t order = 0;
  if (sizes.most_probes > 1) {
    const MatrixRows<float> centroids(MatrixView<const float>(nullptr, sizes.n_lists, n_features));
    order = checked_product(sizes.n_lists, 12 * n_features) +
            plan(context, centroids, {.n_neighbors = static_cast<int>(sizes.most_probes - 1)})
                .host_bytes;
  }
  const std::int64_t m = std::min(options.recall_rows, n_queries), k = options.n_neighbors;
  const std::int64_t measured =
      checked_product(m, 4 * n_features) + screen_bytes(m, n_features) + query_bytes(m, k);
  const std::int64_t lists =
      checked_product(n_rows + n_queries, 3 * sizeof(std::int32_t)) +
      checked_product(sizes.n_lists, 8 * n_features + 6 * kPanelRows + 4 * sizes.most_probes + 64);
  return lists + checked_product(m, 12 * k) + std::max({fit, order, measured});
}

void search_lists(const CpuBackend& backend, MatrixView<const float> rows,
                  MatrixView<const float> queries, bool both, const Options& options,
                  SearchProgress& progress, Neighbors& result) {
  const ListSizes sizes = list_sizes(options, rows.rows);
  const std::int64_t k = options.n_neighbors;
  result.seed = options.seed.value_or(draw_seed());
  result.n_lists = static_cast<int>(sizes.n_lists);
  // The fit of the centroids is not what the observer asked to be told of.
  const Context quiet({.n_threads = backend.n_workers});
  kmeans::Model model;
  {
    const Matrix<float> sample = gather(rows, spread_rows(rows.rows, sizes.sample_rows));
    model = kmeans::fit<float>(quiet, sample.view(), list_options(sizes, result.seed)).model;
  }
  if (!progress.tell(0.1)) {
    result.interrupted = true;
    return;
  }
  const Lists row_lists = make_lists(nearest_lists(quiet, model, rows), sizes.n_lists);
  const Lists asked =
      both ? Lists{} : make_lists(nearest_lists(quiet, model, queries), sizes.n_lists);
  const Lists& query_lists = both ? row_lists : asked;
  const Matrix<std::int32_t> order = order_lists(quiet, model, sizes.most_probes);
  const Coordinates coordinates = choose_coordinates(rows);
  const double slack = screen_slack(rows.cols);
  const Screen row_screen(backend, rows, coordinates, slack, row_lists.layout.order,
                          row_lists.layout.groups);
  result.seconds.init = progress.seconds();

  const std::vector<std::int64_t> chosen = spread_rows(queries.rows, options.recall_rows);
  Neighbors truth;
  std::vector<std::int32_t> chosen_lists, chosen_rows;
  for (const std::int64_t row : chosen) {
    chosen_rows.push_back(static_cast<std::int32_t>(row));
    chosen_lists.push_back(query_lists.labels[index(row)]);
  }
  {
    const Matrix<float> sample = gather(queries, chosen);
    const Screen screen = spatial_screen(backend, sample.view(), coordinates);
    progress.from = 0.1, progress.to = 0.3;
    search_exactly(
        backend, screen, row_screen,
        both ? std::span<const std::int32_t>(chosen_rows) : std::span<const std::int32_t>(), k,
        progress, truth);
  }
  if (truth.interrupted) {
    result.interrupted = true;
    return;
  }
  result.n_probes = static_cast<int>(
      options.n_probes > 0 ? sizes.most_probes
                           : choose_probes(order, both, truth, chosen_lists, row_lists.labels));

  std::optional<Screen> other;
  if (!both) {
    other.emplace(backend, queries, coordinates, slack, asked.layout.order, asked.layout.groups);
  }
  const Screen& query_screen = both ? row_screen : *other;
  const Probes probes(order, result.n_probes, row_lists.sizes, k + 1);
  Candidates candidates(query_screen, row_screen, {}, k);
  std::vector<SearchWorker> workers = make_workers(backend, rows.cols, k);
  progress.from = 0.3, progress.to = 1.0;
  // Nearer lists first: what they have rules out most of the others'.
  const std::int64_t most = probes.most();
  for (std::int64_t p = 0; p < most; ++p) {
    backend.threads.parallel_for(sizes.n_lists, backend.n_workers, [&](std::int64_t a, int worker) {
      const std::int64_t b = probes.list(a, p);
      if (b < 0) return;
      // Of two lists that are each other's probes the lower does the work.
      if (both && b < a && probes.has(b, a)) return;
      join_lists(query_lists, a, row_lists, b, both, candidates, workers[index(worker)]);
    });
    if (!progress.tell(static_cast<double>(p + 1) / static_cast<double>(most))) {
      result.interrupted = true;
      return;
    }
  }
  finish_all(backend, query_screen, candidates, workers, k, result);
  Matrix<std::int32_t> found(truth.indices.rows(), k);
  for (std::int64_t i = 0; i < found.rows(); ++i) {
    std::copy_n(&result.indices(chosen[index(i)], 0), k, &found(i, 0));
  }
  take_recall(truth, found, result);
}

}  // namespace culatent::neighbors
