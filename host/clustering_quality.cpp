#include "culatent/clustering_quality.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "culatent/error.hpp"
#include "host/kmeans.hpp"
#include "host/place.hpp"
#include "host/row_pass.hpp"
#include "kernels/clustering_quality.hpp"

namespace culatent::clustering_quality {
namespace {

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

template <class T>
void check_input(const Context& context, const RowSource<T>& rows,
                 std::span<const std::int64_t> labels) {
  const std::int64_t n = rows.rows();
  if (static_cast<std::int64_t>(labels.size()) != n) {
    throw data_error(std::to_string(labels.size()) + " labels for " + std::to_string(n) + " rows",
                     "labels", "give one label a row");
  }
  if (n == 0 || rows.cols() == 0) {
    throw data_error(
        "no data: " + std::to_string(n) + " rows, " + std::to_string(rows.cols()) + " columns",
        "shape", "give at least one row and one column");
  }
  check_rows(context, rows);
  if (rows.space() != MemorySpace::host) {
    throw invalid_argument("the rows are in device memory", "clustering_quality",
                           "copy them to the host");
  }
}

// `whose`: "data" or "sample".
void check_clusters(std::int64_t n_clusters, std::int64_t n_rows, const std::string& whose) {
  if (n_clusters >= 2 && n_clusters < n_rows) return;
  throw data_error("the " + whose + " has " + std::to_string(n_clusters) + " clusters in " +
                       std::to_string(n_rows) + " rows",
                   "labels", "the measure needs at least 2, and fewer than rows");
}

[[noreturn]] void throw_bad_value(double value, std::int64_t row, std::int64_t column) {
  const std::string where = "row " + std::to_string(row) + ", column " + std::to_string(column);
  if (std::isfinite(value)) {
    throw data_error("a value so large that its square leaves float64", where,
                     "rescale the data (--scale)");
  }
  throw data_error(std::isnan(value) ? "NaN in the data" : "infinite value in the data", where,
                   "remove or fill it");
}

// 2^-k that brings `reach` near 1, so that squares neither overflow nor vanish.
double shrink(double reach) {
  return reach > 0.0 ? std::ldexp(1.0, std::min(-std::ilogb(reach), 1022)) : 1.0;
}

// Threads that the memory limit leaves when each takes `per_worker` bytes beside `common` ones.
CpuBackend backend_within(const Context& context, std::int64_t common, std::int64_t per_worker,
                          const std::string& what) {
  const std::int64_t limit = context.options().memory_limit;
  std::int64_t n_workers = context.n_threads();
  if (limit > 0) n_workers = std::min(n_workers, (limit - common) / per_worker);
  if (n_workers < 1) {
    throw out_of_memory(what + " takes " + std::to_string(common + per_worker) +
                            " bytes, the limit is " + std::to_string(limit),
                        "memory_limit / --memory-limit", "raise it, or use fewer rows or clusters");
  }
  return {context.threads(), static_cast<int>(n_workers)};
}

// Rows of the silhouette, in order; where each lies when they lie cluster by cluster; and where
// each cluster begins then.
struct Sample {
  std::vector<std::int64_t> rows;
  std::vector<std::int64_t> places;
  std::vector<std::int64_t> begins;
};

Sample choose_sample(std::span<const std::int64_t> labels, const SilhouetteOptions& options) {
  const auto n = static_cast<std::int64_t>(labels.size());
  Sample sample{kmeans::choose_rows({}, n, options.seed, options.sample_rows), {}, {0}};
  std::vector<std::int64_t> own;
  own.reserve(sample.rows.size());
  for (const std::int64_t row : sample.rows) own.push_back(labels[index(row)]);
  const ClusterIds ids(own);
  const auto n_rows = static_cast<std::int64_t>(own.size());
  check_clusters(ids.n_clusters(), n_rows, n_rows < n ? "sample" : "data");
  std::partial_sum(ids.counts().begin(), ids.counts().end(), std::back_inserter(sample.begins));
  std::vector<std::int64_t> next(sample.begins.begin(), sample.begins.end() - 1);
  sample.places.reserve(own.size());
  for (const std::int64_t label : own) sample.places.push_back(next[index(ids(label))]++);
  return sample;
}

// The sample's rows in their places, scaled by one power of two. A column of one value, which could
// not be scaled by the width of the others, is 0.
template <class T>
Matrix<double> gather(const RowSource<T>& rows, const Sample& sample) {
  const std::int64_t d = rows.cols();
  Matrix<double> out(static_cast<std::int64_t>(sample.rows.size()), d);
  Matrix<T> buffer(1, d);
  std::vector<double> low(index(d), std::numeric_limits<double>::infinity());
  std::vector<double> high(index(d), -std::numeric_limits<double>::infinity());
  for (std::size_t i = 0; i < sample.rows.size(); ++i) {
    const MatrixView<const T> row = rows.read(sample.rows[i], buffer.view());
    for (std::int64_t j = 0; j < d; ++j) {
      const auto value = static_cast<double>(row(0, j));
      if (!(std::abs(value) <= kWidestValue)) throw_bad_value(value, sample.rows[i], j);
      out(sample.places[i], j) = value;
      low[index(j)] = std::min(low[index(j)], value);
      high[index(j)] = std::max(high[index(j)], value);
    }
  }
  double reach = 0.0;
  for (std::size_t j = 0; j < low.size(); ++j) reach = std::max(reach, high[j] - low[j]);
  const double scale = shrink(reach);
  for (std::int64_t i = 0; i < out.rows(); ++i) {
    for (std::int64_t j = 0; j < d; ++j) {
      out(i, j) = high[index(j)] > low[index(j)] ? out(i, j) * scale : 0.0;
    }
  }
  return out;
}

// A value near the middle of each column, so that sums of differences keep their digits: the mean
// of the first block, of what has a square there.
template <class T>
std::vector<double> choose_shift(const RowSource<T>& rows) {
  const std::int64_t count = std::min(kBlockRows, rows.rows());
  Matrix<T> buffer(count, rows.cols());
  const MatrixView<const T> block = rows.read(0, buffer.view());
  std::vector<double> shift(index(rows.cols()));
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t j = 0; j < rows.cols(); ++j) {
      const auto value = static_cast<double>(block(i, j));
      if (std::abs(value) <= kWidestValue) shift[index(j)] += value / static_cast<double>(count);
    }
  }
  return shift;
}

