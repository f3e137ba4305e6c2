#include "kernels/affinities.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <limits>

namespace culatent::affinities {
namespace {

constexpr int kMaxSteps = 200;  // a bracket of doubles is done after some 64 halvings

using Array = Eigen::Map<Eigen::ArrayXd>;

// What a weight of exp(−β (d² − least)) makes of the squares in `excess`.
struct Moments {
  double sum = 0.0;       // of weights
  double mean = 0.0;      // of the excess, by weight
  double variance = 0.0;  // of the excess
};

Moments weigh(const Eigen::ArrayXd& excess, double beta, Array& p) {
  p = (-beta * excess).exp();
  Moments m;
  m.sum = p.sum();
  m.mean = (p * excess).sum() / m.sum;
  m.variance = (p * (excess - m.mean).square()).sum() / m.sum;
  return m;
}

}  // namespace

void affinities_of_beta(std::span<const double> squares, double beta, std::span<double> p) {
  double sum = 0.0;
  for (std::size_t j = 0; j < squares.size(); ++j) {
    p[j] = std::exp(-beta * (squares[j] - squares.front()));
    sum += p[j];
  }
  for (double& value : p) value /= sum;
}

RowAffinities affinities_of_entropy(std::span<const double> squares, double entropy,
                                    std::span<double> p) {
  const auto k = static_cast<Eigen::Index>(squares.size());
  Eigen::ArrayXd excess = Eigen::Map<const Eigen::ArrayXd>(squares.data(), k) - squares.front();
  const Eigen::Index n_least = (excess == 0.0).count();
  Array out(p.data(), k);
  const double most_even = std::log(static_cast<double>(n_least));
  if (n_least == k || most_even >= entropy) {
    out = (excess == 0.0).cast<double>() / static_cast<double>(n_least);
    return {std::numeric_limits<double>::infinity(),
            std::abs(most_even - entropy) <= kEntropyTolerance};
  }
  // In units of the mean, so that β is near 1 whatever the data are measured in.
  const double unit = excess.mean();
  excess /= unit;
  double low = -std::numeric_limits<double>::infinity(), high = -low, log_beta = 0.0;
  for (int step = 0; step < kMaxSteps; ++step) {
    const double beta = std::exp(log_beta);
    const Moments m = weigh(excess, beta, out);
    const double over = std::log(m.sum) + beta * m.mean - entropy;
    out /= m.sum;
    if (std::abs(over) <= kEntropyTolerance) return {beta / unit, true};
    (over > 0.0 ? low : high) = log_beta;  // a larger β has a smaller entropy
    double next = log_beta + over / (beta * beta * m.variance);
    if (!(next > low && next < high) || std::abs(next - log_beta) > 4.0) {
      const bool bracketed = std::isfinite(low) && std::isfinite(high);
      next = bracketed ? 0.5 * (low + high) : log_beta + (over > 0.0 ? 2.0 : -2.0);
    }
    if (next == log_beta) return {beta / unit, std::abs(over) <= 1e-5};
    log_beta = next;
  }
  return {std::exp(log_beta) / unit, false};
}

}  // namespace culatent::affinities
