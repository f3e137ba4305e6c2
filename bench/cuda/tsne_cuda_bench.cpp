#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/cuda/results.hpp"
#include "bench/cuda/timing.hpp"
#include "host/affinities_cuda.hpp"
#include "host/random.hpp"
#include "host/tsne_cuda.hpp"
#include "kernels/cuda/prefix_sums.hpp"

/// tsne_cuda_bench [--quick] [--json FILE] [--only TEXT]: affinities, the steps of a descent of
/// t-SNE in the plane, and iterations of the engine that fit() runs.
namespace culatent::bench {
namespace {

constexpr int kAffinities = 130;  // of a point: 90 neighbours made symmetric

// Normal points, as wide as embeddings of so many are.
Matrix<float> points_of(std::int64_t n) {
  Matrix<float> points(n, 2);
  for (std::int64_t i = 0; i < n; ++i) {
    const auto draw =
        random::normals(7, random::Stream::positions, static_cast<std::uint64_t>(i), 0);
    for (int k = 0; k < 2; ++k) points(i, k) = static_cast<float>(20.0 * draw[k]);
  }
  return points;
}

template <class T>
DeviceArray<T> to_device(CudaDevice& device, const std::vector<T>& values) {
  DeviceArray<T> there(device, static_cast<std::int64_t>(values.size()), "bench");
  there.upload(values.data(), there.size());
  return there;
}

// `count` columns a row, anywhere: neighbours in the data have any index.
std::vector<std::int32_t> columns_of(std::int64_t n, std::int64_t count) {
  std::vector<std::int32_t> columns(static_cast<std::size_t>(n * count));
  std::uint64_t state = 1;
  for (std::int32_t& column : columns) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    column = static_cast<std::int32_t>((state >> 33) % static_cast<std::uint64_t>(n));
  }
  return columns;
}

tsne::Prepared graph_of(CudaDevice& device, std::int64_t n) {
  std::vector<std::int64_t> starts(static_cast<std::size_t>(n + 1));
  for (std::int64_t i = 0; i <= n; ++i) starts[static_cast<std::size_t>(i)] = i * kAffinities;
  const std::vector<float> values(static_cast<std::size_t>(n * kAffinities),
                                  1.0f / static_cast<float>(n * kAffinities));
  tsne::Prepared prepared;
  prepared.device_graph = std::make_shared<const affinities::DeviceGraph>(affinities::DeviceGraph{
      to_device(device, starts), to_device(device, columns_of(n, kAffinities)),
      to_device(device, values)});
  prepared.total = 1.0;
  return prepared;
}

std::string name_of(std::int64_t n) { return std::to_string(n) + " points"; }

void measure_repulsion(const Context& context, std::int64_t n, Results& results) {
  CudaDevice& device = *context.cuda();
  const CudaBackend backend{device, context.threads(), context.n_threads()};
  const tsne::RepulsionTiles tiles = tsne::RepulsionTiles::choose(n);
  const Matrix<float> host = points_of(n);
  DeviceArray<float> points(device, 2 * n, "points"), forces(device, 2 * n, "forces");
  const DeviceArray<float> parts(device, tiles.n_tiles() * 2 * n, "parts");
  const DeviceArray<double> sums(device, tiles.n_pairs(), "sums"), partition(device, 1, "sum");
  points.upload(host.data(), host.size());
  Entry entry{.name = "tsne.exact_repulsion", .workload = name_of(n)};
  entry.seconds = median_seconds(device.stream(), 1.0, [&] {
    tsne::repel(backend, tiles, points.data(), 2, {parts.data(), sums.data()}, forces.data(),
                partition.data());
  });
  results.add(entry);
}

void measure_attraction(const Context& context, std::int64_t n, Results& results) {
  CudaDevice& device = *context.cuda();
  const CudaBackend backend{device, context.threads(), context.n_threads()};
  const tsne::Prepared prepared = graph_of(device, n);
  const affinities::DeviceGraph& graph = *prepared.device_graph;
  const Matrix<float> host = points_of(n);
  DeviceArray<float> points(device, 2 * n, "points"), forces(device, 2 * n, "forces");
  points.upload(host.data(), host.size());
  const tsne::DeviceAffinities p = {graph.starts.data(), graph.columns.data(), graph.values.data(),
                                    n, graph.size()};
  Entry entry{.name = "tsne.attraction", .workload = name_of(n)};
  entry.seconds = median_seconds(
      device.stream(), 1.0, [&] { tsne::attract(backend, p, points.data(), 2, forces.data()); });
  results.add(entry);
}

void measure_grid(const Context& context, std::int64_t n, Results& results) {
  CudaDevice& device = *context.cuda();
  const CudaBackend backend{device, context.threads(), context.n_threads()};
  const Matrix<float> host = points_of(n);
  DeviceArray<float> points(device, 2 * n, "points"), forces(device, 2 * n, "forces");
  const DeviceArray<double> partition(device, 1, "sum");
  points.upload(host.data(), host.size());
  tsne::DeviceGridRepulsion grid(backend, n, 2, tsne::choose_most_nodes(n));
  const auto [low, high] = std::minmax_element(host.data(), host.data() + host.size());
  const double from[2] = {static_cast<double>(*low), static_cast<double>(*low)};
  const double to[2] = {static_cast<double>(*high), static_cast<double>(*high)};
  grid.set_grid(backend, from, to);
  Entry entry{.name = "tsne.fft_repulsion", .workload = name_of(n)};
  entry.seconds = median_seconds(device.stream(), 1.0, [&] {
    grid.repel(backend, points.data(), forces.data(), partition.data());
  });
  results.add(entry);
}

// From the distances of kNeighbors to the graph: the kernels, one after another.
void measure_affinities(const Context& context, std::int64_t n, Results& results) {
  constexpr std::int64_t kNeighbors = 90;
  const std::int64_t size = n * kNeighbors;
  CudaDevice& device = *context.cuda();
  const CudaBackend backend{device, context.threads(), context.n_threads()};
  const auto indices = to_device(device, columns_of(n, kNeighbors));
  std::vector<double> distances(static_cast<std::size_t>(size));
  for (std::size_t e = 0; e < distances.size(); ++e) {
    const auto j = static_cast<double>(e % kNeighbors);
    distances[e] = 1.0 + 0.02 * j + 1e-6 * static_cast<double>(e / kNeighbors % 1000);
  }
  const auto squares = to_device(device, distances);
  const auto entropies = to_device(device, std::vector<double>{std::log(30.0)});
  const DeviceArray<float> conditional(device, size, "bench"), values(device, 2 * size, "bench");
  const DeviceArray<affinities::RowCounts> row_counts(device, 1, "bench");
  const DeviceArray<affinities::EdgeKey> keys(device, 2 * size, "bench");
  const DeviceArray<std::int32_t> counts(device, n, "bench"), columns(device, 2 * size, "bench");
  const DeviceArray<std::int32_t> long_rows(device, n + 1, "bench");
  const DeviceArray<std::int64_t> incoming(device, n + 1, "bench"), starts(device, n + 1, "bench");
  const DeviceArray<std::int64_t> scratch(device, prefix_scratch(n), "bench");
  const affinities::EdgeSlots slots = {keys.data(), incoming.data(), n, kNeighbors};
  Entry entry{.name = "tsne.affinities", .workload = name_of(n) + ", 90 neighbours"};
  entry.seconds = median_seconds(device.stream(), 1.0, [&] {
    affinities::conditional(backend, {squares.data(), n, kNeighbors}, {entropies.data(), 1},
                            conditional.data(), nullptr, row_counts.data());
    affinities::count_incoming(backend, indices.data(), size, n, counts.data());
    exclusive_sums(backend, counts.data(), n, incoming.data(), scratch.data());
    affinities::scatter_edges(backend, indices.data(), conditional.data(), slots, counts.data());
    affinities::sort_edges(backend, slots, counts.data(), long_rows.data());
    exclusive_sums(backend, counts.data(), n, starts.data(), scratch.data());
    affinities::merge_edges(backend, slots, starts.data(), columns.data(), values.data());
  });
  results.add(entry);
}

// Of the engine, as fit() runs it between two looks at the objective, which it waits for.
void measure_iteration(const Context& context, std::int64_t n, tsne::Repulsion repulsion,
                       Results& results) {
  using Clock = std::chrono::steady_clock;
  const CudaBackend backend{*context.cuda(), context.threads(), context.n_threads()};
  const tsne::Prepared prepared = graph_of(backend.device, n);
  tsne::CudaEngine engine(backend, prepared, tsne::at_rest(points_of(n)), repulsion);
  std::vector<double> norms(50), seconds;
  for (int i = 0; i < 6; ++i) {
    const auto start = Clock::now();
    engine.advance({1.0, 200.0, 0.8}, norms);
    const std::chrono::duration<double> taken = Clock::now() - start;
    if (i > 0) seconds.push_back(taken.count() / static_cast<double>(norms.size()));
  }
  std::nth_element(seconds.begin(), seconds.begin() + 2, seconds.end());
  Entry entry{.name = "tsne.iteration", .workload = name_of(n) + ", " + tsne::name(repulsion)};
  entry.seconds = seconds[2];
  results.add(entry);
}

// From rows in host memory to their embedding, as wide as pictures of 28 x 28 pixels: neighbours,
// affinities, a start of principal components and 1000 iterations.
void measure_fit(const Context& context, std::int64_t n, Results& results) {
  constexpr std::int64_t kFeatures = 784, kGroups = 10;
  Matrix<float> rows(n, kFeatures);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < kFeatures; j += 2) {
      const auto draw = [&](std::uint64_t seed, std::int64_t row) {
        return random::normals(seed, random::Stream::positions, static_cast<std::uint64_t>(row),
                               static_cast<std::uint32_t>(j));
      };
      const auto own = draw(8, i), centre = draw(9, i % kGroups);
      for (int k = 0; k < 2; ++k) rows(i, j + k) = static_cast<float>(own[k] + centre[k]);
    }
  }
  const auto fit = tsne::fit(context, rows.view(), {.seed = 1});
  Entry entry{.name = "tsne.fit", .workload = name_of(n) + " x 784"};
  entry.seconds = fit.seconds.total;
  results.add(entry);
}

