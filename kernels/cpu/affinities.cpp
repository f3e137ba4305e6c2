#include "kernels/affinities.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <limits>

namespace culatent::affinities {
namespace {

using Array = Eigen::Map<Eigen::ArrayXd>;

WeightMoments weigh(const Eigen::ArrayXd& excess, double beta, Array& p) {
  // Eigen's exponentials end at 1e-308, which may not meet a y of 1e200.
  const auto y = (beta * excess).min(800.0);
  p = (-y).exp();
  return moments_of(p.sum(), (p * y).sum(), (p * y * y).sum());
}

}  // namespace

void affinities_of_beta(std::span<const double> squares, double beta, std::span<double> p) {
  double sum = 0.0;
  for (std::size_t j = 0; j < squares.size(); ++j) {
    p[j] = weight_of(squares[j] - squares.front(), beta);
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
  const double unit = excess.mean();
  excess /= unit;
  BandwidthSearch search;
  double beta = 1.0;
  for (int step = 0; step < kMaxSearchSteps; ++step) {
    beta = std::exp(search.log_beta);
    const WeightMoments m = weigh(excess, beta, out);
    out /= m.sum;
    if (!take_search_step(search, m, entropy)) break;
  }
  return {beta / unit, search.reached};
}

}  // namespace culatent::affinities
