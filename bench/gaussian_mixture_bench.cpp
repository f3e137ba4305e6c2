#include <benchmark/benchmark.h>

#include <algorithm>
#include <map>
#include <string>
#include <tuple>

#include "bench/machine.hpp"
#include "culatent/gaussian_mixture.hpp"
#include "host/gaussian_mixture.hpp"
#include "host/kmeans.hpp"
#include "host/random.hpp"
#include "kernels/cpu/gaussian_mixture.hpp"

/// Each step of the Gaussian mixture, and the fit that they make up, on all processors.
namespace culatent {
namespace {

namespace gm = gaussian_mixture;

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

// Overlapping planted components, as responsibilities of real data are.
gm::Model planted(gm::Covariance covariance, std::int64_t k, std::int64_t d) {
  gm::Model model;
  model.covariance = covariance;
  model.means = Matrix<double>(k, d);
  model.weights.assign(static_cast<std::size_t>(k), 1.0 / static_cast<double>(k));
  model.covariances.assign(static_cast<std::size_t>(gm::covariance_size(covariance, k, d)), 0.0);
  for (std::int64_t i = 0; i < k * d; ++i) {
    model.means.data()[i] =
        3.0 * random::uniform(1, random::Stream::seed_choice, static_cast<std::uint64_t>(i), 0);
  }
  const std::int64_t block = gm::covariance_size(covariance, 1, d);
  const bool matrices = covariance == gm::Covariance::full || covariance == gm::Covariance::tied;
  for (std::size_t i = 0; i < model.covariances.size(); ++i) {
    const std::int64_t at = static_cast<std::int64_t>(i) % block;
    if (!matrices || at / d == at % d) model.covariances[i] = 1.0;
  }
  return model;
}

template <class T>
const Matrix<T>& rows_of(Shape s) {
  static std::map<std::tuple<std::int64_t, std::int64_t, std::int64_t>, Matrix<T>> made;
  Matrix<T>& rows = made[{s.n, s.d, s.k}];
  if (rows.rows() == 0) {
    rows = Matrix<T>(s.n, s.d);
    gm::sample<T>(context(), planted(gm::Covariance::diagonal, s.k, s.d), 7, 0, rows.view());
  }
  return rows;
}

// One E+M pass at the planted parameters.
template <class T, gm::Covariance kCovariance>
void expectation_maximisation_cpu(benchmark::State& state) {
  const Shape s = shape_of(state);
  const MatrixRows<T> rows(rows_of<T>(s).view());
  const CpuBackend backend{context().threads(), context().n_threads()};
  const gm::Model model = planted(kCovariance, s.k, s.d);
  const Frame frame = gm::model_frame<T>(model);
  std::vector<std::int64_t> failed;
  const auto parameters = gm::prepare<T>(backend, model, frame, false, failed);
  gm::CpuWorkspace<T> workspace(backend, kCovariance, s.k, s.d, true);
  ExactSums sums(workspace.layout.size);
  const RowChunk<T> chunk{rows, 0, s.n, {}};
  const Cost cost = gm::expectation_maximisation_cost(kCovariance, double(s.n), double(s.k),
                                                      double(s.d), sizeof(T));
  bench::measure<T>(state, context().threads(), double(s.n), cost, [&] {
    sums.clear();
    gm::expectation_maximisation(backend, workspace, chunk, frame, parameters, false, sums);
  });
}

// log p of every row.
template <class T, gm::Covariance kCovariance>
void score_cpu(benchmark::State& state) {
  const Shape s = shape_of(state);
  const Matrix<T>& rows = rows_of<T>(s);
  const gm::Model model = planted(kCovariance, s.k, s.d);
  Cost cost = gm::expectation_maximisation_cost(kCovariance, double(s.n), double(s.k), double(s.d),
                                                sizeof(T));
  cost.flops /= 2.0;
  cost.bytes *= 2.0;  // once for the check of the values
  bench::measure<T>(state, context().threads(), double(s.n), cost,
                    [&] { benchmark::DoNotOptimize(gm::score<T>(context(), model, rows.view())); });
}

// The M-step on the sums and the factors for the next pass: what does not scale with the rows.
template <class T, gm::Covariance kCovariance>
void update_cpu(benchmark::State& state) {
  const Shape s{0, state.range(0), state.range(1)};
  const CpuBackend backend{context().threads(), context().n_threads()};
  const gm::Model model = planted(kCovariance, s.k, s.d);
  const Frame frame = gm::model_frame<T>(model);
  std::vector<std::int64_t> failed;
  for (auto _ : state) {
    benchmark::DoNotOptimize(gm::prepare<T>(backend, model, frame, false, failed));
  }
}

// One assignment pass of the k-means that a fit starts from.
template <class T>
void kmeans_assign_cpu(benchmark::State& state) {
  const Shape s = shape_of(state);
  const MatrixRows<T> rows(rows_of<T>(s).view());
  const CpuBackend backend{context().threads(), context().n_threads()};
  const gm::Model model = planted(gm::Covariance::diagonal, s.k, s.d);
  const Frame frame{std::vector<double>(static_cast<std::size_t>(s.d), 0.0),
                    std::vector<double>(static_cast<std::size_t>(s.d), 1.0)};
  Matrix<T> centroids(s.k, s.d);
  std::copy(model.means.data(), model.means.data() + model.means.size(), centroids.data());
  const std::vector<T> metric(static_cast<std::size_t>(s.d), T{1});
  std::vector<kmeans::CpuScratch<T>> workspace;
  for (int worker = 0; worker < backend.n_workers; ++worker) workspace.emplace_back(s.k, s.d, true);
  ExactSums sums(kmeans::Layout(s.k, s.d).size);
  const RowChunk<T> chunk{rows, 0, s.n, {}};
  const Cost cost{4.0 * double(s.n * s.k * s.d), double(s.n * s.d) * sizeof(T)};
  bench::measure<T>(state, context().threads(), double(s.n), cost, [&] {
    sums.clear();
    kmeans::Farthest farthest;
    kmeans::assign<T>(backend, workspace, chunk, frame, metric, centroids, sums, farthest);
  });
}

// A whole fit: scan, start from the planted means, ten updates.
template <class T, gm::Covariance kCovariance>
void fit_cpu(benchmark::State& state) {
  constexpr int kUpdates = 10;
  const Shape s = shape_of(state);
  const Matrix<T>& rows = rows_of<T>(s);
  gm::Options options{.n_components = static_cast<int>(s.k),
                      .covariance = kCovariance,
                      .max_iter = kUpdates,
                      .tol = 0.0,
                      .seed = 1};
  options.start.means = planted(kCovariance, s.k, s.d).means;
  Cost cost = gm::expectation_maximisation_cost(kCovariance, double(s.n), double(s.k), double(s.d),
                                                sizeof(T));
  cost.flops *= kUpdates + 1;
  cost.bytes *= kUpdates + 3;  // and the scan and the first M-step
  bench::measure<T>(state, context().threads(), double(s.n), cost,
                    [&] { benchmark::DoNotOptimize(gm::fit<T>(context(), rows.view(), options)); });
  state.counters["s/iter"] =
      benchmark::Counter(kUpdates * static_cast<double>(state.iterations()),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"n", "d", "k"})->Args({200000, 16, 16})->Args({100000, 64, 32});
  b->Unit(benchmark::kMillisecond)->UseRealTime();
}

void small_sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"d", "k"})->Args({16, 16})->Args({64, 32})->Args({256, 16});
  b->Unit(benchmark::kMillisecond)->UseRealTime();
}

#define CULATENT_BENCH_TYPE(step, covariance, arguments)                \
  BENCHMARK(step<float, gm::Covariance::covariance>)->Apply(arguments); \
  BENCHMARK(step<double, gm::Covariance::covariance>)->Apply(arguments);
#define CULATENT_BENCH(step, arguments)          \
  CULATENT_BENCH_TYPE(step, full, arguments)     \
  CULATENT_BENCH_TYPE(step, tied, arguments)     \
  CULATENT_BENCH_TYPE(step, diagonal, arguments) \
  CULATENT_BENCH_TYPE(step, spherical, arguments)

CULATENT_BENCH(expectation_maximisation_cpu, sizes)
CULATENT_BENCH(score_cpu, sizes)
CULATENT_BENCH(fit_cpu, sizes)
CULATENT_BENCH_TYPE(update_cpu, full, small_sizes)
BENCHMARK(kmeans_assign_cpu<float>)->Apply(sizes);
BENCHMARK(kmeans_assign_cpu<double>)->Apply(sizes);

}  // namespace
}  // namespace culatent
