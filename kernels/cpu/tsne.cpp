#include "kernels/tsne.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/dimensions.hpp"

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

template <int Q>
void attract_rows(const AffinityRows& p, const float* points, std::int64_t begin, std::int64_t end,
                  float* forces) {
  constexpr int kLanes =
      8;  // edges at a time: independent sums, and no dependence of one on another
  for (std::int64_t i = begin; i < end; ++i) {
    const auto first = p.starts[static_cast<std::size_t>(i)];
    const auto last = p.starts[static_cast<std::size_t>(i + 1)];
    const std::int32_t* columns = p.columns.data();
    const float* values = p.values.data();
    float sum[Q][kLanes] = {};
    std::int64_t e = first;
    for (; e + kLanes <= last; e += kLanes) {
      float delta[Q][kLanes], weight[kLanes];
      for (int lane = 0; lane < kLanes; ++lane) {
        const float* other = points + std::int64_t{columns[e + lane]} * Q;
        for (int k = 0; k < Q; ++k) delta[k][lane] = points[i * Q + k] - other[k];
      }
      for (int lane = 0; lane < kLanes; ++lane) {
        float square = 1.0f;
        for (int k = 0; k < Q; ++k) square += delta[k][lane] * delta[k][lane];
        weight[lane] = values[e + lane] / square;
      }
      for (int k = 0; k < Q; ++k) {
        for (int lane = 0; lane < kLanes; ++lane) sum[k][lane] += weight[lane] * delta[k][lane];
      }
    }
    for (int lane = 0; e < last; ++e, ++lane) {
      const float* other = points + std::int64_t{columns[e]} * Q;
      float square = 1.0f;
      for (int k = 0; k < Q; ++k) {
        const float delta = points[i * Q + k] - other[k];
        square += delta * delta;
      }
      const float weight = values[e] / square;
      for (int k = 0; k < Q; ++k) sum[k][lane] += weight * (points[i * Q + k] - other[k]);
    }
    for (int k = 0; k < Q; ++k) {
      float total = 0.0f;
      for (int lane = 0; lane < kLanes; ++lane) total += sum[k][lane];
      forces[i * Q + k] = total;
    }
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
