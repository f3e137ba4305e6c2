#include <gtest/gtest.h>

#include <cmath>

#include "culatent/gaussian_mixture.hpp"
#include "tests/core/planted.hpp"
#include "tests/device.hpp"

namespace culatent {
namespace {

using planted::at;
namespace gm = gaussian_mixture;

class GaussianMixtureWeights : public testing::TestWithParam<gm::Covariance> {
 protected:
  template <class T>
  gm::Fit fit(const Matrix<double>& rows, const std::vector<double>& weights,
              bool given_start = true) const {
    gm::Options o{.n_components = 3,
                  .covariance = GetParam(),
                  .max_iter = 6,
                  .tol = 0.0,
                  .seed = 4,
                  .weights = weights};
    if (given_start) o.start = planted::start(model_);
    return gm::fit<T>(context_, planted::cast<T>(rows).view(), o);
  }
  const gm::Model model_ = planted::model(GetParam(), 3, 3, 1.5, 1);
  const Matrix<double> rows_ = planted::rows(model_, 1100, 2);
  const Context context_{on_device({.n_threads = 2})};
};

TEST_P(GaussianMixtureWeights, CountAsRepetitions) {
  std::vector<double> weights;
  std::vector<std::int64_t> repeated_rows;
  for (std::int64_t i = 0; i < rows_.rows(); ++i) {
    weights.push_back(static_cast<double>(i % 5));
    for (std::int64_t r = 0; r < i % 5; ++r) repeated_rows.push_back(i);
  }
  Matrix<double> repeated(static_cast<std::int64_t>(repeated_rows.size()), 3);
  for (std::int64_t i = 0; i < repeated.rows(); ++i) {
    std::copy_n(&rows_(repeated_rows[at(i)], 0), 3, &repeated(i, 0));
  }
  // Other orders of the same sums: rounding, passed on by six updates.
  const double wide = 1e5 * std::numeric_limits<double>::epsilon();
  const double narrow = 5e3 * std::numeric_limits<float>::epsilon();
  const gm::Fit a = fit<double>(rows_, weights), b = fit<double>(repeated, {});
  planted::expect_models_near(a.model, b.model, wide);
  planted::expect_near(planted::trace_values(a), planted::trace_values(b), wide, "trace");
  planted::expect_models_near(fit<float>(rows_, weights).model, fit<float>(repeated, {}).model,
                              narrow);
}

TEST_P(GaussianMixtureWeights, OnesAreNoWeights) {
  const std::vector<double> ones(at(rows_.rows()), 1.0);
  for (const bool given_start : {true, false}) {
    EXPECT_TRUE(planted::same_bits(fit<double>(rows_, ones, given_start),
                                   fit<double>(rows_, {}, given_start)));
  }
}

TEST_P(GaussianMixtureWeights, ScaledByAPowerOfTwoGiveTheSameBits) {
  planted::Draws draws(3);
  std::vector<double> weights;
  for (std::int64_t i = 0; i < rows_.rows(); ++i) weights.push_back(draws.uniform(0.0, 2.0));
  const gm::Fit plain = fit<float>(rows_, weights, false);
  for (const double factor : {0x1p-900, 0x1p-20, 4.0, 0x1p900}) {
    std::vector<double> scaled = weights;
    for (double& w : scaled) w *= factor;
    EXPECT_TRUE(planted::same_bits(fit<float>(rows_, scaled, false), plain)) << factor;
  }
}

TEST_P(GaussianMixtureWeights, ScaledByAnythingGiveTheSameModel) {
  planted::Draws draws(3);
  std::vector<double> weights;
  for (std::int64_t i = 0; i < rows_.rows(); ++i) weights.push_back(draws.uniform(0.0, 2.0));
  const gm::Fit plain = fit<double>(rows_, weights);
  for (const double factor : {3.0, 1e-300, 1.1e300}) {
    std::vector<double> scaled = weights;
    for (double& w : scaled) w *= factor;
    planted::expect_models_near(fit<double>(rows_, scaled).model, plain.model,
                                1e5 * std::numeric_limits<double>::epsilon());
  }
}

// Rows of weight zero may be anything finite.
TEST_P(GaussianMixtureWeights, OfZeroTakeARowOut) {
  Matrix<double> with_junk(rows_.rows() * 2, 3);
  std::vector<double> weights;
  for (std::int64_t i = 0; i < with_junk.rows(); ++i) {
    weights.push_back(i % 2 == 0 ? 1.0 : 0.0);
    for (std::int64_t j = 0; j < 3; ++j) {
      with_junk(i, j) = i % 2 == 0 ? rows_(i / 2, j) : (i % 3 == 0 ? 300.0 : -40.0);
    }
  }
  planted::expect_models_near(fit<double>(with_junk, weights).model, fit<double>(rows_, {}).model,
                              1e6 * std::numeric_limits<double>::epsilon());
}

INSTANTIATE_TEST_SUITE_P(Covariances, GaussianMixtureWeights,
                         testing::ValuesIn(oracle::kCovariances),
                         [](const auto& test) { return gm::name(test.param); });

// Whatever the init, a mean must not start on a row that does not count.
TEST(GaussianMixtureZeroWeights, AreNeverStartedFrom) {
  const std::int64_t n = 20000;
  Matrix<double> rows = planted::rows(planted::model(gm::Covariance::full, 2, 2, 1.0, 1), n, 2);
  std::vector<double> weights(at(n), 0.0);
  for (std::int64_t i = 0; i < n; ++i) {
    if (i % 4000 == 1234) {
      weights[at(i)] = 1.0;
    } else {
      rows(i, 0) += 1e4;
    }
  }
  const Context context(on_device({.n_threads = 2}));
  for (const gm::Init init :
       {gm::Init::kmeans, gm::Init::kmeans_plus, gm::Init::random, gm::Init::random_rows}) {
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
      const gm::Fit fit = gm::fit<double>(context, rows.view(),
                                          {.n_components = 2,
                                           .covariance = gm::Covariance::spherical,
                                           .max_iter = 20,
                                           .init = init,
                                           .seed = seed,
                                           .weights = weights});
      for (std::int64_t k = 0; k < 2; ++k) {
        EXPECT_LT(fit.model.means(k, 0), 100.0) << gm::name(init) << ", seed " << seed;
      }
    }
  }
}

}  // namespace
}  // namespace culatent
