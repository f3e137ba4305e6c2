#include "host/report/mixture_geometry.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>

namespace culatent::report {
namespace {

using gaussian_mixture::Covariance;
using gaussian_mixture::Model;

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();

Eigen::Matrix2d turned(double major, double minor, double radians) {
  const Eigen::Matrix2d R = Eigen::Rotation2Dd(radians).toRotationMatrix();
  return R * Eigen::Vector2d(major * major, minor * minor).asDiagonal() * R.transpose();
}

TEST(Ellipse, HasTheAxesThatItsCovarianceWasMadeFrom) {
  for (const double angle : {-1.5, -0.7, 0.0, 0.3, 1.0, 1.5}) {
    const Ellipse shape = ellipse(turned(3.0, 0.5, angle));
    EXPECT_NEAR(shape.major, 3.0, 16 * kEpsilon);
    // The small eigenvalue is a difference of numbers of the size of the large one.
    EXPECT_NEAR(shape.minor, 0.5, 16 * kEpsilon * 9.0 / 0.5);
    EXPECT_NEAR(shape.radians, angle, 64 * kEpsilon);
  }
}

TEST(Ellipse, TakesCirclesLinesAndPoints) {
  const Ellipse circle = ellipse(4.0 * Eigen::Matrix2d::Identity());
  EXPECT_EQ(circle.major, 2.0);
  EXPECT_EQ(circle.minor, 2.0);
  const Ellipse line = ellipse(turned(2.0, 0.0, std::numbers::pi / 4));
  EXPECT_NEAR(line.minor, 0.0, 2.0 * std::sqrt(16 * kEpsilon));
  EXPECT_EQ(ellipse(Eigen::Matrix2d::Zero()).major, 0.0);
}

Model two_components(Covariance covariance, std::vector<double> values) {
  Model model;
  model.covariance = covariance;
  model.weights = {0.25, 0.75};
  model.means = Matrix<double>(2, 2);
  model.means(1, 0) = 4.0;
  model.covariances = std::move(values);
  return model;
}

TEST(StandardDeviations, ReadEveryKindOfCovariance) {
  const Model full = two_components(Covariance::full, {1, 0.5, 0.5, 4, 9, 0, 0, 16});
  EXPECT_EQ(standard_deviations(full)(0, 1), 2.0);
  EXPECT_EQ(standard_deviations(full)(1, 0), 3.0);
  const Model tied = two_components(Covariance::tied, {1, 0.5, 0.5, 4});
  EXPECT_EQ(standard_deviations(tied)(1, 1), 2.0);
  const Model diagonal = two_components(Covariance::diagonal, {1, 4, 9, 16});
  EXPECT_EQ(standard_deviations(diagonal)(1, 0), 3.0);
  const Model spherical = two_components(Covariance::spherical, {1, 4});
  EXPECT_EQ(standard_deviations(spherical)(1, 1), 2.0);
}

// Means 0 and 4 with weights 1/4 and 3/4: mean 3, variance between 3, and the variance within.
TEST(Spread, AddsVarianceWithinAndBetween) {
  const Spread all = spread(two_components(Covariance::spherical, {1, 2}));
  EXPECT_DOUBLE_EQ(all.mean(0), 3.0);
  EXPECT_DOUBLE_EQ(all.deviation(0), std::sqrt(3.0 + 0.25 * 1 + 0.75 * 2));
  EXPECT_DOUBLE_EQ(all.deviation(1), std::sqrt(0.25 * 1 + 0.75 * 2));
}

TEST(PrincipalDirections, AreTheAxesOfATurnedMixture) {
  const Eigen::Matrix2d C = turned(2.0, 1.0, 0.6);
  Model model;
  model.weights = {1.0};
  model.means = Matrix<double>(1, 2);
  model.covariances = {C(0, 0), C(0, 1), C(1, 0), C(1, 1)};
  const Directions found = principal_directions(model, 2);
  EXPECT_NEAR(found.share(0), 0.8, 8 * kEpsilon);
  EXPECT_NEAR(found.share(1), 0.2, 8 * kEpsilon);
  EXPECT_NEAR(found.directions(0, 0), std::cos(0.6), 16 * kEpsilon);
  EXPECT_NEAR(found.directions(1, 0), std::sin(0.6), 16 * kEpsilon);
  const std::vector<ProjectedComponent> seen = project(model, found);
  EXPECT_NEAR(seen[0].covariance(0, 0), 4.0, 32 * kEpsilon);
  EXPECT_NEAR(seen[0].covariance(1, 1), 1.0, 32 * kEpsilon);
  EXPECT_NEAR(seen[0].covariance(0, 1), 0.0, 32 * kEpsilon);
}

// The same mixture as full, tied and diagonal has the same directions, found by either algorithm.
class PrincipalDirectionsOfKind : public ::testing::TestWithParam<Covariance> {};

Model planted(Covariance covariance, std::int64_t d) {
  Model model;
  model.covariance = covariance;
  model.weights = {0.5, 0.5};
  model.means = Matrix<double>(2, d);
  model.means(0, 3) = -3.0;  // variance 9 between, along feature 3
  model.means(1, 3) = 3.0;
  const bool dense = covariance == Covariance::full || covariance == Covariance::tied;
  const std::int64_t copies = covariance == Covariance::tied ? 1 : 2;
  model.covariances.assign(static_cast<std::size_t>(copies * (dense ? d * d : d)), 0.0);
  for (std::int64_t k = 0; k < copies; ++k) {
    for (std::int64_t j = 0; j < d; ++j) {
      const double variance = j == 1 ? 25.0 : j == 5 ? 4.0 : 1.0;
      model.covariances[static_cast<std::size_t>(dense ? (k * d + j) * d + j : k * d + j)] =
          variance;
    }
  }
  return model;
}

TEST_P(PrincipalDirectionsOfKind, FindsThePlantedOnesInFewAndManyFeatures) {
  for (const std::int64_t d : {8, 256, 257, 600}) {
    const Directions found = principal_directions(planted(GetParam(), d), 3);
    const double total = 25.0 + 10.0 + 4.0 + static_cast<double>(d - 3);
    // Beyond 256 features the iteration ends at a relative change of 1e-7.
    EXPECT_NEAR(found.share(0), 25.0 / total, 1e-6) << d;
    EXPECT_NEAR(found.share(1), 10.0 / total, 1e-6) << d;
    EXPECT_NEAR(found.share(2), 4.0 / total, 1e-6) << d;
    EXPECT_NEAR(found.directions(1, 0), 1.0, 1e-6) << d;
    EXPECT_NEAR(found.directions(3, 1), 1.0, 1e-6) << d;
    EXPECT_NEAR(found.directions(5, 2), 1.0, 1e-5) << d;
  }
}
INSTANTIATE_TEST_SUITE_P(Covariances, PrincipalDirectionsOfKind,
                         ::testing::Values(Covariance::full, Covariance::tied,
                                           Covariance::diagonal));

TEST(PrincipalDirections, TakeAMixtureWithoutSpread) {
  Model model;
  model.weights = {1.0};
  model.means = Matrix<double>(1, 3);
  model.covariances.assign(9, 0.0);
  const Directions found = principal_directions(model, 3);
  EXPECT_EQ(found.share.sum(), 0.0);
  EXPECT_TRUE(found.directions.allFinite());
}

TEST(Project, PutsMissingValuesAtTheMean) {
  const Directions along{Eigen::Vector2d(1.0, 2.0), Eigen::Matrix2d::Identity(),
                         Eigen::Vector2d(0.5, 0.5)};
  Matrix<double> rows(2, 2);
  rows(0, 0) = 3.0;
  rows(0, 1) = std::numeric_limits<double>::quiet_NaN();
  rows(1, 0) = 1.0;
  rows(1, 1) = 5.0;
  const Matrix<double> seen = project(rows, along);
  EXPECT_EQ(seen(0, 0), 2.0);
  EXPECT_EQ(seen(0, 1), 0.0);
  EXPECT_EQ(seen(1, 1), 3.0);
}

}  // namespace
}  // namespace culatent::report
