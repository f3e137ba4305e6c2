#include "host/neighbors.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "culatent/error.hpp"
#include "host/neighbors_ivf.hpp"
#include "host/place.hpp"
#include "host/row_method.hpp"
#ifdef CULATENT_HAS_CUDA
#include "host/neighbors_cuda.hpp"
#endif

namespace culatent::neighbors {
namespace {

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

std::int64_t nanoseconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

void check_options(const Options& options) {
  if (options.n_neighbors < 1) {
    throw invalid_argument("n_neighbors is " + std::to_string(options.n_neighbors), "neighbors",
                           "give at least 1");
  }
  if (options.n_lists < 0 || options.n_probes < 0) {
    throw invalid_argument("n_lists or n_probes is negative", "neighbors",
                           "give at least 1, or 0 to have it chosen");
  }
  if (options.recall_rows < 1) {
    throw invalid_argument("recall_rows is " + std::to_string(options.recall_rows), "neighbors",
                           "give at least 1");
  }
}

void check_source(const Context& context, const RowSource<float>& rows, const std::string& what) {
  if (rows.rows() == 0 || rows.cols() == 0) {
    throw data_error("no " + what + ": " + std::to_string(rows.rows()) + " rows, " +
                         std::to_string(rows.cols()) + " columns",
                     "shape", "give at least one row and one column");
  }
  if (rows.rows() > std::numeric_limits<std::int32_t>::max() - kGroupRows) {
    throw data_error(std::to_string(rows.rows()) + " rows of " + what, "shape",
                     "search at most 2^31 - 192 rows at once");
  }
  check_rows(context, rows);
}

void check_neighbors(std::int64_t k, std::int64_t available, const std::string& words) {
  if (k <= available) return;
  throw data_error(
      std::to_string(k) + " neighbors, but there are " + std::to_string(available) + " " + words,
      "shape", "ask for fewer (n_neighbors) or give more rows");
}

// A search among the rows of `rows` for those of `queries`, which may be the same.
Plan plan_search(const Context& context, const RowSource<float>& rows,
                 const RowSource<float>& queries, const Options& options) {
  const std::int64_t k = options.n_neighbors;
  const std::int64_t n = rows.rows(), m = queries.rows(), d = rows.cols();
  Plan plan = plan_of_rows(context, m, d);
  const bool both = &rows == &queries, ivf = options.method == Method::ivf;
#ifdef CULATENT_HAS_CUDA
  if (context.cuda() != nullptr) {
    cuda_plan(context, rows, queries, options, plan);
    return plan;
  }
#endif
  const auto held = [&](const RowSource<float>& source) {
    return source.in_place() ? 0 : checked_product(source.rows(), 4 * d);
  };
  const std::int64_t extra = ivf ? extra_positions(options, n) : 0;
  const std::int64_t common = held(rows) + screen_bytes(n + extra, d) +
                              (both ? 0 : held(queries) + screen_bytes(m + extra, d)) +
                              query_bytes(m + extra, k) + checked_product(m, 12 * k);
  const auto total = [&](int workers) {
    const std::int64_t order = ivf ? ivf_bytes(options, n, m, d, workers)
                                   : spatial_layout_bytes(std::max(n, m), d, workers);
    return common + order + workers * SearchWorker::bytes(d, Candidates::capacity(k));
  };
  fit_to_limit(context, total, "raise it, or use fewer neighbors or rows", plan);
  return plan;
}

void check_lists(const Options& options, std::int64_t n_rows) {
  if (options.method != Method::ivf || options.n_lists <= n_rows) return;
  throw data_error(
      std::to_string(options.n_lists) + " lists for " + std::to_string(n_rows) + " rows", "shape",
      "use fewer lists (n_lists)");
}

// `queries` may be the rows.
Neighbors search_rows(const Context& context, const RowSource<float>& rows,
                      const RowSource<float>& queries, const Options& options, Plan plan) {
#ifdef CULATENT_HAS_CUDA
  if (context.cuda() != nullptr) {
    return cuda_search(context, rows, queries, options, std::move(plan));
  }
#endif
  SearchProgress progress(context);
  Neighbors result;
  result.plan = std::move(plan);
  const bool both = &rows == &queries;
  const CpuBackend backend{context.threads(), result.plan.n_workers};
  const HeldRows held(backend, rows);
  std::optional<HeldRows> others;
  if (!both) others.emplace(backend, queries);
  const MatrixView<const float> asked = both ? held.view() : others->view();
  if (options.method == Method::ivf) {
    search_lists(backend, held.view(), asked, both, options, progress, result);
  } else {
    const Coordinates coordinates = choose_coordinates(held.view());
    const Screen screen = spatial_screen(backend, held.view(), coordinates);
    std::optional<Screen> other;
    if (!both) other.emplace(spatial_screen(backend, asked, coordinates));
    result.seconds.init = progress.seconds();
    search_exactly(backend, both ? screen : *other, screen, {}, options.n_neighbors, progress,
                   result);
  }
  result.seconds.total = progress.seconds();
  result.seconds.fit = result.seconds.total - result.seconds.init;
  return result;
}

// Joins every group of queries with every group of rows; in one screen every pair once. Returns
// false when the observer ended it.
bool join_all(const CpuBackend& backend, const Screen& queries, const Screen& rows,
              Candidates& candidates, std::vector<SearchWorker>& workers,
              const SearchProgress& progress) {
  const bool both = &queries == &rows;
  const std::int64_t n_queries = queries.n_groups(), n_rows = rows.n_groups();
  // Where each group of queries begins: at itself, or at the nearest rows, so that the first
  // neighbours that it finds rule out most others.
  std::vector<std::int64_t> start(index(n_queries));
  backend.threads.parallel_for(n_queries, backend.n_workers, [&](std::int64_t a, int) {
    if (both) {
      start[index(a)] = a;
      return;
    }
    double least = std::numeric_limits<double>::infinity();
    for (std::int64_t b = 0; b < n_rows; ++b) {
      const double apart = group_separation(queries, a, rows, b);
      if (apart >= least) continue;
      least = apart;
      start[index(a)] = b;
    }
  });
  // Offset o joins group a with start + o, round the circle; half of it has every pair once.
  const std::int64_t n_offsets = both ? n_rows / 2 + 1 : n_rows;
  constexpr std::int64_t kTasks = 32;  // for each thread between two looks at the observer
  const std::int64_t stride =
      std::max<std::int64_t>(1, kTasks * backend.n_workers / std::max<std::int64_t>(1, n_queries));
  for (std::int64_t offset = 0; offset < n_offsets;) {
    const std::int64_t end = offset == 0 ? 1 : std::min(n_offsets, offset + stride);
    backend.threads.parallel_for(
        (end - offset) * n_queries, backend.n_workers, [&](std::int64_t task, int worker) {
          const std::int64_t o = offset + task / n_queries, a = task % n_queries;
          if (both && 2 * o == n_rows && a >= o) return;  // the second half is the first one's
          const std::int64_t b = (start[index(a)] + o) % n_rows;
          candidates.join(a, b, workers[index(worker)]);
        });
    offset = end;
    if (!progress.tell(static_cast<double>(offset) / static_cast<double>(n_offsets))) return false;
  }
  return true;
}

}  // namespace

HeldRows::HeldRows(const CpuBackend& backend, const RowSource<float>& source) {
  const std::int64_t n = source.rows(), d = source.cols();
  if (source.in_place()) {
    view_ = source.read(0, MatrixView<float>(nullptr, n, d));
  } else {
    own_ = Matrix<float>(n, d);
    view_ = own_.view();
  }
  std::mutex mutex;
  std::int64_t bad = n;  // the first row with a value that is none
  backend.threads.parallel_for(
      (n + kBlockRows - 1) / kBlockRows, backend.n_workers, [&](std::int64_t block, int) {
        const std::int64_t first = block * kBlockRows;
        const std::int64_t count = std::min(kBlockRows, n - first);
        if (!source.in_place()) {
          const MatrixView<float> to = own_.view().slice(first, count);
          const MatrixView<const float> from = source.read(first, to);
          for (std::int64_t i = 0; i < count && from.data != to.data; ++i) {
            std::copy_n(from.row(i), d, to.row(i));
          }
        }
        for (std::int64_t i = first; i < first + count; ++i) {
          bool finite = true;
          for (std::int64_t j = 0; j < d; ++j) {
            finite &= std::abs(view_(i, j)) <= std::numeric_limits<float>::max();
          }
          if (finite) continue;
          const std::lock_guard lock(mutex);
          bad = std::min(bad, i);
          break;
        }
      });
  if (bad == n) return;
  std::int64_t column = 0;
  while (std::isfinite(view_(bad, column))) ++column;
  throw_bad_value(view_(bad, column), bad, column);
}

void throw_bad_value(float value, std::int64_t row, std::int64_t column) {
  throw data_error(std::isnan(value) ? "NaN in the data" : "infinite value in the data",
                   "row " + std::to_string(row) + ", column " + std::to_string(column),
                   "remove or fill it");
}

SearchProgress::SearchProgress(const Context& context) : context_(context), start_(nanoseconds()) {}

double SearchProgress::seconds() const {
  return 1e-9 * static_cast<double>(nanoseconds() - start_);
}

bool SearchProgress::tell(double share) const {
  if (!context_.options().observer) return true;
  const double done = from + share * (to - from);
  Progress progress;
  progress.phase = "neighbors";
  progress.iteration = static_cast<int>(100.0 * done);
  progress.max_iter = 100;
  progress.seconds = seconds();
  progress.objective = progress.change = std::numeric_limits<double>::quiet_NaN();
  progress.eta_seconds = done > 0.0 ? progress.seconds * (1.0 / done - 1.0) : 0.0;
  return context_.options().observer(progress);
}

std::int64_t screen_bytes(std::int64_t n_rows, std::int64_t n_features) {
  return Screen::bytes(n_rows / kPanelRows + 1, n_rows / kGroupRows + 1, n_features);
}

std::int64_t query_bytes(std::int64_t n_positions, std::int64_t k) {
  return Candidates::bytes(n_positions + kPanelRows, n_positions / kGroupRows + 1, k);
}

Screen spatial_screen(const CpuBackend& backend, MatrixView<const float> rows,
                      const Coordinates& coordinates) {
  Layout layout = spatial_layout(backend, rows);
  return Screen(backend, rows, coordinates, screen_slack(rows.cols), std::move(layout.order),
                std::move(layout.groups));
}

std::vector<SearchWorker> make_workers(const CpuBackend& backend, std::int64_t n_features,
                                       std::int64_t k) {
  std::vector<SearchWorker> workers;
  for (int worker = 0; worker < backend.n_workers; ++worker) {
    workers.emplace_back(n_features, Candidates::capacity(k));
  }
  return workers;
}

void finish_all(const CpuBackend& backend, const Screen& queries, Candidates& candidates,
                std::vector<SearchWorker>& workers, std::int64_t k, Neighbors& result) {
  result.indices = Matrix<std::int32_t>(queries.rows.rows, k);
  result.squared_distances = Matrix<double>(queries.rows.rows, k);
  backend.threads.parallel_for(queries.n_groups(), backend.n_workers,
                               [&](std::int64_t a, int worker) {
                                 candidates.finish(a, workers[index(worker)], result.indices.view(),
                                                   result.squared_distances.view());
                               });
}

void search_exactly(const CpuBackend& backend, const Screen& queries, const Screen& rows,
                    std::span<const std::int32_t> own, std::int64_t k,
                    const SearchProgress& progress, Neighbors& result) {
  Candidates candidates(queries, rows, own, k);
  std::vector<SearchWorker> workers = make_workers(backend, rows.n_features(), k);
  result.interrupted = !join_all(backend, queries, rows, candidates, workers, progress);
  if (!result.interrupted) finish_all(backend, queries, candidates, workers, k, result);
}

Neighbors search(const Context& context, const RowSource<float>& rows, const Options& options) {
  return search_rows(context, rows, rows, options, plan(context, rows, options));
}

Neighbors search(const Context& context, MatrixView<const float> rows, const Options& options) {
  return search(context, MatrixRows<float>(rows), options);
}

Neighbors search(const Context& context, const RowSource<float>& rows,
                 const RowSource<float>& queries, const Options& options) {
  check_options(options);
  check_source(context, rows, "rows");
  check_source(context, queries, "queries");
  if (queries.cols() != rows.cols()) {
    throw data_error("the queries have " + std::to_string(queries.cols()) + " columns, the rows " +
                         std::to_string(rows.cols()),
                     "columns", "give queries of the rows' features");
  }
  check_neighbors(options.n_neighbors, rows.rows(), "rows");
  check_lists(options, rows.rows());
  // Another source, even of the same rows: a query that is a row finds it.
  const SlicedRows<float> asked(queries, 0, queries.rows());
  return search_rows(context, rows, asked, options, plan_search(context, rows, asked, options));
}

void check_search(const Context& context, const RowSource<float>& rows, const Options& options) {
  check_options(options);
  check_source(context, rows, "rows");
  check_neighbors(options.n_neighbors, rows.rows() - 1, "other rows");
  check_lists(options, rows.rows());
}

Plan plan(const Context& context, const RowSource<float>& rows, const Options& options) {
  check_search(context, rows, options);
  return plan_search(context, rows, rows, options);
}

const char* name(Method method) { return method == Method::exact ? "exact" : "ivf"; }

}  // namespace culatent::neighbors
