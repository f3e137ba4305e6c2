#include "kernels/tsne.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/dimensions.hpp"
#include "kernels/cpu/simd.hpp"

namespace culatent::tsne {
namespace {

using culatent::cpu::for_dimensions;

constexpr std::int64_t kRows = 1024;  // of a task: its sum is added up in the order of tasks

// sum(first, last) over blocks of rows, added up in order.
template <class Sum>
double sum_blocks(const CpuBackend& backend, std::int64_t n, Sum&& sum) {
  std::vector<double> partials(static_cast<std::size_t>((n + kRows - 1) / kRows));
  backend.threads.parallel_for(static_cast<std::int64_t>(partials.size()), backend.n_workers,
                               [&](std::int64_t block, int) {
                                 partials[static_cast<std::size_t>(block)] =
                                     sum(block * kRows, std::min(n, (block + 1) * kRows));
                               });
  double total = 0.0;
  for (const double partial : partials) total += partial;
  return total;
}

// p q (y_i − y_j) of one edge, added to sum.
template <int Q>
void add_edge(const float* own, const float* other, float p, float (&sum)[Q]) {
  float delta[Q], square = 1.0f;
  for (int k = 0; k < Q; ++k) {
    delta[k] = own[k] - other[k];
    square += delta[k] * delta[k];
  }
  for (int k = 0; k < Q; ++k) sum[k] += p / square * delta[k];
}

// Edges of a row in the plane, four at a time: a vector holds x and y of each, so that a neighbour
// is one load of 8 bytes. Returns the edges that are done.
std::int64_t add_fours(const float* points, const float* own, const std::int32_t* columns,
                       const float* values, std::int64_t count, float (&sum)[2]) {
  using S = culatent::cpu::Simd<float>;
  typedef double Pairs __attribute__((vector_size(32), may_alias));
  typedef double Pair __attribute__((may_alias));
  typedef float Four __attribute__((vector_size(16)));
  const auto* pairs = reinterpret_cast<const Pair*>(points);
  const S::Vec here = {own[0], own[1], own[0], own[1], own[0], own[1], own[0], own[1]};
  S::Vec total = {};
  std::int64_t e = 0;
  for (; e + 4 <= count; e += 4) {
    const Pairs others = {pairs[columns[e]], pairs[columns[e + 1]], pairs[columns[e + 2]],
                          pairs[columns[e + 3]]};
    Four four;
    std::memcpy(&four, values + e, sizeof(four));
    const S::Vec p = __builtin_shufflevector(four, four, 0, 0, 1, 1, 2, 2, 3, 3);
    const S::Vec delta = here - reinterpret_cast<const S::Vec&>(others);
    const S::Vec squares = delta * delta;
    const S::Vec square =
        squares + __builtin_shufflevector(squares, squares, 1, 0, 3, 2, 5, 4, 7, 6);
    total += p / (1.0f + square) * delta;
  }
  sum[0] = (total[0] + total[2]) + (total[4] + total[6]);
  sum[1] = (total[1] + total[3]) + (total[5] + total[7]);
  return e;
}

template <int Q>
void attract_rows(const AffinityRows& p, const float* points, std::int64_t begin, std::int64_t end,
                  float* forces) {
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t first = p.starts[static_cast<std::size_t>(i)];
    const std::int64_t count = p.starts[static_cast<std::size_t>(i + 1)] - first;
    const std::int32_t* columns = p.columns.data() + first;
    const float* values = p.values.data() + first;
    const float* own = points + i * Q;
    float sum[Q] = {};
    std::int64_t e = 0;
    if constexpr (Q == 2) e = add_fours(points, own, columns, values, count, sum);
    for (; e < count; ++e) {
      add_edge<Q>(own, points + std::int64_t{columns[e]} * Q, values[e], sum);
    }
    for (int k = 0; k < Q; ++k) forces[i * Q + k] = sum[k];
  }
}

template <int Q>
double energy_of_rows(const AffinityRows& p, const float* points, std::int64_t begin,
                      std::int64_t end) {
  double energy = 0.0;
  for (std::int64_t i = begin; i < end; ++i) {
    const auto first = static_cast<std::size_t>(p.starts[static_cast<std::size_t>(i)]);
    const auto last = static_cast<std::size_t>(p.starts[static_cast<std::size_t>(i + 1)]);
    for (std::size_t e = first; e < last; ++e) {
      const float* other = points + std::int64_t{p.columns[e]} * Q;
      double square = 0.0;
      for (int k = 0; k < Q; ++k) {
        const double delta = static_cast<double>(points[i * Q + k]) - static_cast<double>(other[k]);
        square += delta * delta;
      }
      energy += static_cast<double>(p.values[e]) * std::log1p(square);
    }
  }
  return energy;
}

}  // namespace

