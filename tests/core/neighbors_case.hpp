#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "culatent/neighbors.hpp"
#include "tests/core/oracle.hpp"

/// Rows whose neighbours are known by looking at all pairs in long double.
namespace culatent::neighbors_case {

using oracle::at;
using oracle::Real;

inline Matrix<float> normal_rows(std::int64_t n, std::int64_t d, std::uint64_t seed,
                                 double scale = 1.0, double offset = 0.0) {
  oracle::Draws draws(seed);
  Matrix<float> rows(n, d);
  for (std::int64_t i = 0; i < rows.size(); ++i) {
    rows.data()[i] = static_cast<float>(scale * draws.normal() + offset);
  }
  return rows;
}

/// Rows about k places that are far from each other, row i about place i mod k.
inline Matrix<float> clusters(std::int64_t n, std::int64_t d, std::int64_t k, std::uint64_t seed) {
  oracle::Draws draws(seed);
  Matrix<float> places(k, d), rows(n, d);
  for (std::int64_t i = 0; i < places.size(); ++i) {
    places.data()[i] = static_cast<float>(draws.uniform(-20.0, 20.0));
  }
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < d; ++j) {
      rows(i, j) = places(i % k, j) + static_cast<float>(draws.normal());
    }
  }
  return rows;
}

/// Points of a grid: many distances are equal, and exact.
inline Matrix<float> grid_rows(std::int64_t n, std::int64_t d, int side, std::uint64_t seed) {
  oracle::Draws draws(seed);
  Matrix<float> rows(n, d);
  for (std::int64_t i = 0; i < rows.size(); ++i) {
    rows.data()[i] = static_cast<float>(draws.below(side));
  }
  return rows;
}

struct Known {
  std::int32_t row;
  Real squared;
};

/// The k rows nearest to `query`, `self` (−1: none) left out; ties by row.
inline std::vector<Known> nearest(MatrixView<const float> rows, const float* query,
                                  std::int64_t self, std::int64_t k) {
  std::vector<Known> all;
  for (std::int64_t i = 0; i < rows.rows; ++i) {
    if (i == self) continue;
    Real sum = 0;
    for (std::int64_t j = 0; j < rows.cols; ++j) {
      const Real delta = static_cast<Real>(query[j]) - static_cast<Real>(rows(i, j));
      sum += delta * delta;
    }
    all.push_back({static_cast<std::int32_t>(i), sum});
  }
  std::partial_sort(all.begin(), all.begin() + k, all.end(), [](const Known& a, const Known& b) {
    return a.squared != b.squared ? a.squared < b.squared : a.row < b.row;
  });
  all.resize(at(k));
  return all;
}

/// `self`: query i is row i. Every `step`-th query is looked at.
inline void expect_nearest(MatrixView<const float> rows, MatrixView<const float> queries, bool self,
                           const neighbors::Neighbors& found, std::int64_t k,
                           std::int64_t step = 1) {
  ASSERT_EQ(found.indices.rows(), queries.rows);
  ASSERT_EQ(found.n_neighbors(), k);
  ASSERT_EQ(found.squared_distances.rows(), queries.rows);
  ASSERT_EQ(found.squared_distances.cols(), k);
  // Sums of D squares in eight parts, and one rounding of each difference, twice in its square.
  const Real tolerance = (static_cast<Real>(rows.cols) / 8 + 6) * 0x1p-53L;
  for (std::int64_t i = 0; i < queries.rows; i += step) {
    const std::vector<Known> known = nearest(rows, queries.row(i), self ? i : -1, k);
    for (std::int64_t m = 0; m < k; ++m) {
      ASSERT_EQ(found.indices(i, m), known[at(m)].row) << "row " << i << ", neighbour " << m;
      const Real expected = known[at(m)].squared;
      const Real error = std::abs(static_cast<Real>(found.squared_distances(i, m)) - expected);
      ASSERT_LE(error, tolerance * expected) << "row " << i << ", neighbour " << m;
    }
  }
}

inline void expect_search(MatrixView<const float> rows, int k, std::int64_t step = 1,
                          int n_threads = 2) {
  const Context context({.n_threads = n_threads});
  const auto found = neighbors::search(context, rows, {.n_neighbors = k});
  expect_nearest(rows, rows, true, found, k, step);
}

inline bool same(const neighbors::Neighbors& a, const neighbors::Neighbors& b) {
  return a.indices.size() == b.indices.size() &&
         std::equal(a.indices.data(), a.indices.data() + a.indices.size(), b.indices.data()) &&
         std::equal(a.squared_distances.data(),
                    a.squared_distances.data() + a.squared_distances.size(),
                    b.squared_distances.data());
}

}  // namespace culatent::neighbors_case
