#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include "host/parallel.hpp"
#include "kernels/cost.hpp"
#include "kernels/cpu/simd.hpp"

/// What this machine can do at most, measured once a program: the floor that %floor is a share of.
namespace culatent::bench {

inline double seconds_of(const auto& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Multiply-adds in registers on all threads, flop/s, best of several.
template <class T>
double peak_flops(ThreadPool& threads) {
  using S = cpu::Simd<T>;
  constexpr int kChains = 10;
  constexpr int kSteps = 2'000'000;
  double best = 0.0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const double seconds = seconds_of([&] {
      threads.parallel_for(threads.size(), threads.size(), [&](std::int64_t, int) {
        typename S::Vec acc[kChains];
        for (int c = 0; c < kChains; ++c) acc[c] = S::fill(T(c));
        const auto a = S::fill(T(0.999)), b = S::fill(T(1e-3));
        for (int i = 0; i < kSteps; ++i) {
#pragma GCC unroll 10
          for (int c = 0; c < kChains; ++c) acc[c] = acc[c] * a + b;
        }
        for (int c = 0; c < kChains; ++c) benchmark::DoNotOptimize(acc[c]);
      });
    });
    best = std::max(best, 2.0 * S::kLanes * kChains * double(kSteps) * threads.size() / seconds);
  }
  return best;
}

/// Bytes read a second from arrays beyond the caches, all threads, best of several.
inline double peak_bandwidth(ThreadPool& threads) {
  constexpr std::int64_t kElements = std::int64_t{1} << 24;
  std::vector<double> data(static_cast<std::size_t>(kElements), 1.0);
  const std::int64_t share = kElements / threads.size();
  double best = 0.0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const double seconds = seconds_of([&] {
      threads.parallel_for(threads.size(), threads.size(), [&](std::int64_t task, int) {
        using S = cpu::Simd<double>;
        S::Vec sum[4] = {};
        const double* first = data.data() + task * share;
        for (std::int64_t i = 0; i + 16 <= share; i += 16) {
          for (int v = 0; v < 4; ++v) sum[v] += S::load(first + i + 4 * v);
        }
        benchmark::DoNotOptimize(sum);
      });
    });
    best = std::max(best, 8.0 * double(kElements) / seconds);
  }
  return best;
}

/// Runs `step` for every iteration and reports rows/s, flop/s, B/s and %floor: the least time that
/// `cost` can take here over the time it took.
template <class T>
void measure(benchmark::State& state, ThreadPool& threads, double n_rows, Cost cost,
             const auto& step) {
  static const double flops = peak_flops<T>(threads);
  static const double bandwidth = peak_bandwidth(threads);
  const double seconds = seconds_of([&] {
    for (auto _ : state) step();
  });
  const double runs = static_cast<double>(state.iterations());
  const double floor = std::max(cost.flops / flops, cost.bytes / bandwidth);
  state.counters["rows/s"] = benchmark::Counter(n_rows * runs, benchmark::Counter::kIsRate);
  state.counters["flop/s"] = benchmark::Counter(cost.flops * runs, benchmark::Counter::kIsRate);
  state.counters["B/s"] = benchmark::Counter(cost.bytes * runs, benchmark::Counter::kIsRate);
  state.counters["%floor"] = 100.0 * floor * runs / seconds;
}

}  // namespace culatent::bench