// max |x − shift| of what the workers saw. Throws for the first bad value.
template <class T>
double check_reach(const std::vector<ClusterScratch<T>>& workspace) {
  const ClusterScratch<T>* bad = nullptr;
  double reach = 0.0;
  for (const ClusterScratch<T>& scratch : workspace) {
    reach = std::max(reach, scratch.reach);
    if (scratch.bad_row < 0) continue;
    if (bad == nullptr || scratch.bad_row < bad->bad_row) bad = &scratch;
  }
  if (bad != nullptr) throw_bad_value(bad->bad_value, bad->bad_row, bad->bad_column);
  return reach;
}

}  // namespace

template <class T>
Silhouette silhouette(const Context& context, const RowSource<T>& rows,
                      std::span<const std::int64_t> labels, const SilhouetteOptions& options) {
  check_input(context, rows, labels);
  if (options.sample_rows < 2) {
    throw invalid_argument("sample_rows is " + std::to_string(options.sample_rows), "silhouette",
                           "give at least 2");
  }
  const std::int64_t d = rows.cols();
  const std::int64_t m = std::min(options.sample_rows, rows.rows());
  constexpr std::int64_t kRowBytes = 8 * sizeof(double);  // of indices and values
  const CpuBackend backend = backend_within(
      context,
      checked_product(m, checked_product(d, sizeof(double)) + kRowBytes) + ClusterIds::bytes(m) +
          checked_product(d, 3 * sizeof(double)),
      SilhouetteScratch::bytes(d), "the silhouette of " + std::to_string(m) + " rows");
  const Sample sample = choose_sample(labels, options);
  const Matrix<double> gathered = gather(rows, sample);
  std::vector<SilhouetteScratch> workspace;
  for (int worker = 0; worker < backend.n_workers; ++worker) workspace.emplace_back(d);
  std::vector<double> values(sample.rows.size());
  silhouettes(backend, workspace, gathered.view(), sample.begins, values);
  return {std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(m), m};
}

template <class T>
double davies_bouldin(const Context& context, const RowSource<T>& rows,
                      std::span<const std::int64_t> labels) {
  check_input(context, rows, labels);
  const std::int64_t n = rows.rows(), d = rows.cols();
  const ClusterIds ids(labels);
  const std::int64_t n_clusters = ids.n_clusters();
  check_clusters(n_clusters, n, "data");
  const CpuBackend backend = backend_within(
      context,
      ClusterIds::bytes(n_clusters) + checked_product(n_clusters, (d + 4) * 8) +
          ExactSums::bytes(checked_product(n_clusters, d + 1)) + checked_product(kBlockRows, d * 8),
      ClusterScratch<T>::bytes(n_clusters, d, rows.in_place()),
      "the Davies-Bouldin index of " + std::to_string(n_clusters) + " clusters");
  std::vector<ClusterScratch<T>> workspace;
  for (int worker = 0; worker < backend.n_workers; ++worker) {
    workspace.emplace_back(n_clusters, d, rows.in_place());
  }
  const std::vector<double> shift = choose_shift(rows);
  const FitRows<T> all{rows, {}};

  ExactSums sums(checked_product(n_clusters, d));
  row_pass(context, Communicator(), all, sums, [&](const RowChunk<T>& chunk) {
    sum_clusters<T>(backend, workspace, chunk, labels, ids, shift, sums);
  });
  const double scale = shrink(check_reach(workspace));
  Matrix<double> centroids(n_clusters, d);
  for (std::int64_t k = 0; k < n_clusters; ++k) {
    const auto count = static_cast<double>(ids.counts()[index(k)]);
    for (std::int64_t j = 0; j < d; ++j) centroids(k, j) = sums.value(k * d + j) / count * scale;
  }

  ExactSums distances(n_clusters);
  row_pass(context, Communicator(), all, distances, [&](const RowChunk<T>& chunk) {
    sum_distances<T>(backend, workspace, chunk, labels, ids, shift, scale, centroids, distances);
  });
  std::vector<double> spreads(index(n_clusters)), greatest(index(n_clusters));
  for (std::int64_t k = 0; k < n_clusters; ++k) {
    spreads[index(k)] = distances.value(k) / static_cast<double>(ids.counts()[index(k)]);
  }
  // What adding up a block of values below 2, the reach, may cost a centroid.
  const double coincide = 2.0 * static_cast<double>(kBlockRows) *
                          std::numeric_limits<double>::epsilon() *
                          std::sqrt(static_cast<double>(d));
  greatest_ratios(backend, centroids, spreads, coincide, greatest);
  return std::accumulate(greatest.begin(), greatest.end(), 0.0) / static_cast<double>(n_clusters);
}

#define CULATENT_INSTANTIATE(T)                                                            \
  template Silhouette silhouette(const Context&, const RowSource<T>&,                      \
                                 std::span<const std::int64_t>, const SilhouetteOptions&); \
  template double davies_bouldin(const Context&, const RowSource<T>&,                      \
                                 std::span<const std::int64_t>);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::clustering_quality
