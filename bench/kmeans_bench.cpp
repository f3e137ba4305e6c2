#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "bench/machine.hpp"
#include "culatent/kmeans.hpp"
#include "host/kmeans_method.hpp"
#include "host/random.hpp"
#include "kernels/kmeans.hpp"

/// The steps of k-means and the starts of its fits, on all processors.
namespace culatent {
namespace {

const Context& context() {
  static const Context instance;
  return instance;
}

struct Shape {
  std::int64_t n, d, k;
};

Shape shape_of(const benchmark::State& state) {
  return {state.range(0), state.range(1), state.range(2)};
}

double uniform(std::int64_t at) {
  return random::uniform(1, random::Stream::seed_choice, static_cast<std::uint64_t>(at), 0);
}

// Rows about K overlapping centres; row k is centre k, about.
template <class T>
const Matrix<T>& rows_of(Shape s) {
  static std::map<std::tuple<std::int64_t, std::int64_t, std::int64_t>, Matrix<T>> made;
  Matrix<T>& rows = made[{s.n, s.d, s.k}];
  if (rows.rows() > 0) return rows;
  rows = Matrix<T>(s.n, s.d);
  context().threads().parallel_for(s.n, context().n_threads(), [&](std::int64_t i, int) {
    for (std::int64_t j = 0; j < s.d; ++j) {
      const double centre = 2.0 * uniform(i % s.k * s.d + j);
      rows(i, j) = static_cast<T>(centre + uniform((i + s.k) * s.d + j));
    }
  });
  return rows;
}

// What a pass works on.
template <class T>
struct Problem {
  explicit Problem(Shape s)
      : source(rows_of<T>(s).view()),
        backend{context().threads(), context().n_threads()},
        coordinates(kmeans::fit_coordinates(scan<T>(context(), backend, source, {}, {}),
                                            kmeans::Metric::euclidean)),
        fixed(kmeans::fixed_point<T>(coordinates, s.n, false)),
        assignment(backend, s.k, s.d, true, &fixed) {
    Matrix<double> first(s.k, s.d);
    for (std::int64_t k = 0; k < s.k; ++k) {
      for (std::int64_t j = 0; j < s.d; ++j) {
        first(k, j) = static_cast<double>(rows_of<T>(s)(k, j));
      }
    }
    centroids = kmeans::to_coordinates<T>(first, coordinates);
    assignment.set_centroids(coordinates, centroids);
  }
  RowChunk<T> chunk() const { return {source, 0, source.rows(), {}}; }

  MatrixRows<T> source;
  CpuBackend backend;
  kmeans::Coordinates coordinates;
  FixedPoint fixed;
  kmeans::CpuAssignment<T> assignment;
  Matrix<T> centroids;
};

// Labels, moves, sums and inertia: an iteration of Lloyd but for the update of K centroids.
template <class T>
void lloyd_pass_cpu(benchmark::State& state) {
  const Shape s = shape_of(state);
  Problem<T> p(s);
  kmeans::Labels labels(s.n, s.k);
  kmeans::Statistics statistics(p.fixed, s.k);
  const double nd = static_cast<double>(s.n * s.d);
  const Cost cost{nd * (2.0 * static_cast<double>(s.k) + 5.0), nd * sizeof(T)};
  bench::measure<T>(state, context().threads(), static_cast<double>(s.n), cost, [&] {
    statistics.clear();
    kmeans::assign(p.backend, p.assignment, p.chunk(), p.coordinates, p.fixed, &labels, statistics);
  });
  state.counters["%refined"] =
      100.0 * static_cast<double>(statistics.n_refined) / static_cast<double>(s.n);
}

// What greedy k-means++ does for every seed: one candidate taken in, several tried out.
template <class T>
void seeding_step_cpu(benchmark::State& state) {
  const Shape s = shape_of(state);
  Problem<T> p(s);
  const auto n_trials = 2 + static_cast<std::int64_t>(std::log(static_cast<double>(s.k)));
  Matrix<T> trials(n_trials, s.d), one(1, s.d);
  std::copy_n(p.centroids.data(), trials.size(), trials.data());
  std::copy_n(p.centroids.data(), one.size(), one.data());
  std::vector<T> least(static_cast<std::size_t>(s.n), T{1});
  std::vector<double> potentials(static_cast<std::size_t>((s.n + kBlockRows - 1) / kBlockRows));
  ExactSums sums(n_trials);
  const double nd = static_cast<double>(s.n * s.d);
  const Cost cost{3.0 * nd * static_cast<double>(n_trials + 1), 2.0 * nd * sizeof(T)};
  bench::measure<T>(state, context().threads(), static_cast<double>(s.n), cost, [&] {
    kmeans::lower_distances<T>(p.backend, p.assignment, p.chunk(), p.coordinates, one, least,
                               potentials);
    kmeans::try_candidates<T>(p.backend, p.assignment, p.chunk(), p.coordinates, trials, least,
                              sums);
  });
}

// Scan, seeds and one pass. flops: those of the differences.
template <class T, kmeans::Init kInit>
void start_cpu(benchmark::State& state) {
  const Shape s = shape_of(state);
  const Matrix<T>& rows = rows_of<T>(s);
  const kmeans::Options options{
      .n_clusters = static_cast<int>(s.k), .init = kInit, .max_iter = 0, .seed = 1};
  const double nd = static_cast<double>(s.n * s.d), k = static_cast<double>(s.k);
  // k-means||: 5 rounds of 2 K, and the nearest of those 10 K; k-means++: one and its trials, K
  // times.
  const bool parallel = kInit == kmeans::Init::kmeans_parallel;
  const double per_value =
      parallel ? 3.0 * 10.0 * k + 2.0 * 10.0 * k : 3.0 * k * (3.0 + std::floor(std::log(k)));
  const Cost cost{nd * (per_value + 2.0 * k), nd * sizeof(T)};
  bench::measure<T>(state, context().threads(), static_cast<double>(s.n), cost, [&] {
    benchmark::DoNotOptimize(kmeans::fit<T>(context(), rows.view(), options));
  });
}

void sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"n", "d", "k"})->Args({200000, 64, 256})->Args({1000000, 16, 64});
  b->Unit(benchmark::kMillisecond)->UseRealTime();
}

void start_sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"n", "d", "k"})->Args({200000, 64, 256})->Args({200000, 64, 1000});
  b->Unit(benchmark::kMillisecond)->UseRealTime();
}

BENCHMARK(lloyd_pass_cpu<float>)->Apply(sizes);
BENCHMARK(lloyd_pass_cpu<double>)->Apply(sizes);
BENCHMARK(seeding_step_cpu<float>)->Apply(sizes);
BENCHMARK(seeding_step_cpu<double>)->Apply(sizes);
BENCHMARK(start_cpu<float, kmeans::Init::kmeans_plus>)->Apply(start_sizes);
BENCHMARK(start_cpu<float, kmeans::Init::kmeans_parallel>)->Apply(start_sizes);

}  // namespace
}  // namespace culatent