void measure_all(const Arguments& arguments) {
  require_device();
  Results results(arguments.floors, arguments.json);
  const Context context({.device = "cuda"});
  const ActiveDevice active(*context.cuda());
  const auto wanted = [&](const char* step, std::int64_t n) {
    return (std::string(step) + " " + name_of(n)).find(arguments.filter) != std::string::npos;
  };
  for (const std::int64_t n : {10'000, 60'000}) {
    if (wanted("tsne.affinities", n)) measure_affinities(context, n, results);
    if (wanted("tsne.exact_repulsion", n)) measure_repulsion(context, n, results);
    if (wanted("tsne.fft_repulsion", n)) measure_grid(context, n, results);
    for (const tsne::Repulsion repulsion : {tsne::Repulsion::exact, tsne::Repulsion::fft}) {
      if (wanted("tsne.iteration", n)) measure_iteration(context, n, repulsion, results);
    }
  }
  if (wanted("tsne.attraction", 60'000)) measure_attraction(context, 60'000, results);
  if (arguments.quick) return;
  if (wanted("tsne.fit", 60'000)) measure_fit(context, 60'000, results);
  if (wanted("tsne.attraction", 1'000'000)) measure_attraction(context, 1'000'000, results);
  if (wanted("tsne.affinities", 1'000'000)) measure_affinities(context, 1'000'000, results);
  if (wanted("tsne.fft_repulsion", 1'000'000)) measure_grid(context, 1'000'000, results);
  if (wanted("tsne.iteration", 1'000'000)) {
    measure_iteration(context, 1'000'000, tsne::Repulsion::fft, results);
  }
}

}  // namespace
}  // namespace culatent::bench

int main(int argc, char** argv) {
  return culatent::bench::run("tsne_cuda_bench", argc, argv, culatent::bench::measure_all);
}
