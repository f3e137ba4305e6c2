#include "kernels/cpu/gaussian_mixture_missing.hpp"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

namespace culatent::gaussian_mixture::cpu {
namespace {

bool has_matrices(Covariance covariance) {
  return covariance == Covariance::full || covariance == Covariance::tied;
}

}  // namespace

template <class T>
MissingRows<T>::MissingRows(const Parameters<T>& parameters, const Frame& frame)
    : parameters_(parameters),
      frame_(frame),
      conditionals_(static_cast<std::size_t>(parameters.n_components)),
      completed_(parameters.n_features, parameters.n_components),
      log_joint_(parameters.n_components) {}

template <class T>
std::int64_t MissingRows<T>::bytes(std::int64_t n_components, std::int64_t n_features) {
  return checked_product(checked_product(n_components, n_features), 24 * n_features);
}

template <class T>
void MissingRows<T>::factorise(const std::vector<std::int64_t>& observed,
                               const std::vector<std::int64_t>& missing) {
  const auto n_observed = static_cast<Eigen::Index>(observed.size());
  double log_scale = 0.0;  // from densities in the frame to densities in the data's units
  for (const std::int64_t j : observed) {
    log_scale += std::log(frame_.scale[static_cast<std::size_t>(j)]);
  }
  const std::int64_t d = parameters_.n_features;
  for (std::int64_t k = 0; k < parameters_.n_components; ++k) {
    Conditional& c = conditionals_[static_cast<std::size_t>(k)];
    const double normal =
        log_scale - 0.5 * static_cast<double>(n_observed) * std::log(2.0 * std::numbers::pi);
    if (!has_matrices(parameters_.covariance)) {
      c.log_norm = normal;
      for (const std::int64_t j : observed) {
        c.log_norm -= 0.5 * std::log(parameters_.covariances[static_cast<std::size_t>(k * d + j)]);
      }
      continue;
    }
    const std::int64_t first = parameters_.covariance == Covariance::full ? k * d * d : 0;
    const Eigen::Map<const Square> covariance(parameters_.covariances.data() + first, d, d);
    const Eigen::LLT<Square> factor(covariance(observed, observed));
    c.lower = factor.matrixL();
    c.gain = factor.solve(covariance(observed, missing)).transpose();
    c.covariance = covariance(missing, missing) - c.gain * covariance(observed, missing);
    c.log_norm = normal - c.lower.diagonal().array().log().sum();
  }
}

template <class T>
void MissingRows<T>::fill_row(MatrixView<const T> rows, int row, TileScratch<T>& s) {
  const std::int64_t d = parameters_.n_features;
  const auto n_observed = static_cast<Eigen::Index>(observed_.size());
  Eigen::VectorXd x(d);
  for (const std::int64_t j : observed_) {
    const auto i = static_cast<std::size_t>(j);
    x[j] = (static_cast<double>(rows(row, j)) - frame_.centre[i]) * frame_.scale[i];
  }
  for (std::int64_t k = 0; k < parameters_.n_components; ++k) {
    const Conditional& c = conditionals_[static_cast<std::size_t>(k)];
    Eigen::VectorXd delta(n_observed);
    for (Eigen::Index i = 0; i < n_observed; ++i) {
      const std::int64_t j = observed_[static_cast<std::size_t>(i)];
      delta[i] = x[j] - static_cast<double>(parameters_.shifts(k, j));
      completed_(j, k) = x[j];
    }
    for (const std::int64_t j : missing_) {
      completed_(j, k) = static_cast<double>(parameters_.shifts(k, j));
    }
    double norm = 0.0;
    if (has_matrices(parameters_.covariance)) {
      norm = c.lower.template triangularView<Eigen::Lower>().solve(delta).squaredNorm();
      if (!missing_.empty()) completed_(missing_, k) += c.gain * delta;
    } else {
      for (Eigen::Index i = 0; i < n_observed; ++i) {
        const std::int64_t j = observed_[static_cast<std::size_t>(i)];
        const double variance = parameters_.covariances[static_cast<std::size_t>(k * d + j)];
        norm += delta[i] * delta[i] / variance;
      }
    }
    log_joint_[k] = parameters_.log_weights[static_cast<std::size_t>(k)] + c.log_norm - 0.5 * norm;
  }
  const double greatest = log_joint_.maxCoeff();
  const Eigen::ArrayXd share = (log_joint_.array() - greatest).exp();
  const double total = share.sum();
  s.log_prob(0, row) = greatest + std::log(total);
  s.row_sum(0, row) = static_cast<T>(total);
  s.row_joint(0, row) =
      static_cast<T>((share * (log_joint_.array() - greatest).max(-745.0)).sum() / total);
  for (std::int64_t k = 0; k < parameters_.n_components; ++k) {
    s.resp(k, row) = static_cast<T>(share[k] / total);
  }
  log_joint_ = share / total;  // from here on the responsibilities, in double
}

template <class T>
void MissingRows<T>::add_row(int row, const Layout& layout, TileScratch<T>& s) {
  const double w = s.row_weight(0, row);
  const std::int64_t d = parameters_.n_features;
  const Covariance covariance = parameters_.covariance;
  double* sums = s.sums.data();
  double entropy = 0.0;
  for (std::int64_t k = 0; k < parameters_.n_components; ++k) {
    const double r = log_joint_[k];
    if (r == 0.0) continue;
    entropy -= r * std::log(r);
    const double q = w * r;
    const Conditional& c = conditionals_[static_cast<std::size_t>(k)];
    Eigen::VectorXd z = completed_.col(k);
    if (covariance != Covariance::tied) {
      for (std::int64_t j = 0; j < d; ++j) z[j] -= static_cast<double>(parameters_.shifts(k, j));
    }
    sums[layout.counts + k] += q;
    for (std::int64_t j = 0; j < d; ++j) sums[layout.sums + k * d + j] += q * z[j];
    if (!has_matrices(covariance)) {
      double* squares = sums + layout.squares + k * d;
      for (std::int64_t j = 0; j < d; ++j) squares[j] += q * z[j] * z[j];
      for (const std::int64_t j : missing_) {
        squares[j] += q * parameters_.covariances[static_cast<std::size_t>(k * d + j)];
      }
      continue;
    }
    double* squares =
        sums + layout.squares + (covariance == Covariance::full ? k * (d * (d + 1) / 2) : 0);
    for (std::int64_t i = 0; i < d; ++i) {
      for (std::int64_t j = 0; j <= i; ++j) squares[i * (i + 1) / 2 + j] += q * z[i] * z[j];
    }
    for (std::size_t a = 0; a < missing_.size(); ++a) {
      for (std::size_t b = 0; b <= a; ++b) {  // missing_ ascends, so b's feature is not above a's
        squares[missing_[a] * (missing_[a] + 1) / 2 + missing_[b]] +=
            q * c.covariance(static_cast<Eigen::Index>(a), static_cast<Eigen::Index>(b));
      }
    }
  }
  sums[Layout::kWeight] += w;
  sums[Layout::kLogLikelihood] += w * s.log_prob(0, row);
  sums[Layout::kEntropy] += w * entropy;
  sums[Layout::kJoint] += w * (s.log_prob(0, row) - entropy);
}

template <class T>
void MissingRows<T>::marginalise(MatrixView<const T> rows, const Layout* layout,
                                 TileScratch<T>& s) {
  std::vector<std::pair<std::vector<bool>, int>> incomplete;
  for (std::int64_t row = 0; row < rows.rows; ++row) {
    std::vector<bool> pattern(static_cast<std::size_t>(rows.cols));
    for (std::int64_t j = 0; j < rows.cols; ++j) {
      pattern[static_cast<std::size_t>(j)] = std::isnan(rows(row, j));
    }
    if (std::find(pattern.begin(), pattern.end(), true) != pattern.end()) {
      incomplete.emplace_back(std::move(pattern), static_cast<int>(row));
    }
  }
  std::sort(incomplete.begin(), incomplete.end());
  for (const auto& [pattern, row] : incomplete) {
    if (pattern != pattern_) {
      observed_.clear();
      missing_.clear();
      for (std::int64_t j = 0; j < rows.cols; ++j) {
        (pattern[static_cast<std::size_t>(j)] ? missing_ : observed_).push_back(j);
      }
      factorise(observed_, missing_);
      pattern_ = pattern;
    }
    fill_row(rows, row, s);
    if (layout == nullptr) continue;
    add_row(row, *layout, s);
    s.row_weight(0, row) = 0.0;
  }
}

template class MissingRows<float>;
template class MissingRows<double>;

}  // namespace culatent::gaussian_mixture::cpu
