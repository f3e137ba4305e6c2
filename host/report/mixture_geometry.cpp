#include "host/report/mixture_geometry.hpp"

#include <algorithm>
#include <cmath>

namespace culatent::report {
namespace {

using gaussian_mixture::Covariance;
using gaussian_mixture::Model;
using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Eigen::Map<const Eigen::VectorXd> mean_of(const Model& model, std::int64_t k) {
  return {model.means.view().row(k), model.n_features()};
}

// C_k V for a block of vectors V [D, q].
Eigen::MatrixXd times_covariance(const Model& model, std::int64_t k, const Eigen::MatrixXd& V) {
  const std::int64_t d = model.n_features();
  const double* values = model.covariances.data();
  switch (model.covariance) {
    case Covariance::full:
      return Eigen::Map<const RowMajor>(values + k * d * d, d, d) * V;
    case Covariance::tied:
      return Eigen::Map<const RowMajor>(values, d, d) * V;
    case Covariance::diagonal:
      return Eigen::Map<const Eigen::VectorXd>(values + k * d, d).asDiagonal() * V;
    case Covariance::spherical:
      break;
  }
  return values[k] * V;
}

// The covariance of the whole mixture as an operator. Full covariances are pooled once, so that a
// product costs D² whatever K; diagonal ones never become a matrix.
class TotalCovariance {
 public:
  TotalCovariance(const Model& model, const Eigen::VectorXd& origin)
      : offsets_(origin.size(), model.n_components()) {
    const std::int64_t d = model.n_features();
    dense_ = model.covariance == Covariance::full || model.covariance == Covariance::tied;
    pooled_ = Eigen::MatrixXd::Zero(d, dense_ ? d : 1);
    for (std::int64_t k = 0; k < model.n_components(); ++k) {
      const double weight = model.weights[static_cast<std::size_t>(k)];
      offsets_.col(k) = std::sqrt(weight) * (mean_of(model, k) - origin);
      const double* values = model.covariances.data();
      if (model.covariance == Covariance::full) {
        pooled_ += weight * Eigen::Map<const Eigen::MatrixXd>(values + k * d * d, d, d);
      } else if (model.covariance == Covariance::diagonal) {
        pooled_ += weight * Eigen::Map<const Eigen::VectorXd>(values + k * d, d);
      } else if (model.covariance == Covariance::spherical) {
        pooled_.array() += weight * values[k];
      } else if (k == 0) {
        pooled_ = Eigen::Map<const Eigen::MatrixXd>(values, d, d);
      }
    }
  }

  Eigen::MatrixXd operator*(const Eigen::MatrixXd& V) const {
    Eigen::MatrixXd out = offsets_ * (offsets_.transpose() * V);
    if (dense_) {
      out += pooled_ * V;
    } else {
      out += pooled_.col(0).asDiagonal() * V;
    }
    return out;
  }

