#include <benchmark/benchmark.h>

#include <cmath>
#include <functional>

#include "bench/machine.hpp"
#include "culatent/context.hpp"
#include "host/affinities.hpp"
#include "host/random.hpp"
#include "host/tsne.hpp"
#include "kernels/tsne.hpp"

/// The steps of t-SNE, on all processors.
namespace culatent::tsne {
namespace {

const Context& context() {
  static const Context instance;
  return instance;
}

CpuBackend backend() { return {context().threads(), context().n_threads()}; }

double normal(std::int64_t at, std::uint32_t column) {
  return random::normals(1, random::Stream::positions, static_cast<std::uint64_t>(at), column)[0];
}

// Normal points in a disc of about `span`.
Matrix<float> points_of(std::int64_t n, std::int64_t q, double span) {
  Matrix<float> points(n, q);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t k = 0; k < q; ++k) {
      points(i, k) = static_cast<float>(span / 8.0 * normal(i, static_cast<std::uint32_t>(k)));
    }
  }
  return points;
}

void report(benchmark::State& state, const Cost& cost, const std::function<void()>& work) {
  bench::measure<float>(state, context().threads(), static_cast<double>(state.range(0)), cost,
                        work);
}

void exact_repulsion_cpu(benchmark::State& state) {
  const std::int64_t n = state.range(0), q = state.range(1);
  const Matrix<float> points = points_of(n, q, 80.0);
  Matrix<float> forces(n, q);
  ExactRepulsion exact(n, static_cast<int>(q));
  const double pairs = 0.5 * static_cast<double>(n) * static_cast<double>(n);
  const Cost cost{pairs * (9.0 * static_cast<double>(q) + 5.0), 8.0 * static_cast<double>(n * q)};
  report(state, cost,
         [&] { benchmark::DoNotOptimize(exact.repel(backend(), points.view(), forces.view())); });
}

void grid_repulsion_cpu(benchmark::State& state) {
  const std::int64_t n = state.range(0);
  const auto span = static_cast<double>(state.range(1));
  const Matrix<float> points = points_of(n, 2, span);
  Matrix<float> forces(n, 2);
  GridRepulsion grid(n, 2, choose_most_nodes(n), context().n_threads());
  grid.repel(backend(), points.view(), forces.view());  // the grid and its spectrum
  const double size =
      static_cast<double>(grid.grid().size[0]) * static_cast<double>(grid.grid().size[1]);
  const double spline = 4.0 * kOrder * kOrder + 200.0;
  const Cost cost{7.5 * size * std::log2(size) + 2.0 * spline * static_cast<double>(n),
                  16.0 * static_cast<double>(n)};
  report(state, cost,
         [&] { benchmark::DoNotOptimize(grid.repel(backend(), points.view(), forces.view())); });
  state.counters["grid"] = std::sqrt(size);
}

// Rows with k neighbours each, anywhere: the gathers of a large embedding.
void attraction_cpu(benchmark::State& state) {
  const std::int64_t n = state.range(0), k = state.range(1);
  Matrix<std::int32_t> indices(n, k);
  Matrix<float> p(n, k);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < k; ++j) {
      // Distinct, and never the row itself.
      indices(i, j) = static_cast<std::int32_t>((i + 1 + j * (n / k) + i * 7919 % (n / k)) % n);
      p(i, j) = 1.0f / static_cast<float>(k);
    }
  }
  const affinities::Graph graph = affinities::symmetric(backend(), indices.view(), p.view());
  const Matrix<float> points = points_of(n, 2, 80.0);
  Matrix<float> forces(n, 2);
  const auto edges = static_cast<double>(graph.size());
  report(state, {14.0 * edges, 8.0 * edges}, [&] {
    attract(backend(), {graph.starts, graph.columns, graph.values}, points.view(), forces.view());
  });
}

void bandwidths_cpu(benchmark::State& state) {
  const std::int64_t n = state.range(0), k = state.range(1);
  Matrix<double> squares(n, k);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < k; ++j) {
      squares(i, j) = 1.0 + 0.02 * static_cast<double>(j) + 1e-3 * std::abs(normal(i, 0));
    }
  }
  Matrix<float> p(n, k);
  // About six steps of Newton, an exponential and ten operations a neighbour each.
  report(state, {6.0 * 30.0 * static_cast<double>(n * k), 12.0 * static_cast<double>(n * k)}, [&] {
    affinities::conditional(backend(), squares.view(), {{static_cast<double>(k) / 3.0}, {}},
                            p.view());
  });
}

BENCHMARK(exact_repulsion_cpu)
    ->ArgNames({"n", "q"})
    ->ArgsProduct({{2000, 20000}, {1, 2, 3}})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK(grid_repulsion_cpu)
    ->ArgNames({"n", "span"})
    ->Args({2000, 100})
    ->Args({10000, 100})
    ->Args({70000, 200})
    ->Args({1000000, 300})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK(attraction_cpu)
    ->ArgNames({"n", "k"})
    ->Args({70000, 90})
    ->Args({1000000, 30})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK(bandwidths_cpu)
    ->ArgNames({"n", "k"})
    ->Args({70000, 90})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace culatent::tsne
