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

std::int64_t n_blocks(std::int64_t n) { return (n + kRows - 1) / kRows; }

// body(block, first, last) of every block of rows.
template <class Body>
void for_blocks(const CpuBackend& backend, std::int64_t n, Body&& body) {
  backend.threads.parallel_for(n_blocks(n), backend.n_workers, [&](std::int64_t block, int) {
    body(block, block * kRows, std::min(n, (block + 1) * kRows));
  });
}

// sum(first, last) over blocks of rows, added up in order.
template <class Sum>
double sum_blocks(const CpuBackend& backend, std::int64_t n, Sum&& sum) {
  std::vector<double> partials(static_cast<std::size_t>(n_blocks(n)));
  for_blocks(backend, n, [&](std::int64_t block, std::int64_t begin, std::int64_t end) {
    partials[static_cast<std::size_t>(block)] = sum(begin, end);
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
  for_blocks(backend, points.rows, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
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

std::int64_t move_sums(std::int64_t n_points, std::int64_t n_dimensions) {
  return n_blocks(n_points) * (1 + n_dimensions);
}

double move(const CpuBackend& backend, const Move& move, MatrixView<const float> attraction,
            MatrixView<const float> repulsion, MatrixView<float> points, MatrixView<float> velocity,
            MatrixView<float> gains, std::span<double> scratch) {
  const auto exaggeration = static_cast<float>(4.0 * move.exaggeration);
  const auto share = static_cast<float>(4.0 / move.partition);
  const auto rate = static_cast<float>(move.learning_rate);
  const auto momentum = static_cast<float>(move.momentum);
  const std::int64_t n = points.rows, q = points.cols;
  // Of every block the gradient's square, then the sum of each coordinate.
  const MatrixView<double> sums(scratch.data(), n_blocks(n), 1 + q);
  for_blocks(backend, n, [&](std::int64_t block, std::int64_t begin, std::int64_t end) {
    std::fill_n(sums.row(block), sums.cols, 0.0);
    for (std::int64_t i = begin; i < end; ++i) {
      for (std::int64_t k = 0; k < q; ++k) {
        const float gradient = exaggeration * attraction(i, k) - share * repulsion(i, k);
        sums(block, 0) += static_cast<double>(gradient) * static_cast<double>(gradient);
        take_step(gradient, rate, momentum, gains(i, k), velocity(i, k));
        points(i, k) += velocity(i, k);
        sums(block, 1 + k) += static_cast<double>(points(i, k));
      }
    }
  });
  double totals[4] = {};
  for (std::int64_t block = 0; block < sums.rows; ++block) {
    for (std::int64_t k = 0; k < sums.cols; ++k) totals[k] += sums(block, k);
  }
  for_blocks(backend, n, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = 0; k < q; ++k) {
      const auto mean = static_cast<float>(totals[1 + k] / static_cast<double>(n));
      for (std::int64_t i = begin; i < end; ++i) points(i, k) -= mean;
    }
  });
  return totals[0];
}

}  // namespace culatent::tsne
