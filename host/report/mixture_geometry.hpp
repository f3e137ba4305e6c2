#pragma once

#include <Eigen/Dense>
#include <cstdint>
#include <vector>

#include "culatent/gaussian_mixture.hpp"
#include "culatent/matrix.hpp"

/// What drawings of a mixture need to know: spreads, ellipses, projections. K components of D
/// features; all in float64.
namespace culatent::report {

/// Standard deviations [K, D] of every component and feature.
Matrix<double> standard_deviations(const gaussian_mixture::Model& model);

/// Mean [D] and standard deviation [D] of the whole mixture.
struct Spread {
  Eigen::VectorXd mean;
  Eigen::VectorXd deviation;
};
Spread spread(const gaussian_mixture::Model& model);

/// The ellipse xᵀ C⁻¹ x = 1: half axes are the square roots of C's eigenvalues.
struct Ellipse {
  double major = 0.0;
  double minor = 0.0;
  double radians =
      0.0;  ///< from the first axis to the major one, counter-clockwise, in (−π/2, π/2]
};
/// Closed form for symmetric 2 x 2; eigenvalues below zero by rounding count as zero.
Ellipse ellipse(const Eigen::Matrix2d& covariance);

/// The directions in which the mixture as a whole spreads most.
struct Directions {
  Eigen::VectorXd origin;      ///< [D], mean of the mixture
  Eigen::MatrixXd directions;  ///< [D, q], orthonormal; the largest entry of each is positive
  Eigen::VectorXd share;       ///< [q], of the total variance; falling
};
/// First q ≤ D eigenvectors of sum_k w_k (C_k + (m_k − m)(m_k − m)ᵀ): all of a decomposition up to
/// 256 features, block power iteration beyond (right to about 1e-3 radians where eigenvalues are
/// apart). Holds D² numbers for full and tied covariances, K D otherwise.
Directions principal_directions(const gaussian_mixture::Model& model, std::int64_t q);

/// One component seen along some directions.
struct ProjectedComponent {
  Eigen::VectorXd mean;        ///< [q]
  Eigen::MatrixXd covariance;  ///< [q, q]
};
std::vector<ProjectedComponent> project(const gaussian_mixture::Model& model,
                                        const Directions& directions);

/// Rows [m, D] along the directions: [m, q]. A missing value (NaN) counts as the mixture's mean.
Matrix<double> project(const Matrix<double>& rows, const Directions& directions);

}  // namespace culatent::report
