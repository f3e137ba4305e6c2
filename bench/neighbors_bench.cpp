#include <benchmark/benchmark.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "bench/machine.hpp"
#include "culatent/neighbors.hpp"
#include "host/random.hpp"

/// Searches for the neighbours of all rows, on all processors.
namespace culatent {
namespace {

const Context& context() {
  static const Context instance;
  return instance;
}

enum class Kind {
  normal,     ///< no structure: nothing but the products helps
  clustered,  ///< about 64 places
  pixels,     ///< as pictures of 64 kinds: 0 to 255, a part of them 0
};

double uniform(std::int64_t at) {
  return random::uniform(1, random::Stream::seed_choice, static_cast<std::uint64_t>(at), 0);
}

const Matrix<float>& rows_of(Kind kind, std::int64_t n, std::int64_t d) {
  static std::map<std::tuple<Kind, std::int64_t, std::int64_t>, Matrix<float>> made;
  Matrix<float>& rows = made[{kind, n, d}];
  if (rows.rows() > 0) return rows;
  rows = Matrix<float>(n, d);
  context().threads().parallel_for(n, context().n_threads(), [&](std::int64_t i, int) {
    for (std::int64_t j = 0; j < d; ++j) {
      const auto at = static_cast<std::uint64_t>(i * d + j);
      const double noise = random::normals(1, random::Stream::sample_normal, at, 0)[0];
      const double place = uniform(i % 64 * d + j);
      double value = noise;
      if (kind == Kind::clustered) value += 8.0 * place;
      if (kind == Kind::pixels) value = std::clamp(80.0 * noise + 200.0 * place - 80.0, 0.0, 255.0);
      rows(i, j) = static_cast<float>(value);
    }
  });
  return rows;
}

template <Kind kind, neighbors::Method method>
void search(benchmark::State& state) {
  const std::int64_t n = state.range(0), d = state.range(1), k = state.range(2);
  const Matrix<float>& rows = rows_of(kind, n, d);
  const neighbors::Options options{.n_neighbors = static_cast<int>(k), .method = method, .seed = 1};
  // Every pair once, by its product. Boxes and lists go below that.
  const double nd = static_cast<double>(n * d);
  const Cost cost{nd * static_cast<double>(n), 4.0 * nd};
  double recall = 1.0;
  bench::measure<float>(state, context().threads(), static_cast<double>(n), cost, [&] {
    recall = neighbors::search(context(), rows.view(), options).recall;
  });
  state.counters["recall"] = recall;
}

void sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"n", "d", "k"})->Unit(benchmark::kMillisecond)->UseRealTime();
}

using neighbors::Method;
BENCHMARK(search<Kind::pixels, Method::exact>)->Apply(sizes)->Args({10000, 784, 90});
BENCHMARK(search<Kind::normal, Method::exact>)
    ->Apply(sizes)
    ->Args({100000, 3, 15})
    ->Args({100000, 16, 15})
    ->Args({50000, 128, 15});
BENCHMARK(search<Kind::clustered, Method::exact>)->Apply(sizes)->Args({100000, 16, 15});
BENCHMARK(search<Kind::clustered, Method::ivf>)
    ->Apply(sizes)
    ->Args({100000, 16, 15})
    ->Args({200000, 32, 15});

}  // namespace
}  // namespace culatent
