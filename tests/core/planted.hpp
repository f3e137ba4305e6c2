#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <ostream>
#include <string>

#include "tests/core/oracle.hpp"
#include "tests/errors.hpp"

/// For the names of tests.
namespace culatent::gaussian_mixture {
inline void PrintTo(Covariance covariance, std::ostream* out) { *out << name(covariance); }
inline void PrintTo(Init init, std::ostream* out) { *out << name(init); }
}  // namespace culatent::gaussian_mixture

/// Data and models to test with, and what to compare.
namespace culatent::planted {

using oracle::at;
using oracle::Draws;
namespace gm = gaussian_mixture;

/// A mixture of distinct weights (k + 1) / sum, means `separation` standard normals, variances of
/// about 1 and correlations.
inline gm::Model model(gm::Covariance covariance, std::int64_t n_components, std::int64_t d,
                       double separation, std::uint64_t seed) {
  Draws draws(seed);
  gm::Model m;
  m.covariance = covariance;
  m.means = Matrix<double>(n_components, d);
  const auto k_sum = static_cast<double>(n_components * (n_components + 1) / 2);
  const auto add_matrix = [&] {
    std::vector<double> a;
    for (std::int64_t i = 0; i < d * d; ++i) a.push_back(draws.normal());
    for (std::int64_t i = 0; i < d; ++i) {
      for (std::int64_t j = 0; j < d; ++j) {
        double sum = i == j ? 0.5 : 0.0;
        for (std::int64_t l = 0; l < d; ++l) {
          sum += 0.5 * a[at(i * d + l)] * a[at(j * d + l)] / static_cast<double>(d);
        }
        m.covariances.push_back(sum);
      }
    }
  };
  for (std::int64_t k = 0; k < n_components; ++k) {
    m.weights.push_back(static_cast<double>(k + 1) / k_sum);
    for (std::int64_t j = 0; j < d; ++j) m.means(k, j) = separation * draws.normal();
    if (covariance == gm::Covariance::full) add_matrix();
    if (covariance == gm::Covariance::spherical) m.covariances.push_back(draws.uniform(0.5, 1.5));
    for (std::int64_t j = 0; j < d && covariance == gm::Covariance::diagonal; ++j) {
      m.covariances.push_back(draws.uniform(0.5, 1.5));
    }
  }
  if (covariance == gm::Covariance::tied) add_matrix();
  return m;
}

/// Rows of a mixture, drawn without the library.
inline Matrix<double> rows(const gm::Model& m, std::int64_t n, std::uint64_t seed) {
  Draws draws(seed);
  const std::int64_t d = m.n_features();
  std::vector<oracle::Square> factors;
  for (std::int64_t k = 0; k < m.n_components(); ++k) {
    factors.push_back(oracle::cholesky(oracle::dense(m, k)));
  }
  Matrix<double> x(n, d);
  for (std::int64_t i = 0; i < n; ++i) {
    double u = draws.uniform();
    std::int64_t k = 0;
    while (k + 1 < m.n_components() && u >= m.weights[at(k)]) u -= m.weights[at(k++)];
    std::vector<double> z;
    for (std::int64_t j = 0; j < d; ++j) z.push_back(draws.normal());
    for (std::int64_t j = 0; j < d; ++j) {
      x(i, j) = m.means(k, j);
      for (std::int64_t l = 0; l <= j; ++l) {
        x(i, j) += static_cast<double>(factors[at(k)](j, l)) * z[at(l)];
      }
    }
  }
  return x;
}

template <class T>
Matrix<T> cast(const Matrix<double>& m) {
  Matrix<T> result(m.rows(), m.cols());
  std::copy(m.data(), m.data() + m.size(), result.data());
  return result;
}

inline gm::Start start(const gm::Model& m) { return {m.weights, m.means, m.covariances}; }

inline std::vector<double> values(const Matrix<double>& m) {
  return {m.data(), m.data() + m.size()};
}

/// A share of the values, drawn at random, replaced by NaN.
inline void remove_values(Matrix<double>& m, double share, std::uint64_t seed) {
  Draws draws(seed);
  for (std::int64_t i = 0; i < m.size(); ++i) {
    if (draws.uniform() < share) m.data()[i] = std::numeric_limits<double>::quiet_NaN();
  }
}

inline void expect_near(const std::vector<double>& actual, const std::vector<double>& expected,
                        double tolerance, const char* what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    EXPECT_NEAR(actual[i], expected[i], tolerance) << what << "[" << i << "]";
  }
}

inline void expect_models_near(const gm::Model& actual, const gm::Model& expected,
                               double tolerance) {
  expect_near(actual.weights, expected.weights, tolerance, "weights");
  expect_near(values(actual.means), values(expected.means), tolerance, "means");
  expect_near(actual.covariances, expected.covariances, tolerance, "covariances");
}

/// Bit for bit, so that 0 and −0 differ and NaN equals itself.
inline bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

inline std::vector<double> trace_values(const gm::Fit& fit) {
  std::vector<double> result;
  for (const gm::TraceEntry& e : fit.trace) {
    result.insert(result.end(), {e.log_likelihood, e.elbo, e.entropy, e.free_energy});
  }
  return result;
}

inline bool same_bits(const gm::Fit& a, const gm::Fit& b) {
  return same_bits(a.model.weights, b.model.weights) &&
         same_bits(values(a.model.means), values(b.model.means)) &&
         same_bits(a.model.covariances, b.model.covariances) &&
         same_bits(trace_values(a), trace_values(b)) && a.n_iter == b.n_iter &&
         a.converged == b.converged && a.restart == b.restart && a.n_collapsed == b.n_collapsed;
}

/// Nothing that comes out of a fit may be NaN or infinite.
inline void expect_finite(const gm::Fit& fit) {
  const auto all_finite = [](const std::vector<double>& v) {
    return std::all_of(v.begin(), v.end(), [](double x) { return std::isfinite(x); });
  };
  EXPECT_TRUE(all_finite(fit.model.weights)) << "weights";
  EXPECT_TRUE(all_finite(values(fit.model.means))) << "means";
  EXPECT_TRUE(all_finite(fit.model.covariances)) << "covariances";
  EXPECT_TRUE(all_finite(trace_values(fit))) << "trace";
}

using errors::error_of;
using errors::expect_contains;

}  // namespace culatent::planted
