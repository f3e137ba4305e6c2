#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "culatent/matrix.hpp"
#include "host/random.hpp"
#include "kernels/tsne.hpp"

/// What tests of t-SNE share, on any backend.
namespace culatent::tsne {

inline double normal(std::uint64_t seed, std::int64_t row, std::int64_t column) {
  return random::normals(seed, random::Stream::positions, static_cast<std::uint64_t>(row),
                         static_cast<std::uint32_t>(column))[0];
}

/// Rows around as many centres as labels, row i with label i mod n_groups.
inline Matrix<float> planted(std::int64_t n, std::int64_t d, std::int64_t n_groups, double apart) {
  Matrix<float> rows(n, d);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < d; ++j) {
      rows(i, j) = static_cast<float>(apart * normal(1, i % n_groups, j) + normal(2, i, j));
    }
  }
  return rows;
}

inline std::vector<std::int64_t> labels_of(std::int64_t n, std::int64_t n_groups) {
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < n; ++i) labels.push_back(i % n_groups);
  return labels;
}

inline bool same_bits(const Matrix<float>& a, const Matrix<float>& b) {
  return a.size() == b.size() && std::equal(a.data(), a.data() + a.size(), b.data());
}

/// Normal points.
inline Matrix<float> scattered(std::int64_t n, std::int64_t q, double deviation) {
  Matrix<float> points(n, q);
  for (std::int64_t at = 0; at < n * q; ++at) {
    points.data()[at] = static_cast<float>(deviation * normal(3, at, 0));
  }
  return points;
}

inline std::vector<double> in_double(const Matrix<float>& points) {
  return {points.data(), points.data() + points.size()};
}

/// The objective by its definition, in double.
inline double objective(const AffinityRows& p, const std::vector<double>& y, std::int64_t q) {
  const auto n = static_cast<std::int64_t>(y.size()) / q;
  const auto kernel = [&](std::int64_t i, std::int64_t j) {
    double square = 1.0;
    for (std::int64_t k = 0; k < q; ++k) {
      square += std::pow(
          y[static_cast<std::size_t>(i * q + k)] - y[static_cast<std::size_t>(j * q + k)], 2);
    }
    return 1.0 / square;
  };
  double z = 0.0, kl = 0.0;
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) z += i == j ? 0.0 : kernel(i, j);
  }
  for (std::int64_t i = 0; i < n; ++i) {
    for (auto e = static_cast<std::size_t>(p.starts[static_cast<std::size_t>(i)]);
         e < static_cast<std::size_t>(p.starts[static_cast<std::size_t>(i + 1)]); ++e) {
      const auto value = static_cast<double>(p.values[e]);
      kl += value * std::log(value * z / kernel(i, p.columns[e]));
    }
  }
  return kl;
}

/// Its slope, by central differences: within h² of it, relative to a length of 1.
inline std::vector<double> slopes(const AffinityRows& p, std::vector<double> y, std::int64_t q) {
  constexpr double kStep = 1e-4;
  std::vector<double> result;
  for (double& value : y) {
    const double here = value;
    value = here + kStep;
    const double above = objective(p, y, q);
    value = here - kStep;
    result.push_back((above - objective(p, y, q)) / (2.0 * kStep));
    value = here;
  }
  return result;
}

/// Normal points, or tight groups of them, moved so that the largest extent is `span`.
inline Matrix<float> points_of_span(std::int64_t n, int q, double span, bool grouped) {
  Matrix<float> points(n, q);
  double low[3] = {1e30, 1e30, 1e30}, high[3] = {-1e30, -1e30, -1e30};
  Matrix<double> wide(n, q);
  for (std::int64_t i = 0; i < n; ++i) {
    for (int k = 0; k < q; ++k) {
      const auto column = static_cast<std::uint32_t>(k);
      const auto draw =
          random::normals(3, random::Stream::positions, static_cast<std::uint64_t>(i), column);
      const auto centre =
          random::normals(4, random::Stream::positions, static_cast<std::uint64_t>(i % 20), column);
      wide(i, k) = grouped ? centre[0] + 0.03 * draw[0] : draw[0];
      low[k] = std::min(low[k], wide(i, k));
      high[k] = std::max(high[k], wide(i, k));
    }
  }
  double widest = 0.0;
  for (int k = 0; k < q; ++k) widest = std::max(widest, high[k] - low[k]);
  for (std::int64_t at = 0; at < points.size(); ++at) {
    points.data()[at] = static_cast<float>(wide.data()[at] * (span / widest));
  }
  return points;
}

/// Forces and their partition function by the definition.
struct Sums {
  Matrix<double> forces;
  double partition = 0.0;
};

inline Sums brute_force(const Matrix<float>& points) {
  const std::int64_t n = points.rows(), q = points.cols();
  Sums sums{Matrix<double>(n, q), 0.0};
  for (std::int64_t i = 0; i < n; ++i) {
    std::vector<long double> force(static_cast<std::size_t>(q));
    long double total = 0.0L;
    for (std::int64_t j = 0; j < n; ++j) {
      if (j == i) continue;
      long double square = 1.0L;
      for (std::int64_t k = 0; k < q; ++k) {
        const long double delta = static_cast<long double>(points(i, k)) - points(j, k);
        square += delta * delta;
      }
      total += 1.0L / square;
      for (std::int64_t k = 0; k < q; ++k) {
        const long double delta = static_cast<long double>(points(i, k)) - points(j, k);
        force[static_cast<std::size_t>(k)] += delta / (square * square);
      }
    }
    sums.partition += static_cast<double>(total);
    for (std::int64_t k = 0; k < q; ++k) {
      sums.forces(i, k) = static_cast<double>(force[static_cast<std::size_t>(k)]);
    }
  }
  return sums;
}

inline double relative_error(const Matrix<float>& forces, const Matrix<double>& expected) {
  double error = 0.0, norm = 0.0;
  for (std::int64_t at = 0; at < expected.size(); ++at) {
    const double delta = static_cast<double>(forces.data()[at]) - expected.data()[at];
    error += delta * delta;
    norm += expected.data()[at] * expected.data()[at];
  }
  return std::sqrt(error / norm);
}

}  // namespace culatent::tsne
