#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "kernels/cuda/gaussian_mixture.hpp"
#include "tests/core/oracle.hpp"

/// Rows, responsibilities and the sums that an update takes, drawn and added up in long double.
namespace culatent::update_case {

namespace gm = gaussian_mixture;
using oracle::at;
using oracle::Draws;
using oracle::Real;
using oracle::Vector;

inline bool has_matrices(gm::Covariance covariance) {
  return covariance == gm::Covariance::full || covariance == gm::Covariance::tied;
}

/// Rows in the data's units, their responsibilities, and the frame that the sums are taken in.
template <class T>
struct Problem {
  gm::Covariance covariance;
  std::int64_t n_components, d, n = 0;
  Vector rows;                        // [N, D]
  Vector shares;                      // [N, K] w r
  std::vector<double> centre, scale;  // [D]
  std::vector<T> shifts;              // [K, D]

  Real framed(std::int64_t i, std::int64_t j) const {
    return (rows[at(i * d + j)] - centre[at(j)]) * scale[at(j)];
  }
  Real share(std::int64_t i, std::int64_t k) const { return shares[at(i * n_components + k)]; }
  Real count(std::int64_t k) const {
    Real sum = 0;
    for (std::int64_t i = 0; i < n; ++i) sum += share(i, k);
    return sum;
  }
  Real mean(std::int64_t k, std::int64_t j) const {
    Real sum = 0;
    for (std::int64_t i = 0; i < n; ++i) sum += share(i, k) * rows[at(i * d + j)];
    return sum / count(k);
  }
};

/// Features of scales 1e-3 … 1e6, far off the origin; components some widths apart.
template <class T>
Problem<T> make_problem(gm::Covariance covariance, std::int64_t n_components, std::int64_t d) {
  Draws draws(static_cast<std::uint64_t>(1000 * n_components + d));
  Problem<T> p{covariance, n_components, d, 3 * n_components + 20, {}, {}, {}, {}, {}};
  for (std::int64_t j = 0; j < d; ++j) {
    const int exponent = static_cast<int>(j * 7 % 31) - 20;
    p.scale.push_back(std::ldexp(1.0, exponent));
    p.centre.push_back(std::ldexp(draws.uniform(-100.0, 100.0), -exponent));
  }
  Vector offsets;  // of the components, in the frame
  for (std::int64_t i = 0; i < n_components * d; ++i) offsets.push_back(draws.uniform(-1.0, 1.0));
  for (std::int64_t i = 0; i < p.n; ++i) {
    const std::int64_t own = i % n_components;
    Real total = 0;
    for (std::int64_t k = 0; k < n_components; ++k) {
      p.shares.push_back(k == own ? 1.0 : 0.2 * draws.uniform());
      total += p.shares.back();
    }
    const Real weight = draws.uniform(0.5, 1.5);
    for (std::int64_t k = 0; k < n_components; ++k) {
      p.shares[at(i * n_components + k)] *= weight / total;
    }
    for (std::int64_t j = 0; j < d; ++j) {
      const Real framed = offsets[at(own * d + j)] + 0.3L * draws.normal();
      p.rows.push_back(p.centre[at(j)] + framed / p.scale[at(j)]);
    }
  }
  for (const Real offset : offsets) {
    p.shifts.push_back(static_cast<T>(offset + 0.1L * draws.normal()));
  }
  return p;
}

/// The statistics of a pass over the rows, by Layout.
template <class T>
std::vector<double> sums(const Problem<T>& p) {
  const gm::Layout layout(p.covariance, p.n_components, p.d);
  const bool tied = p.covariance == gm::Covariance::tied;
  Vector values(at(layout.size), 0);
  values[1] = -12.5;
  values[2] = -11.25;
  values[3] = 1.25;
  const std::int64_t triangle = p.d * (p.d + 1) / 2;
  for (std::int64_t k = 0; k < p.n_components; ++k) {
    values[0] += p.count(k);
    values[at(layout.counts + k)] = p.count(k);
    for (std::int64_t i = 0; i < p.n; ++i) {
      const Real share = p.share(i, k);
      Vector z;
      for (std::int64_t j = 0; j < p.d; ++j) {
        z.push_back(p.framed(i, j) - (tied ? 0 : static_cast<Real>(p.shifts[at(k * p.d + j)])));
      }
      for (std::int64_t j = 0; j < p.d; ++j) {
        values[at(layout.sums + k * p.d + j)] += share * z[at(j)];
        if (!has_matrices(p.covariance)) {
          values[at(layout.squares + k * p.d + j)] += share * z[at(j)] * z[at(j)];
          continue;
        }
        const std::int64_t row = layout.squares + (tied ? 0 : k * triangle) + j * (j + 1) / 2;
        for (std::int64_t l = 0; l <= j; ++l) values[at(row + l)] += share * z[at(j)] * z[at(l)];
      }
    }
  }
  return {values.begin(), values.end()};
}

/// sum_k-of-interest w r (x_i − μ_i) (x_j − μ_j) over the weight, in the data's units.
template <class T>
Real covariance(const Problem<T>& p, std::int64_t only, std::int64_t a, std::int64_t b) {
  Real sum = 0, weight = 0;
  for (std::int64_t k = 0; k < p.n_components; ++k) {
    if (only >= 0 && k != only) continue;
    const Real mean_a = p.mean(k, a), mean_b = p.mean(k, b);
    for (std::int64_t i = 0; i < p.n; ++i) {
      sum +=
          p.share(i, k) * (p.rows[at(i * p.d + a)] - mean_a) * (p.rows[at(i * p.d + b)] - mean_b);
    }
    weight += p.count(k);
  }
  return sum / weight;
}

}  // namespace culatent::update_case
