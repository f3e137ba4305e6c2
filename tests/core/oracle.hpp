#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <random>
#include <vector>

#include "culatent/gaussian_mixture.hpp"

/// Mixtures by the book: draws, densities and EM in long double with loops over elements, sharing
/// no code with the library.
namespace culatent::oracle {

namespace gm = gaussian_mixture;
using Real = long double;
using Vector = std::vector<Real>;

inline std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

inline constexpr gm::Covariance kCovariances[] = {gm::Covariance::full, gm::Covariance::tied,
                                                  gm::Covariance::diagonal,
                                                  gm::Covariance::spherical};

class Draws {
 public:
  explicit Draws(std::uint64_t seed) : engine_(seed) {}
  double uniform() { return (static_cast<double>(engine_() >> 11) + 0.5) * 0x1p-53; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  double normal() {
    return std::sqrt(-2.0 * std::log(uniform())) * std::cos(2.0 * std::numbers::pi * uniform());
  }
  std::int64_t below(std::int64_t n) {
    return static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(n));
  }

 private:
  std::mt19937_64 engine_;
};

/// A square matrix.
struct Square {
  explicit Square(std::int64_t size) : n(size), values(at(size * size), 0) {}
  Real& operator()(std::int64_t i, std::int64_t j) { return values[at(i * n + j)]; }
  Real operator()(std::int64_t i, std::int64_t j) const { return values[at(i * n + j)]; }
  std::int64_t n;
  Vector values;
};

inline Square cholesky(const Square& a) {
  Square l(a.n);
  for (std::int64_t i = 0; i < a.n; ++i) {
    for (std::int64_t j = 0; j <= i; ++j) {
      Real sum = a(i, j);
      for (std::int64_t m = 0; m < j; ++m) sum -= l(i, m) * l(j, m);
      l(i, j) = i == j ? std::sqrt(sum) : sum / l(j, j);
    }
  }
  return l;
}

/// y with L y = b.
inline Vector solve_lower(const Square& l, Vector b) {
  for (std::int64_t i = 0; i < l.n; ++i) {
    for (std::int64_t j = 0; j < i; ++j) b[at(i)] -= l(i, j) * b[at(j)];
    b[at(i)] /= l(i, i);
  }
  return b;
}

/// Covariance of component k, whatever its type.
inline Square dense(const gm::Model& model, std::int64_t k) {
  const std::int64_t d = model.n_features();
  Square s(d);
  for (std::int64_t i = 0; i < d; ++i) {
    switch (model.covariance) {
      case gm::Covariance::full:
        for (std::int64_t j = 0; j < d; ++j) s(i, j) = model.covariances[at((k * d + i) * d + j)];
        break;
      case gm::Covariance::tied:
        for (std::int64_t j = 0; j < d; ++j) s(i, j) = model.covariances[at(i * d + j)];
        break;
      case gm::Covariance::diagonal:
        s(i, i) = model.covariances[at(k * d + i)];
        break;
      case gm::Covariance::spherical:
        s(i, i) = model.covariances[at(k)];
        break;
    }
  }
  return s;
}

/// What a row with missing values (NaN) tells under component k.
struct Conditional {
  Real log_density = 0;  ///< of the observed values, log weight included
  Vector expected;       ///< [D] the row, missing values expected
  Square covariance;     ///< [D, D] zero but between missing features
};

inline Conditional condition(const gm::Model& model, const double* row, std::int64_t k) {
  const std::int64_t d = model.n_features();
  const Square full = dense(model, k);
  std::vector<std::int64_t> seen, missing;
  for (std::int64_t j = 0; j < d; ++j) (std::isnan(row[j]) ? missing : seen).push_back(j);
  const auto n_seen = static_cast<std::int64_t>(seen.size());
  Square block(n_seen);
  Vector delta(seen.size());
  Conditional result{std::log(static_cast<Real>(model.weights[at(k)])), Vector(at(d)), Square(d)};
  for (std::int64_t i = 0; i < n_seen; ++i) {
    delta[at(i)] = static_cast<Real>(row[seen[at(i)]]) - model.means(k, seen[at(i)]);
    result.expected[at(seen[at(i)])] = row[seen[at(i)]];
    for (std::int64_t j = 0; j < n_seen; ++j) block(i, j) = full(seen[at(i)], seen[at(j)]);
  }
  const Square l = cholesky(block);
  const Vector y = solve_lower(l, delta);
  for (std::int64_t i = 0; i < n_seen; ++i) {
    result.log_density -=
        std::log(l(i, i)) + y[at(i)] * y[at(i)] / 2 + std::log(2 * std::numbers::pi_v<Real>) / 2;
  }
  std::vector<Vector> columns;  // L⁻¹ S_om
  for (const std::int64_t j : missing) {
    Vector column;
    for (const std::int64_t i : seen) column.push_back(full(i, j));
    columns.push_back(solve_lower(l, column));
  }
  for (std::size_t a = 0; a < missing.size(); ++a) {
    Real& value = result.expected[at(missing[a])];
    value = model.means(k, missing[a]);
    for (std::size_t i = 0; i < seen.size(); ++i) value += columns[a][i] * y[i];
    for (std::size_t b = 0; b < missing.size(); ++b) {
      Real& c = result.covariance(missing[a], missing[b]);
      c = full(missing[a], missing[b]);
      for (std::size_t i = 0; i < seen.size(); ++i) c -= columns[a][i] * columns[b][i];
    }
  }
  return result;
}

/// log p(x) and the responsibilities of one row.
struct RowResult {
  Real log_prob = 0;
  Vector responsibilities;
  Real entropy = 0;
  Real expected_joint = 0;  ///< E_q[log p(x, z)]
};

inline RowResult row_result(const gm::Model& model, const double* row) {
  Vector logs;
  for (std::int64_t k = 0; k < model.n_components(); ++k) {
    logs.push_back(condition(model, row, k).log_density);
  }
  Real greatest = logs[0], total = 0;
  for (const Real value : logs) greatest = std::max(greatest, value);
  for (const Real value : logs) total += std::exp(value - greatest);
  RowResult result;
  result.log_prob = greatest + std::log(total);
  for (const Real value : logs) {
    const Real r = std::exp(value - result.log_prob);
    result.responsibilities.push_back(r);
    if (r > 0) {
      result.entropy -= r * std::log(r);
      result.expected_joint += r * value;
    }
  }
  return result;
}

/// Mean log-likelihood per unit of weight. `weights` empty: all 1.
inline Real mean_log_likelihood(const gm::Model& model, const Matrix<double>& rows,
                                const std::vector<double>& weights = {}) {
  Real sum = 0, total = 0;
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    const Real w = weights.empty() ? 1.0 : weights[at(i)];
    if (w == 0) continue;
    sum += w * row_result(model, &rows(i, 0)).log_prob;
    total += w;
  }
  return sum / total;
}