void attract(const CpuBackend& backend, const AffinityRows& affinities,
             MatrixView<const float> points, MatrixView<float> forces) {
  const std::int64_t n_tasks = (points.rows + kRows - 1) / kRows;
  backend.threads.parallel_for(n_tasks, backend.n_workers, [&](std::int64_t task, int) {
    const std::int64_t begin = task * kRows, end = std::min(points.rows, begin + kRows);
    for_dimensions(points.cols, [&]<int Q>() {
      attract_rows<Q>(affinities, points.data, begin, end, forces.data);
    });
  });
}

double attraction_energy(const CpuBackend& backend, const AffinityRows& affinities,
                         MatrixView<const float> points) {
  return sum_blocks(backend, points.rows, [&](std::int64_t begin, std::int64_t end) {
    return for_dimensions(points.cols, [&]<int Q>() {
      return energy_of_rows<Q>(affinities, points.data, begin, end);
    });
  });
}

double squared_gradient(const CpuBackend& backend, const Move& move,
                        MatrixView<const float> attraction, MatrixView<const float> repulsion) {
  const double share = 1.0 / move.partition;
  return sum_blocks(backend, attraction.rows, [&](std::int64_t begin, std::int64_t end) {
    double sum = 0.0;
    for (std::int64_t at = begin * attraction.cols; at < end * attraction.cols; ++at) {
      const double gradient = 4.0 * (move.exaggeration * static_cast<double>(attraction.data[at]) -
                                     share * static_cast<double>(repulsion.data[at]));
      sum += gradient * gradient;
    }
    return sum;
  });
}

double move(const CpuBackend& backend, const Move& move, MatrixView<const float> attraction,
            MatrixView<const float> repulsion, MatrixView<float> points, MatrixView<float> velocity,
            MatrixView<float> gains) {
  const auto exaggeration = static_cast<float>(4.0 * move.exaggeration);
  const auto share = static_cast<float>(4.0 / move.partition);
  const auto rate = static_cast<float>(move.learning_rate);
  const auto momentum = static_cast<float>(move.momentum);
  const std::int64_t n = points.rows, q = points.cols;
  const double norm = sum_blocks(backend, n, [&](std::int64_t begin, std::int64_t end) {
    double sum = 0.0;
    for (std::int64_t at = begin * q; at < end * q; ++at) {
      const float gradient = exaggeration * attraction.data[at] - share * repulsion.data[at];
      sum += static_cast<double>(gradient) * static_cast<double>(gradient);
      float& gain = gains.data[at];
      float& step = velocity.data[at];
      gain = std::max(0.01f, gradient * step < 0.0f ? gain + 0.2f : gain * 0.8f);
      step = std::clamp(momentum * step - rate * gain * gradient, -kLongestStep, kLongestStep);
      points.data[at] += step;
    }
    return sum;
  });
  for (std::int64_t k = 0; k < q; ++k) {
    const double sum = sum_blocks(backend, n, [&](std::int64_t begin, std::int64_t end) {
      double part = 0.0;
      for (std::int64_t i = begin; i < end; ++i) part += static_cast<double>(points(i, k));
      return part;
    });
    const auto mean = static_cast<float>(sum / static_cast<double>(n));
    for (std::int64_t i = 0; i < n; ++i) points(i, k) -= mean;
  }
  return norm;
}

}  // namespace culatent::tsne