 private:
  Eigen::MatrixXd offsets_;  // [D, K], sqrt(w_k) (m_k − m)
  Eigen::MatrixXd pooled_;   // sum_k w_k C_k: [D, D], or its diagonal [D, 1]
  bool dense_ = false;
};

Eigen::MatrixXd orthonormal(const Eigen::MatrixXd& V) {
  const Eigen::HouseholderQR<Eigen::MatrixXd> qr(V);
  return qr.householderQ() * Eigen::MatrixXd::Identity(V.rows(), V.cols());
}

// Up to this many features the whole matrix is decomposed; beyond, only the first directions.
constexpr std::int64_t kDirect = 256;

// The power iteration ends when no eigenvalue changes by more than this share: a direction is then
// right to about the square root of it, finer than a drawing shows.
constexpr double kSettled = 1e-7;
constexpr int kMaxPowerSteps = 200;

// Columns beyond the wanted ones: they speed up the last wanted one.
constexpr std::int64_t kGuard = 6;

// Eigenvectors by falling eigenvalue of C within the columns of V.
struct Ritz {
  Eigen::MatrixXd vectors;
  Eigen::VectorXd values;
};
Ritz rayleigh_ritz(const TotalCovariance& C, const Eigen::MatrixXd& V) {
  const Eigen::MatrixXd small = V.transpose() * (C * V);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(0.5 * (small + small.transpose()));
  return {V * eigen.eigenvectors().rowwise().reverse(), eigen.eigenvalues().reverse()};
}

// Leading q eigenvectors, or more.
Eigen::MatrixXd leading(const TotalCovariance& C, std::int64_t d, std::int64_t q) {
  if (d <= kDirect) return rayleigh_ritz(C, Eigen::MatrixXd::Identity(d, d)).vectors;
  // A fixed start with something of every direction in it.
  Eigen::MatrixXd V =
      Eigen::MatrixXd::NullaryExpr(d, q + kGuard, [](Eigen::Index i, Eigen::Index j) {
        return std::cos(static_cast<double>((i + 1) * (2 * j + 1)) * 0.7390851332151607);
      });
  Ritz ritz = rayleigh_ritz(C, orthonormal(V));
  for (int step = 0; step < kMaxPowerSteps; ++step) {
    const Eigen::VectorXd before = ritz.values;
    ritz = rayleigh_ritz(C, orthonormal(C * ritz.vectors));
    const double change = (ritz.values - before).head(q).cwiseAbs().maxCoeff();
    if (change <= kSettled * ritz.values(0)) break;
  }
  return ritz.vectors;
}

}  // namespace

Matrix<double> standard_deviations(const Model& model) {
  const std::int64_t d = model.n_features();
  Matrix<double> out(model.n_components(), d);
  for (std::int64_t k = 0; k < model.n_components(); ++k) {
    for (std::int64_t j = 0; j < d; ++j) {
      const std::int64_t at = model.covariance == Covariance::full       ? (k * d + j) * d + j
                              : model.covariance == Covariance::tied     ? j * d + j
                              : model.covariance == Covariance::diagonal ? k * d + j
                                                                         : k;
      out(k, j) = std::sqrt(model.covariances[static_cast<std::size_t>(at)]);
    }
  }
  return out;
}

Spread spread(const Model& model) {
  const std::int64_t d = model.n_features();
  const Matrix<double> deviations = standard_deviations(model);
  Spread out{Eigen::VectorXd::Zero(d), Eigen::VectorXd::Zero(d)};
  for (std::int64_t k = 0; k < model.n_components(); ++k) {
    out.mean += model.weights[static_cast<std::size_t>(k)] * mean_of(model, k);
  }
  for (std::int64_t k = 0; k < model.n_components(); ++k) {
    const Eigen::Map<const Eigen::VectorXd> deviation(deviations.view().row(k), d);
    out.deviation += model.weights[static_cast<std::size_t>(k)] *
                     (deviation.cwiseAbs2() + (mean_of(model, k) - out.mean).cwiseAbs2());
  }
  out.deviation = out.deviation.cwiseSqrt();
  return out;
}

Ellipse ellipse(const Eigen::Matrix2d& covariance) {
  const double half_sum = 0.5 * (covariance(0, 0) + covariance(1, 1));
  const double half_difference = 0.5 * (covariance(0, 0) - covariance(1, 1));
  const double radius = std::hypot(half_difference, covariance(0, 1));
  return {std::sqrt(std::max(0.0, half_sum + radius)), std::sqrt(std::max(0.0, half_sum - radius)),
          0.5 * std::atan2(covariance(0, 1), half_difference)};
}

Directions principal_directions(const Model& model, std::int64_t q) {
  const Spread all = spread(model);
  const TotalCovariance C(model, all.mean);
  Directions out{all.mean, leading(C, model.n_features(), q).leftCols(q), Eigen::VectorXd::Zero(q)};
  for (std::int64_t j = 0; j < q; ++j) {
    Eigen::Index largest = 0;
    out.directions.col(j).cwiseAbs().maxCoeff(&largest);
    if (out.directions(largest, j) < 0.0) out.directions.col(j) *= -1.0;
  }
  const double total = all.deviation.squaredNorm();
  const Eigen::MatrixXd image = C * out.directions;
  for (std::int64_t j = 0; j < q; ++j) {
    out.share(j) = total > 0.0 ? out.directions.col(j).dot(image.col(j)) / total : 0.0;
  }
  return out;
}

std::vector<ProjectedComponent> project(const Model& model, const Directions& directions) {
  std::vector<ProjectedComponent> out;
  const Eigen::MatrixXd& V = directions.directions;
  for (std::int64_t k = 0; k < model.n_components(); ++k) {
    out.push_back({V.transpose() * (mean_of(model, k) - directions.origin),
                   V.transpose() * times_covariance(model, k, V)});
  }
  return out;
}

Matrix<double> project(const Matrix<double>& rows, const Directions& directions) {
  Matrix<double> out(rows.rows(), directions.directions.cols());
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    Eigen::VectorXd offset =
        Eigen::Map<const Eigen::VectorXd>(rows.view().row(i), rows.cols()) - directions.origin;
    offset = offset.unaryExpr([](double v) { return std::isnan(v) ? 0.0 : v; });
    Eigen::Map<Eigen::VectorXd>(out.view().row(i), out.cols()) =
        directions.directions.transpose() * offset;
  }
  return out;
}

}  // namespace culatent::report
