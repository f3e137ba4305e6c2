#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>

#include "culatent/error.hpp"
#include "culatent/gaussian_mixture.hpp"
#include "tests/core/planted.hpp"
#include "tests/device.hpp"

namespace culatent {
namespace {

using planted::at;
using planted::error_of;
using planted::expect_contains;
namespace gm = gaussian_mixture;

template <class T>
class GaussianMixtureInput : public testing::Test {
 protected:
  static gm::Fit fit(const Matrix<T>& rows, gm::Options options = {.n_components = 2}) {
    const Context context(on_device({.n_threads = 2}));
    if (!options.seed) options.seed = 1;
    return gm::fit<T>(context, rows.view(), options);
  }
  static Matrix<T> noise(std::int64_t n, std::int64_t d) {
    planted::Draws draws(5);
    Matrix<T> rows(n, d);
    for (std::int64_t i = 0; i < rows.size(); ++i) rows.data()[i] = static_cast<T>(draws.normal());
    return rows;
  }
  // The right answer or a typed error, never anything that is not finite with success.
  static bool fits_or_explains(const Matrix<T>& rows, const gm::Options& options) {
    try {
      planted::expect_finite(fit(rows, options));
      return true;
    } catch (const data_error& error) {
      EXPECT_NE(std::string(error.what()).find("): "), std::string::npos) << error.what();
      return false;
    }
  }
};

using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(GaussianMixtureInput, Types);

TYPED_TEST(GaussianMixtureInput, NoDataIsAnError) {
  const Matrix<TypeParam> no_rows(0, 3), no_cols(5, 0);
  expect_contains(error_of<data_error>([&] { this->fit(no_rows); }), "0 rows, 3 columns");
  expect_contains(error_of<data_error>([&] { this->fit(no_cols); }), "5 rows, 0 columns");
}

TYPED_TEST(GaussianMixtureInput, FewerRowsThanComponentsAreAnError) {
  const auto rows = this->noise(4, 2);
  expect_contains(error_of<data_error>([&] { this->fit(rows, {.n_components = 5}); }),
                  "4 rows for 5 components");
  EXPECT_TRUE(this->fits_or_explains(rows, {.n_components = 4}));
  const std::vector<double> weights = {1, 0, 0, 2};
  expect_contains(
      error_of<data_error>([&] { this->fit(rows, {.n_components = 3, .weights = weights}); }),
      "2 rows of positive weight for 3 components");
}

TYPED_TEST(GaussianMixtureInput, OptionsThatNoDataMakeRightAreInvalid) {
  const auto rows = this->noise(50, 2);
  const auto refused = [&](const gm::Options& options, const char* option) {
    expect_contains(error_of<invalid_argument>([&] { this->fit(rows, options); }), option);
  };
  const double nan = std::nan("");
  refused({.n_components = 0}, "--components");
  refused({.n_components = -3}, "--components");
  refused({.max_iter = -1}, "--max-iter");
  refused({.tol = -1e-9}, "--tol");
  refused({.tol = nan}, "--tol");
  refused({.reg_covar = -1.0}, "--reg-covar");
  refused({.reg_covar = nan}, "--reg-covar");
  refused({.reg_covar = HUGE_VAL}, "--reg-covar");
  refused({.n_init = 0}, "--n-init");
  refused({.checkpoint = {.every_iterations = -1}}, "--checkpoint-every");
  refused({.checkpoint = {.every_seconds = nan}}, "--checkpoint-every");
}

TYPED_TEST(GaussianMixtureInput, NaNAndInfinityAreNamedByRowAndColumn) {
  for (const TypeParam bad :
       {std::numeric_limits<TypeParam>::quiet_NaN(), std::numeric_limits<TypeParam>::infinity()}) {
    auto rows = this->noise(3000, 3);
    rows(2500, 1) = bad;
    rows(2999, 0) = bad;
    expect_contains(error_of<data_error>([&] { this->fit(rows); }), "row 2500, column 1");
  }
}

TYPED_TEST(GaussianMixtureInput, WeightsThatAreNoneAreNamed) {
  const auto rows = this->noise(3, 1);
  const auto refused = [&](const std::vector<double>& weights, const char* what) {
    expect_contains(
        error_of<data_error>([&] { this->fit(rows, {.n_components = 1, .weights = weights}); }),
        what);
  };
  refused({1, 1}, "2 row weights for 3 rows");
  refused({1, -1, 1}, "row 1");
  refused({1, 1, std::nan("")}, "row 2");
  refused({0, 0, 0}, "zero");
}

TYPED_TEST(GaussianMixtureInput, EqualRowsHaveTheCovarianceOfRegCovar) {
  Matrix<TypeParam> rows(200, 3);
  for (std::int64_t i = 0; i < rows.size(); ++i) rows.data()[i] = static_cast<TypeParam>(0.1);
  for (const gm::Covariance covariance : oracle::kCovariances) {
    for (const int n_components : {1, 3}) {
      const gm::Fit fit = this->fit(rows, {.n_components = n_components, .covariance = covariance});
      planted::expect_finite(fit);
      for (std::int64_t i = 0; i < fit.model.means.size(); ++i) {
        EXPECT_EQ(fit.model.means.data()[i], static_cast<double>(static_cast<TypeParam>(0.1)));
      }
      for (std::int64_t k = 0; k < n_components; ++k) {
        EXPECT_DOUBLE_EQ(static_cast<double>(oracle::dense(fit.model, k)(1, 1)), 1e-6);
      }
    }
    const gm::Options exact{.n_components = 2, .covariance = covariance, .reg_covar = 0.0};
    expect_contains(error_of<data_error>([&] { this->fit(rows, exact); }), "reg_covar");
  }
}

TYPED_TEST(GaussianMixtureInput, AConstantColumnKeepsItsValue) {
  for (const double value : {0.1, -7e5, static_cast<double>(FLT_MAX)}) {
    auto rows = this->noise(1500, 3);
    for (std::int64_t i = 0; i < rows.rows(); ++i) rows(i, 1) = static_cast<TypeParam>(value);
    for (const gm::Covariance covariance : oracle::kCovariances) {
      const gm::Fit fit = this->fit(rows, {.n_components = 2, .covariance = covariance});
      planted::expect_finite(fit);
      for (std::int64_t k = 0; k < 2; ++k) {
        EXPECT_EQ(fit.model.means(k, 1), static_cast<double>(static_cast<TypeParam>(value)))
            << gm::name(covariance);
        EXPECT_LT(std::abs(fit.model.means(k, 0)), 4.0);
      }
    }
  }
}

TYPED_TEST(GaussianMixtureInput, DuplicateRowsAreRows) {
  const auto few = this->noise(5, 2);
  Matrix<TypeParam> rows(1000, 2);
  for (std::int64_t i = 0; i < 1000; ++i) std::copy_n(&few(i % 5, 0), 2, &rows(i, 0));
  for (const gm::Covariance covariance : oracle::kCovariances) {
    for (const int n_components : {2, 5, 8}) {
      EXPECT_TRUE(this->fits_or_explains(
          rows, {.n_components = n_components, .covariance = covariance, .max_iter = 20}));
    }
  }
}

TYPED_TEST(GaussianMixtureInput, ValuesAsLargeAsFloatAreFitted) {
  auto rows = this->noise(2000, 2);
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    rows(i, 0) = i % 2 == 0 ? static_cast<TypeParam>(FLT_MAX) : static_cast<TypeParam>(-FLT_MAX);
    rows(i, 1) *= static_cast<TypeParam>(FLT_MAX) / 8;
  }
  for (const gm::Covariance covariance : oracle::kCovariances) {
    const gm::Fit fit = this->fit(rows, {.n_components = 1, .covariance = covariance});
    planted::expect_finite(fit);
    EXPECT_LT(std::abs(fit.model.means(0, 0)), 1e-6 * FLT_MAX);
    const auto variance = static_cast<double>(oracle::dense(fit.model, 0)(0, 0));
    if (covariance != gm::Covariance::spherical) {
      EXPECT_NEAR(variance / FLT_MAX / FLT_MAX, 1.0, 1e-6);
    }
  }
}

TYPED_TEST(GaussianMixtureInput, ValuesAsSmallAsSubnormalFloatsAreFitted) {
  auto rows = this->noise(2000, 2);
  for (std::int64_t i = 0; i < rows.size(); ++i) {
    rows.data()[i] = static_cast<TypeParam>(static_cast<double>(rows.data()[i]) * 1e-40);
  }
  const gm::Fit fit = this->fit(rows, {.n_components = 1, .reg_covar = 0.0});
  planted::expect_finite(fit);
  EXPECT_NEAR(fit.model.covariances[0] / 1e-80, 1.0, 5 * std::sqrt(2.0 / 2000));
}

TYPED_TEST(GaussianMixtureInput, AFarOutlierLeavesEverythingFinite) {
  auto rows = this->noise(1000, 2);
  rows(500, 0) = static_cast<TypeParam>(1e30);
  for (const gm::Covariance covariance : oracle::kCovariances) {
    for (const gm::Collapse collapse : {gm::Collapse::regularise, gm::Collapse::drop}) {
      this->fits_or_explains(rows,
                             {.n_components = 2, .covariance = covariance, .collapse = collapse});
    }
  }
}

TYPED_TEST(GaussianMixtureInput, ManyFeaturesMostlyZeroAreFitted) {
  planted::Draws draws(8);
  Matrix<TypeParam> rows(600, 400);
  for (std::int64_t i = 0; i < rows.size(); ++i) {
    if (draws.uniform() < 0.01) rows.data()[i] = static_cast<TypeParam>(draws.uniform(1.0, 5.0));
  }
  for (const gm::Covariance covariance : oracle::kCovariances) {
    EXPECT_TRUE(
        this->fits_or_explains(rows, {.n_components = 10, .covariance = covariance, .max_iter = 3}))
        << gm::name(covariance);
  }
}

TEST(GaussianMixtureInputInDouble, SquaresThatLeaveDoubleAreAnError) {
  const Context context(on_device());
  Matrix<double> rows = planted::rows(planted::model(gm::Covariance::full, 1, 2, 1.0, 1), 50, 2);
  const auto refused = [&] {
    return error_of<data_error>(
        [&] { gm::fit<double>(context, rows.view(), {.n_components = 2}); });
  };
  rows(20, 1) = 1e300;
  expect_contains(refused(), "column 1");
  rows(20, 1) = DBL_MAX;
  rows(21, 1) = -DBL_MAX;
  expect_contains(refused(), "column 1");
}

TEST(GaussianMixtureInputInDouble, AnEnormousConstantIsAnOffset) {
  const Context context(on_device());
  Matrix<double> rows = planted::rows(planted::model(gm::Covariance::full, 1, 2, 0.0, 1), 5000, 2);
  for (std::int64_t i = 0; i < rows.rows(); ++i) rows(i, 0) = 1e306;
  const gm::Fit fit = gm::fit<double>(context, rows.view(), {.n_components = 1});
  planted::expect_finite(fit);
  EXPECT_EQ(fit.model.means(0, 0), 1e306);
}

TEST(GaussianMixtureInput, MustBeInHostMemory) {
  float value = 1.0f;
  const MatrixView<const float> rows(&value, 1, 1, 1, MemorySpace::device);
  EXPECT_THROW(gm::fit<float>(Context(), rows, {.n_components = 1}), invalid_argument);
}

}  // namespace
}  // namespace culatent
