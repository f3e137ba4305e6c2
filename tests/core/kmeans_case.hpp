#pragma once

#include <cmath>
#include <cstring>

#include "culatent/kmeans.hpp"
#include "tests/core/oracle.hpp"

/// Data to cluster, and what to compare.
namespace culatent::kmeans_case {

using oracle::at;
using oracle::Draws;

inline Matrix<double> uniform_rows(std::int64_t n, std::int64_t d, std::uint64_t seed) {
  Draws draws(seed);
  Matrix<double> rows(n, d);
  for (std::int64_t i = 0; i < rows.size(); ++i) rows.data()[i] = draws.uniform(-1.0, 1.0);
  return rows;
}

/// Row i is of blob i mod K: unit variance, centres 20 apart on a grid.
inline Matrix<double> blobs(std::int64_t n, std::int64_t n_blobs, std::uint64_t seed) {
  Draws draws(seed);
  Matrix<double> rows(n, 2);
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t k = i % n_blobs;
    rows(i, 0) = 20.0 * static_cast<double>(k % 4) + draws.normal();
    rows(i, 1) = 20.0 * static_cast<double>(k / 4) + draws.normal();
  }
  return rows;
}

template <class T>
Matrix<T> cast(const Matrix<double>& m) {
  Matrix<T> result(m.rows(), m.cols());
  for (std::int64_t i = 0; i < m.size(); ++i) result.data()[i] = static_cast<T>(m.data()[i]);
  return result;
}

template <class T>
double inertia_of(const Matrix<T>& rows, const Matrix<double>& centroids) {
  long double total = 0;
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    long double least = HUGE_VALL;
    for (std::int64_t k = 0; k < centroids.rows(); ++k) {
      long double distance = 0;
      for (std::int64_t j = 0; j < rows.cols(); ++j) {
        const long double delta = static_cast<long double>(rows(i, j)) - centroids(k, j);
        distance += delta * delta;
      }
      least = std::min(least, distance);
    }
    total += least;
  }
  return static_cast<double>(total);
}

inline bool same_bits(const Matrix<double>& a, const Matrix<double>& b) {
  return a.rows() == b.rows() && a.cols() == b.cols() &&
         std::memcmp(a.data(), b.data(), at(a.size()) * sizeof(double)) == 0;
}

inline bool same_bits(const kmeans::Fit& a, const kmeans::Fit& b) {
  if (a.trace.size() != b.trace.size()) return false;
  for (std::size_t t = 0; t < a.trace.size(); ++t) {
    if (a.trace[t].inertia != b.trace[t].inertia || a.trace[t].moved != b.trace[t].moved) {
      return false;
    }
  }
  return a.n_iter == b.n_iter && a.converged == b.converged && a.restart == b.restart &&
         a.model.counts == b.model.counts && same_bits(a.model.centroids, b.model.centroids);
}

}  // namespace culatent::kmeans_case
