#include <gtest/gtest.h>

#include "culatent/gaussian_mixture.hpp"
#include "tests/core/planted.hpp"
#include "tests/device.hpp"

namespace culatent {
namespace {

namespace gm = gaussian_mixture;

class GaussianMixtureOfManyFeatures : public testing::TestWithParam<gm::Covariance> {};

// Counts of words, say: 5000 rows of 2000 features, one value in a hundred not zero. Components
// have fewer rows than features, so that only reg_covar makes their covariances positive definite.
TEST_P(GaussianMixtureOfManyFeatures, IsFittedOrExplained) {
  planted::Draws draws(1);
  Matrix<float> rows(5000, 2000);
  for (std::int64_t i = 0; i < rows.size(); ++i) {
    if (draws.uniform() < 0.01) rows.data()[i] = static_cast<float>(1 + draws.below(5));
  }
  const Context context(on_device());
  const gm::Fit fit = gm::fit<float>(
      context, rows.view(),
      {.n_components = 10, .covariance = GetParam(), .max_iter = 1, .tol = 0.0, .seed = 1});
  planted::expect_finite(fit);
  EXPECT_EQ(fit.n_iter, 1);
}

INSTANTIATE_TEST_SUITE_P(Covariances, GaussianMixtureOfManyFeatures,
                         testing::ValuesIn(oracle::kCovariances),
                         [](const auto& test) { return gm::name(test.param); });

}  // namespace
}  // namespace culatent
