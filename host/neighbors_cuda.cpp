#include "host/neighbors_cuda.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "culatent/error.hpp"
#include "host/device_flow.hpp"
#include "host/row_method.hpp"
#include "kernels/cuda/scan.hpp"

namespace culatent::neighbors {
namespace {

constexpr std::int64_t kSampleRows = 1024;  // that choose_coordinates() looks at
constexpr std::int64_t kChunkBytes = std::int64_t{32} << 20;

using Feed = DeviceFeed<float>;

// All rows stay; those of the host come in chunks, for which half of what the host may have is
// enough.
Feed::Shape feed_shape(const Context& context, const RowSource<float>& source) {
  const std::int64_t n = source.rows(), row_bytes = 4 * source.cols();
  const std::int64_t limit = context.options().memory_limit;
  const std::int64_t wanted =
      context.options().chunk_rows > 0 ? context.options().chunk_rows : kChunkBytes / row_bytes;
  std::int64_t blocks = std::max<std::int64_t>(1, wanted / kBlockRows);
  const auto shape = [&] {
    return Feed::shape(source, false,
                       {.chunk_rows = std::min(n, blocks * kBlockRows), .resident = true});
  };
  while (blocks > 1 && limit > 0 && shape().pinned_bytes > limit / 2) blocks /= 2;
  return shape();
}

std::int64_t sample_bytes(std::int64_t n_rows, std::int64_t n_features) {
  return checked_product(std::min(n_rows, kSampleRows), 4 * n_features + 8);
}

std::int64_t held_bytes(const Context& context, const RowSource<float>& rows,
                        const RowSource<float>& queries) {
  return DeviceHeldRows::device_bytes(context, rows) +
         (&rows == &queries ? 0 : DeviceHeldRows::device_bytes(context, queries));
}

CudaBackend backend_of(const Context& context, const Plan& plan) {
  return {*context.cuda(), context.threads(), plan.n_workers};
}

// `on_device`: results stay there.
CudaPlan plan_on_device(const Context& context, const RowSource<float>& rows,
                        const RowSource<float>& queries, const Options& options, bool on_device) {
  const std::int64_t n = rows.rows(), m = queries.rows(), d = rows.cols(), k = options.n_neighbors;
  std::optional<std::int64_t> asked;
  if (&rows != &queries) asked = m;
  SearchSizes sizes(n, asked, d, k);
  sizes.on_device = on_device;
  const std::int64_t results = checked_product(m, 12 * k);
  const std::int64_t held = held_bytes(context, rows, queries) + (on_device ? results : 0);
  SearchBudget budget{.device = context.cuda()->free_bytes() - held};
  const std::int64_t limit = context.options().memory_limit;
  if (limit > 0) budget.host = (limit - (on_device ? 0 : results)) / 2;
  CudaPlan plan;
  if (options.method == Method::ivf) {
    plan = plan_lists(context, sizes, n, asked, options, budget);
  } else {
    plan.search = choose_schedule({*context.cuda(), context.threads(), 1}, sizes, budget);
    plan.bytes = search_bytes(sizes, plan.search);
    plan.host_bytes = pinned_bytes(sizes, plan.search);
  }
  plan.bytes = held + std::max(plan.bytes, sample_bytes(n, d));
  plan.host_bytes += sample_bytes(n, d);
  return plan;
}

// `kept`: the results stay on the device.
void set_bytes(const Context& context, const RowSource<float>& rows,
               const RowSource<float>& queries, const Options& options, bool kept, Plan& plan) {
  const ActiveDevice active(*context.cuda());
  const CudaPlan on_device = plan_on_device(context, rows, queries, options, kept);
  const std::int64_t fixed =
      (kept ? 0 : checked_product(queries.rows(), 12 * std::int64_t{options.n_neighbors})) +
      on_device.host_bytes + DeviceHeldRows::pinned_bytes(context, rows) +
      (&rows == &queries ? 0 : DeviceHeldRows::pinned_bytes(context, queries));
  fit_to_limit(
      context, [&](int) { return fixed; }, "raise it, or use fewer neighbors or rows", plan);
  plan.device_bytes = on_device.bytes;
  check_device_bytes(context, plan.device_bytes,
                     "give it more, use fewer neighbors or rows, or compute on the CPU");
}

// From rows that lie anywhere to their neighbours, on the device where `kept` is given.
void search_to(const Context& context, const RowSource<float>& rows,
               const RowSource<float>& queries, const Options& options, DeviceNeighbors* kept,
               Neighbors& result) {
  SearchProgress progress(context);
  const CudaBackend backend = backend_of(context, result.plan);
  const CudaPlan plan = plan_on_device(context, rows, queries, options, kept != nullptr);
  const DeviceHeldRows held(context, backend, rows);
  std::optional<DeviceHeldRows> others;
  DeviceProblem problem{.rows = held.rows(), .k = options.n_neighbors};
  if (&rows != &queries) problem.queries = others.emplace(context, backend, queries).rows();
  SearchTarget target{result};
  if (kept != nullptr) {
    const std::int64_t size = checked_product(queries.rows(), options.n_neighbors);
    kept->indices = {backend.device, size, "neighbours"};
    kept->squared_distances = {backend.device, size, "neighbours"};
    target.indices = kept->indices.data();
    target.squared_distances = kept->squared_distances.data();
  }
  if (options.method == Method::ivf) {
    cuda_search_lists(context, backend, problem.rows, problem.queries, options, plan, progress,
                      target);
  } else {
    DeviceSearch search(backend, problem, device_coordinates(backend, held.rows()), plan.search);
    result.seconds.init = progress.seconds();
    search.run(progress, target);
  }
  if (kept != nullptr && result.interrupted) *kept = {};
  result.seconds.total = progress.seconds();
  result.seconds.fit = result.seconds.total - result.seconds.init;
}

}  // namespace

DeviceHeldRows::DeviceHeldRows(const Context& context, const CudaBackend& backend,
                               const RowSource<float>& source)
    : source_{source, {}}, feed_(backend, source_, feed_shape(context, source)) {
  feed_.for_each_chunk([&](const DeviceRows<float>& rows, std::int64_t first) {
    if (first == 0) rows_ = {rows.data, source.rows(), rows.stride, rows.n_features};
  });
  DeviceArray<std::int64_t> cell(backend.device, 1, "checks");
  find_bad_cell(backend, rows_, cell.data());
  std::int64_t bad = -1;
  cell.download(&bad, 1);
  if (bad < 0) return;
  const std::int64_t row = bad / rows_.n_features, column = bad % rows_.n_features;
  float value = 0.0f;
  backend.device.to_host(&value, rows_.data + row * rows_.stride + column, sizeof(value));
  throw_bad_value(value, row, column);
}

std::int64_t DeviceHeldRows::device_bytes(const Context& context, const RowSource<float>& source) {
  return feed_shape(context, source).device_bytes + 8;
}

std::int64_t DeviceHeldRows::pinned_bytes(const Context& context, const RowSource<float>& source) {
  return feed_shape(context, source).pinned_bytes;
}

Coordinates device_coordinates(const CudaBackend& backend, const SearchRows& rows) {
  const std::int64_t count = std::min(rows.n_rows, kSampleRows);
  std::vector<std::int64_t> chosen;
  for (std::int64_t i = 0; i < count; ++i) chosen.push_back(i * rows.n_rows / count);
  DeviceArray<std::int64_t> index(backend.device, count, "a sample of the rows");
  DeviceArray<float> values(backend.device, count * rows.n_features, "a sample of the rows");
  index.upload(chosen.data(), count);
  gather_rows(backend, rows.data, rows.stride, rows.n_features, index.data(), count, values.data());
  Matrix<float> sample(count, rows.n_features);
  values.download(sample.data(), values.size());
  return choose_coordinates(sample.view());
}

void cuda_plan(const Context& context, const RowSource<float>& rows,
               const RowSource<float>& queries, const Options& options, Plan& plan) {
  set_bytes(context, rows, queries, options, false, plan);
}

Plan plan_search_on_device(const Context& context, const RowSource<float>& rows,
                           const Options& options) {
  check_search(context, rows, options);
  Plan plan = plan_of_rows(context, rows.rows(), rows.cols());
  set_bytes(context, rows, rows, options, true, plan);
  return plan;
}

Neighbors cuda_search(const Context& context, const RowSource<float>& rows,
                      const RowSource<float>& queries, const Options& options, Plan plan) {
  const ActiveDevice active(*context.cuda());
  Neighbors result;
  result.plan = std::move(plan);
  search_to(context, rows, queries, options, nullptr, result);
  return result;
}

DeviceNeighbors search_on_device(const Context& context, const RowSource<float>& rows,
                                 const Options& options) {
  Neighbors rest;
  rest.plan = plan_search_on_device(context, rows, options);
  DeviceNeighbors found;
  search_to(context, rows, rows, options, &found, rest);
  found.rest = std::move(rest);
  return found;
}

}  // namespace culatent::neighbors
