#include <gtest/gtest.h>

#include <cmath>

#include "culatent/error.hpp"
#include "culatent/gaussian_mixture.hpp"
#include "tests/core/planted.hpp"
#include "tests/device.hpp"

namespace culatent {
namespace {

using planted::at;
namespace gm = gaussian_mixture;

// A cloud, and far from it `n_alike` rows on one point.
Matrix<double> cloud_and_point(std::int64_t n_alike) {
  const std::int64_t n = 600;
  Matrix<double> rows(n + n_alike, 2);
  planted::Draws draws(3);
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    for (std::int64_t j = 0; j < 2; ++j) rows(i, j) = i < n ? draws.normal() : 50.0;
  }
  return rows;
}

class GaussianMixtureCollapse
    : public testing::TestWithParam<std::tuple<gm::Covariance, std::int64_t>> {
 protected:
  template <class T>
  gm::Fit fit(gm::Collapse collapse, double reg_covar = 0.0) const {
    const Context context(on_device({.n_threads = 2}));
    return gm::fit<T>(context, planted::cast<T>(rows_).view(),
                      {.n_components = 2,
                       .covariance = std::get<0>(GetParam()),
                       .max_iter = 30,
                       .reg_covar = reg_covar,
                       .collapse = collapse,
                       .seed = 1});
  }
  const Matrix<double> rows_ = cloud_and_point(std::get<1>(GetParam()));
};

TEST_P(GaussianMixtureCollapse, IsRegularisedAndReported) {
  for (const bool narrow : {false, true}) {
    const gm::Fit run =
        narrow ? fit<float>(gm::Collapse::regularise) : fit<double>(gm::Collapse::regularise);
    planted::expect_finite(run);
    EXPECT_EQ(run.model.n_components(), 2);
    EXPECT_GT(run.n_collapsed, 0);
    const bool told = std::any_of(run.warnings.begin(), run.warnings.end(),
                                  [](const Warning& w) { return w.code == "collapsed"; });
    EXPECT_TRUE(told);
  }
}

TEST_P(GaussianMixtureCollapse, IsDropped) {
  for (const bool narrow : {false, true}) {
    const gm::Fit run = narrow ? fit<float>(gm::Collapse::drop) : fit<double>(gm::Collapse::drop);
    planted::expect_finite(run);
    ASSERT_EQ(run.model.n_components(), 1);
    EXPECT_EQ(run.model.weights, std::vector<double>{1.0});
    EXPECT_EQ(run.n_collapsed, 1);
    // What is left is one Gaussian of all rows.
    double mean = 0.0;
    for (std::int64_t i = 0; i < rows_.rows(); ++i) mean += rows_(i, 0);
    mean /= static_cast<double>(rows_.rows());
    EXPECT_NEAR(run.model.means(0, 0), mean, 1e-4);
  }
}

TEST_P(GaussianMixtureCollapse, IsAnErrorThatNamesTheComponent) {
  const std::string text = planted::error_of<data_error>([&] { fit<double>(gm::Collapse::error); });
  planted::expect_contains(text, "component ");
  planted::expect_contains(text, "collapse");
  planted::error_of<data_error>([&] { fit<float>(gm::Collapse::error); });
}

// As scikit-learn does, which knows no collapse: the point is a component of variance reg_covar.
TEST_P(GaussianMixtureCollapse, DoesNotHappenToWhatRegCovarHoldsOpen) {
  for (const bool narrow : {false, true}) {
    const gm::Fit run =
        narrow ? fit<float>(gm::Collapse::error, 1e-6) : fit<double>(gm::Collapse::error, 1e-6);
    EXPECT_TRUE(run.converged);
    EXPECT_EQ(run.n_collapsed, 0);
    const std::int64_t point = run.model.means(0, 0) > 25.0 ? 0 : 1;
    EXPECT_NEAR(run.model.means(point, 0), 50.0, 1e-5);
    EXPECT_NEAR(static_cast<double>(oracle::dense(run.model, point)(1, 1)), 1e-6, 1e-8);
    EXPECT_NEAR(run.model.weights[at(point)] * static_cast<double>(rows_.rows()),
                static_cast<double>(std::get<1>(GetParam())), 1e-4);
  }
}

INSTANTIATE_TEST_SUITE_P(Points, GaussianMixtureCollapse,
                         testing::Combine(testing::Values(gm::Covariance::full,
                                                          gm::Covariance::diagonal,
                                                          gm::Covariance::spherical),
                                          testing::Values(std::int64_t{1}, std::int64_t{40})),
                         [](const auto& test) {
                           return std::string(gm::name(std::get<0>(test.param))) + "_" +
                                  std::to_string(std::get<1>(test.param));
                         });

TEST(GaussianMixtureTied, ACommonCovarianceDoesNotCollapseOnAPoint) {
  const Matrix<double> rows = cloud_and_point(40);
  const Context context(on_device());
  const gm::Fit fit = gm::fit<double>(context, rows.view(),
                                      {.n_components = 2,
                                       .covariance = gm::Covariance::tied,
                                       .reg_covar = 0.0,
                                       .collapse = gm::Collapse::error,
                                       .seed = 1});
  EXPECT_EQ(fit.n_collapsed, 0);
  EXPECT_NEAR(std::max(fit.model.means(0, 0), fit.model.means(1, 0)), 50.0, 1e-9);
}

// Two rows far off span a line, not the space: their covariance is singular but they are no point.
TEST(GaussianMixtureCollapseOnALine, IsResetToThePooledCovariance) {
  Matrix<double> rows = planted::rows(planted::model(gm::Covariance::full, 1, 4, 0.0, 1), 300, 2);
  for (std::int64_t i = 298; i < 300; ++i) {
    for (std::int64_t j = 0; j < 4; ++j) rows(i, j) += 100.0;
  }
  for (std::int64_t i = 0; i < rows.size(); ++i) rows.data()[i] *= 1e6;  // beside it reg_covar is 0
  const Context context(on_device());
  const gm::Options options{.n_components = 2, .max_iter = 20, .seed = 1};
  const gm::Fit wide = gm::fit<double>(context, rows.view(), options);
  planted::expect_finite(wide);
  EXPECT_GT(wide.n_collapsed, 0);
  planted::expect_finite(gm::fit<float>(context, planted::cast<float>(rows).view(), options));
}

TEST(GaussianMixtureCollapseOfAll, IsTheRightAnswerOrAnError) {
  Matrix<double> rows(100, 2);  // two points, fifty rows each
  for (std::int64_t i = 0; i < 100; ++i) rows(i, 0) = rows(i, 1) = i < 50 ? -1.0 : 1.0;
  const Context context(on_device());
  for (const gm::Collapse collapse :
       {gm::Collapse::regularise, gm::Collapse::drop, gm::Collapse::error}) {
    for (const gm::Covariance covariance : oracle::kCovariances) {
      try {
        const gm::Fit fit = gm::fit<double>(context, rows.view(),
                                            {.n_components = 2,
                                             .covariance = covariance,
                                             .reg_covar = 0.0,
                                             .collapse = collapse,
                                             .seed = 1});
        planted::expect_finite(fit);
        EXPECT_EQ(collapse, gm::Collapse::regularise);
        EXPECT_GT(fit.n_collapsed, 0);
      } catch (const data_error& error) {
        EXPECT_NE(std::string(error.what()).find("reg_covar"), std::string::npos) << error.what();
      }
    }
  }
}

}  // namespace
}  // namespace culatent
