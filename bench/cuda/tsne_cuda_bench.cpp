#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/cuda/results.hpp"
#include "bench/cuda/timing.hpp"
#include "host/random.hpp"
#include "host/tsne_cuda.hpp"

/// tsne_cuda_bench [--quick] [--json FILE] [--only TEXT]: the steps of a descent of t-SNE in the
/// plane, and iterations of the engine that fit() runs.
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

// kAffinities columns a row, anywhere: neighbours in the data have any index.
tsne::Prepared graph_of(std::int64_t n) {
  tsne::Prepared prepared;
  prepared.graph.starts.resize(static_cast<std::size_t>(n + 1));
  prepared.graph.columns.resize(static_cast<std::size_t>(n * kAffinities));
  prepared.graph.values.assign(static_cast<std::size_t>(n * kAffinities),
                               1.0f / static_cast<float>(n * kAffinities));
  std::uint64_t state = 1;
  for (std::int64_t i = 0; i <= n; ++i) {
    prepared.graph.starts[static_cast<std::size_t>(i)] = i * kAffinities;
  }
  for (std::int32_t& column : prepared.graph.columns) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    column = static_cast<std::int32_t>((state >> 33) % static_cast<std::uint64_t>(n));
  }
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
  const tsne::Prepared prepared = graph_of(n);
  const Matrix<float> host = points_of(n);
  const std::int64_t size = prepared.graph.size();
  DeviceArray<float> points(device, 2 * n, "points"), forces(device, 2 * n, "forces");
  DeviceArray<float> values(device, size, "affinities");
  DeviceArray<std::int32_t> columns(device, size, "affinities");
  DeviceArray<std::int64_t> starts(device, n + 1, "affinities");
  points.upload(host.data(), host.size());
  values.upload(prepared.graph.values.data(), size);
  columns.upload(prepared.graph.columns.data(), size);
  starts.upload(prepared.graph.starts.data(), n + 1);
  const tsne::DeviceAffinities p = {starts.data(), columns.data(), values.data(), n, size};
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

// Of the engine, as fit() runs it between two looks at the objective, which it waits for.
void measure_iteration(const Context& context, std::int64_t n, tsne::Repulsion repulsion,
                       Results& results) {
  using Clock = std::chrono::steady_clock;
  const CudaBackend backend{*context.cuda(), context.threads(), context.n_threads()};
  const tsne::Prepared prepared = graph_of(n);
  tsne::CudaEngine engine(backend, prepared, points_of(n), repulsion);
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

void measure_all(const Arguments& arguments) {
  require_device();
  Results results(arguments.floors, arguments.json);
  const Context context({.device = "cuda"});
  const ActiveDevice active(*context.cuda());
  const auto wanted = [&](const char* step, std::int64_t n) {
    return (std::string(step) + " " + name_of(n)).find(arguments.filter) != std::string::npos;
  };
  for (const std::int64_t n : {10'000, 60'000}) {
    if (wanted("tsne.exact_repulsion", n)) measure_repulsion(context, n, results);
    if (wanted("tsne.fft_repulsion", n)) measure_grid(context, n, results);
    for (const tsne::Repulsion repulsion : {tsne::Repulsion::exact, tsne::Repulsion::fft}) {
      if (wanted("tsne.iteration", n)) measure_iteration(context, n, repulsion, results);
    }
  }
  if (wanted("tsne.attraction", 60'000)) measure_attraction(context, 60'000, results);
  if (arguments.quick) return;
  if (wanted("tsne.attraction", 1'000'000)) measure_attraction(context, 1'000'000, results);
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
