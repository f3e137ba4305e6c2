#include "host/affinities.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>

#include "kernels/affinities.hpp"

namespace culatent::affinities {
namespace {

constexpr std::int64_t kRows = 256;  // of a task

template <class Body>
void for_rows(const CpuBackend& backend, std::int64_t n, Body&& body) {
  backend.threads.parallel_for(
      (n + kRows - 1) / kRows, backend.n_workers,
      [&](std::int64_t task, int) { body(task * kRows, std::min(n, (task + 1) * kRows)); });
}

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace

std::int64_t neighbors_of(const std::vector<double>& perplexity, std::int64_t n_rows) {
  const double largest = *std::max_element(perplexity.begin(), perplexity.end());
  const double wanted = std::min(3.0 * largest, static_cast<double>(n_rows - 1));
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(wanted));
}

std::int64_t conditional(const CpuBackend& backend, MatrixView<const double> squares,
                         const Bandwidth& bandwidth, MatrixView<float> conditional,
                         std::vector<double>* beta) {
  const std::int64_t k = squares.cols;
  std::atomic<std::int64_t> n_unreached = 0;
  if (beta != nullptr) beta->resize(index(squares.rows));
  for_rows(backend, squares.rows, [&](std::int64_t begin, std::int64_t end) {
    std::vector<double> p(index(k)), sum(index(k));
    for (std::int64_t i = begin; i < end; ++i) {
      const std::span<const double> row(squares.row(i), index(k));
      if (bandwidth.sigma) {
        affinities_of_beta(row, 0.5 / (*bandwidth.sigma * *bandwidth.sigma), sum);
      } else {
        std::fill(sum.begin(), sum.end(), 0.0);
        bool reached = true;
        for (std::size_t scale = 0; scale < bandwidth.perplexity.size(); ++scale) {
          const RowAffinities found =
              affinities_of_entropy(row, std::log(bandwidth.perplexity[scale]), p);
          if (beta != nullptr && scale == 0) (*beta)[index(i)] = found.beta;
          reached = reached && found.reached;
          for (std::size_t j = 0; j < p.size(); ++j) {
            sum[j] += p[j] / static_cast<double>(bandwidth.perplexity.size());
          }
        }
        if (!reached) ++n_unreached;
      }
      for (std::int64_t j = 0; j < k; ++j) conditional(i, j) = static_cast<float>(sum[index(j)]);
    }
  });
  return n_unreached;
}

Graph symmetric(const CpuBackend& backend, MatrixView<const std::int32_t> indices,
                MatrixView<const float> conditional) {
  const std::int64_t n = indices.rows, k = indices.cols;
  // Every row with its own neighbours and those whose neighbour it is, then merged where both are.
  std::vector<std::int64_t> starts(index(n + 1), 0);
  for (std::int64_t i = 0; i < n; ++i) {
    starts[index(i + 1)] += k;
    for (std::int64_t j = 0; j < k; ++j) ++starts[index(indices(i, j)) + 1];
  }
  std::partial_sum(starts.begin(), starts.end(), starts.begin());
  struct Edge {
    std::int32_t column;
    float value;
  };
  std::vector<Edge> edges(index(starts.back()));
  std::vector<std::int64_t> next(starts.begin(), starts.end() - 1);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < k; ++j) {
      const std::int32_t other = indices(i, j);
      edges[index(next[index(i)]++)] = {other, conditional(i, j)};
      edges[index(next[index(other)]++)] = {static_cast<std::int32_t>(i), conditional(i, j)};
    }
  }
  Graph graph;
  graph.starts.assign(index(n + 1), 0);
  const float share = static_cast<float>(0.5 / static_cast<double>(n));
  for_rows(backend, n, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      Edge* const first = edges.data() + starts[index(i)];
      Edge* const last = edges.data() + starts[index(i + 1)];
      std::sort(first, last, [](const Edge& a, const Edge& b) {
        return a.column != b.column ? a.column < b.column : a.value < b.value;
      });
      Edge* out = first;
      for (Edge* e = first; e < last; ++out) {
        *out = *e++;
        if (e < last && e->column == out->column) out->value += (e++)->value;
        out->value *= share;
      }
      graph.starts[index(i + 1)] = out - first;
    }
  });
  std::partial_sum(graph.starts.begin(), graph.starts.end(), graph.starts.begin());
  graph.columns.resize(index(graph.starts.back()));
  graph.values.resize(index(graph.starts.back()));
  for_rows(backend, n, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const Edge* edge = edges.data() + starts[index(i)];
      for (std::int64_t e = graph.starts[index(i)]; e < graph.starts[index(i + 1)]; ++e, ++edge) {
        graph.columns[index(e)] = edge->column;
        graph.values[index(e)] = edge->value;
      }
    }
  });
  return graph;
}

std::int64_t graph_bytes(std::int64_t n_rows, std::int64_t n_neighbors) {
  return checked_product(checked_product(n_rows, n_neighbors), 2 * (4 + 4)) + 8 * (n_rows + 1);
}

std::int64_t making_bytes(std::int64_t n_rows, std::int64_t n_neighbors) {
  const std::int64_t found = checked_product(checked_product(n_rows, n_neighbors), 4 + 8 + 4);
  const std::int64_t edges = checked_product(checked_product(n_rows, n_neighbors), 2 * 8);
  return found + edges + 2 * 8 * (n_rows + 1) + graph_bytes(n_rows, n_neighbors);
}

}  // namespace culatent::affinities
