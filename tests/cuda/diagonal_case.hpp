#pragma once

#include <numbers>

#include "tests/cuda/mixture_rows.hpp"

/// Diagonal components beside their rows, and what becomes of a row by the formula.
namespace culatent::gaussian_mixture {

/// Rows and the parameters of diagonal components.
template <class T>
struct DiagonalCase : MixtureRows<T> {
  using Base = MixtureRows<T>;

  DiagonalCase(const Shape& shape, bool weighted, double distance, unsigned seed,
               double narrow = 1.0)
      : Base(shape, weighted, distance, seed) {
    std::mt19937_64 engine(seed + 1);
    std::normal_distribution<double> normal;
    for (std::int64_t k = 0; k < this->n_components; ++k) {
      double constant = -std::log(static_cast<double>(this->n_components));
      for (std::int64_t j = 0; j < this->d; ++j) {
        const double deviation = narrow * std::exp(0.5 * normal(engine));
        whitening.push_back(static_cast<T>(1.0 / deviation));
        whitened_means.push_back(static_cast<T>(static_cast<double>(this->shift(k, j)) *
                                                static_cast<double>(whitening.back())));
        constant -= std::log(deviation) + 0.5 * std::log(2.0 * std::numbers::pi);
      }
      log_constants.push_back(static_cast<T>(constant));
    }
  }

  std::vector<T> whitening, whitened_means, log_constants;
};

/// A row's log p, entropy and shares with how far T may be from them.
struct RowOracle {
  Real log_prob = 0, log_prob_error = 0;
  Real entropy = 0, entropy_error = 0;
  std::vector<Real> share, share_error;
};

template <class T>
constexpr Real kUnit = static_cast<Real>(std::numeric_limits<T>::epsilon()) / 2;

template <class T>
RowOracle row_oracle(const DiagonalCase<T>& c, std::int64_t row) {
  const Real u = kUnit<T>;
  const auto n_components = static_cast<Real>(c.n_components);
  std::vector<Real> log_joint, error;
  Real greatest = -std::numeric_limits<Real>::infinity();
  for (std::int64_t k = 0; k < c.n_components; ++k) {
    Real norm = 0;
    for (std::int64_t j = 0; j < c.d; ++j) {
      const std::size_t at = c.at(k * c.d + j);
      const Real y = c.framed(row, j) * static_cast<Real>(c.whitening[at]) -
                     static_cast<Real>(c.whitened_means[at]);
      norm += y * y;
    }
    const auto constant = static_cast<Real>(c.log_constants[c.at(k)]);
    log_joint.push_back(constant - norm / 2);
    // y is rounded once, its square, the sum of D of them, and the sum with the constant.
    error.push_back(u * ((static_cast<Real>(c.d) + 4) * norm / 2 + std::abs(constant)));
    greatest = std::max(greatest, log_joint.back());
  }
  Real total = 0;
  for (const Real value : log_joint) total += std::exp(value - greatest);
  RowOracle r;
  r.log_prob = greatest + std::log(total);
  Real common = 0;  // what the errors of the densities do to log p
  for (std::size_t k = 0; k < log_joint.size(); ++k) {
    r.share.push_back(std::exp(log_joint[k] - r.log_prob));
    common += r.share[k] * error[k];
  }
  const Real sums = (n_components + 10) * u;  // K exponentials, added up, and a quotient
  r.log_prob_error = common + sums + u * std::abs(greatest);
  for (std::size_t k = 0; k < log_joint.size(); ++k) {
    const Real offset = log_joint[k] - r.log_prob;
    // The difference to the greatest is rounded before exp magnifies it. Twice the first order.
    r.share_error.push_back(2 * r.share[k] * (error[k] + common + sums + u * std::abs(offset)) +
                            std::exp(Real{sizeof(T) == 4 ? -86 : -707}));
    if (r.share[k] > 0) r.entropy -= r.share[k] * offset;
    r.entropy_error += r.share_error.back() * (std::abs(offset) + 2);
  }
  r.entropy_error += sums * (1 + r.entropy);
  return r;
}

}  // namespace culatent::gaussian_mixture