/// The M-step at the responsibilities that `model` gives: one update of EM.
inline gm::Model em_step(const gm::Model& model, const Matrix<double>& rows,
                         const std::vector<double>& weights, double reg_covar) {
  const std::int64_t n_components = model.n_components(), d = model.n_features();
  std::vector<Square> scatter(at(n_components), Square(d));
  std::vector<Vector> sums(at(n_components), Vector(at(d), 0));
  Vector counts(at(n_components), 0);
  // Two passes: means first, then squares of differences.
  for (int pass = 0; pass < 2; ++pass) {
    for (std::int64_t n = 0; n < rows.rows(); ++n) {
      const Real w = weights.empty() ? 1.0 : weights[at(n)];
      const Vector r = row_result(model, &rows(n, 0)).responsibilities;
      for (std::int64_t k = 0; k < n_components; ++k) {
        const Conditional c = condition(model, &rows(n, 0), k);
        const Real q = w * r[at(k)];
        if (pass == 0) counts[at(k)] += q;
        for (std::int64_t i = 0; i < d; ++i) {
          if (pass == 0) {
            sums[at(k)][at(i)] += q * c.expected[at(i)];
            continue;
          }
          for (std::int64_t j = 0; j < d; ++j) {
            scatter[at(k)](i, j) += q * ((c.expected[at(i)] - sums[at(k)][at(i)]) *
                                             (c.expected[at(j)] - sums[at(k)][at(j)]) +
                                         c.covariance(i, j));
          }
        }
      }
    }
    if (pass > 0) continue;
    for (std::int64_t k = 0; k < n_components; ++k) {
      for (Real& value : sums[at(k)]) value /= counts[at(k)];
    }
  }
  Real total = 0;
  for (const Real count : counts) total += count;
  gm::Model next;
  next.covariance = model.covariance;
  next.means = Matrix<double>(n_components, d);
  Square common(d);
  for (std::int64_t k = 0; k < n_components; ++k) {
    next.weights.push_back(static_cast<double>(counts[at(k)] / total));
    Real trace = 0;
    for (std::int64_t i = 0; i < d; ++i) {
      next.means(k, i) = static_cast<double>(sums[at(k)][at(i)]);
      trace += scatter[at(k)](i, i) / counts[at(k)];
      for (std::int64_t j = 0; j < d; ++j) {
        common(i, j) += scatter[at(k)](i, j) / total;
        const Real value = scatter[at(k)](i, j) / counts[at(k)] + (i == j ? reg_covar : 0);
        const bool kept = model.covariance == gm::Covariance::full ||
                          (model.covariance == gm::Covariance::diagonal && i == j);
        if (kept) next.covariances.push_back(static_cast<double>(value));
      }
    }
    if (model.covariance == gm::Covariance::spherical) {
      next.covariances.push_back(static_cast<double>(trace / d + reg_covar));
    }
  }
  if (model.covariance == gm::Covariance::tied) {
    for (std::int64_t i = 0; i < d; ++i) common(i, i) += reg_covar;
    for (const Real value : common.values) next.covariances.push_back(static_cast<double>(value));
  }
  return next;
}

}  // namespace culatent::oracle
