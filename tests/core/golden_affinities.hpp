#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "culatent/matrix.hpp"
#include "host/affinities.hpp"
#include "tests/core/golden.hpp"

/// What backends find of affinities, against scipy's of all pairs.
namespace culatent::golden {

/// Of n rows with k neighbours each: `beta` [n], `indices` and `conditional` [n, k], and the graph
/// made of them.
inline void expect_affinities(const Case& golden, const std::vector<double>& beta,
                              std::span<const std::int32_t> indices,
                              std::span<const float> conditional, const affinities::Graph& graph) {
  const std::int64_t n = graph.n_rows();
  const std::size_t k = indices.size() / static_cast<std::size_t>(n);
  // Those rows of a matrix that the case has.
  const auto rows_of = [&](const Matrix<double>& all) {
    std::vector<double> out;
    for (const double row : golden.input_values("idx_")) {
      const double* values = all.view().row(static_cast<std::int64_t>(row));
      out.insert(out.end(), values, values + all.cols());
    }
    return out;
  };
  expect_near(golden, "beta", beta, true);
  std::vector<double> sigma;
  for (const double value : beta) sigma.push_back(std::sqrt(0.5 / value));
  expect_near(golden, "sigma", sigma, true);
  Matrix<double> of_rows(n, n), symmetric(n, n);
  for (std::size_t e = 0; e < indices.size(); ++e) {
    of_rows(static_cast<std::int64_t>(e / k), indices[e]) = static_cast<double>(conditional[e]);
  }
  expect_near(golden, "pcond_rows", rows_of(of_rows), true);
  double sum = 0.0, squares = 0.0, largest = 0.0;
  for (std::int64_t i = 0; i < n; ++i) {
    for (auto e = static_cast<std::size_t>(graph.starts[static_cast<std::size_t>(i)]);
         e < static_cast<std::size_t>(graph.starts[static_cast<std::size_t>(i + 1)]); ++e) {
      const auto value = static_cast<double>(graph.values[e]);
      symmetric(i, graph.columns[e]) = value;
      sum += value;
      squares += value * value;
      largest = std::max(largest, value);
    }
  }
  expect_near(golden, "P_rows", rows_of(symmetric), true);
  expect_near(golden, "P_sum", {sum}, true);
  expect_near(golden, "P_sumsq", {squares}, true);
  expect_near(golden, "P_max", {largest}, true);
}

}  // namespace culatent::golden
