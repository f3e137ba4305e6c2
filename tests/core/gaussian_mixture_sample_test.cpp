#include <gtest/gtest.h>

#include <cmath>

#include "culatent/error.hpp"
#include "culatent/gaussian_mixture.hpp"
#include "tests/core/planted.hpp"

namespace culatent {
namespace {

using planted::at;
namespace gm = gaussian_mixture;

class GaussianMixtureSample : public testing::TestWithParam<gm::Covariance> {
 protected:
  const gm::Model model_ = planted::model(GetParam(), 3, 3, 4.0, 1);
  const Context context_{{.n_threads = 2}};
};

// Every moment within five standard errors.
TEST_P(GaussianMixtureSample, HasTheMomentsOfTheModel) {
  constexpr std::int64_t kRows = 60000;
  Matrix<double> rows(kRows, 3);
  std::vector<std::int32_t> labels(kRows);
  gm::sample<double>(context_, model_, 11, 0, rows.view(), labels);
  for (std::int64_t k = 0; k < 3; ++k) {
    const oracle::Square covariance = oracle::dense(model_, k);
    double count = 0.0, mean[3] = {}, second[3][3] = {};
    for (std::int64_t n = 0; n < kRows; ++n) {
      if (labels[at(n)] != k) continue;
      ++count;
      for (std::int64_t i = 0; i < 3; ++i) {
        mean[i] += rows(n, i) - model_.means(k, i);
        for (std::int64_t j = 0; j < 3; ++j) {
          second[i][j] += (rows(n, i) - model_.means(k, i)) * (rows(n, j) - model_.means(k, j));
        }
      }
    }
    const double weight = model_.weights[at(k)];
    EXPECT_NEAR(count / kRows, weight, 5 * std::sqrt(weight * (1 - weight) / kRows));
    for (std::int64_t i = 0; i < 3; ++i) {
      const auto variance = static_cast<double>(covariance(i, i));
      EXPECT_NEAR(mean[i] / count, 0.0, 5 * std::sqrt(variance / count));
      for (std::int64_t j = 0; j < 3; ++j) {
        const auto expected = static_cast<double>(covariance(i, j));
        const double spread =
            variance * static_cast<double>(covariance(j, j)) + expected * expected;
        EXPECT_NEAR(second[i][j] / count, expected, 5 * std::sqrt(spread / count));
      }
    }
  }
}

TEST_P(GaussianMixtureSample, ARowIsAFunctionOfSeedAndIndex) {
  Matrix<double> whole(5000, 3);
  std::vector<std::int32_t> labels(5000);
  gm::sample<double>(context_, model_, 7, 100, whole.view(), labels);
  planted::Draws draws(3);
  for (std::int64_t first = 0; first < 5000;) {
    const std::int64_t count = std::min<std::int64_t>(1 + draws.below(1500), 5000 - first);
    Matrix<double> part(count, 5);  // with a margin
    std::vector<std::int32_t> part_labels(at(count));
    gm::sample<double>(context_, model_, 7, 100 + first, {part.data(), count, 3, 5}, part_labels);
    for (std::int64_t i = 0; i < count; ++i) {
      for (std::int64_t j = 0; j < 3; ++j) ASSERT_EQ(part(i, j), whole(first + i, j));
      ASSERT_EQ(part(i, 3), 0.0);
      ASSERT_EQ(part_labels[at(i)], labels[at(first + i)]);
    }
    first += count;
  }
  Matrix<double> other(5000, 3);
  gm::sample<double>(context_, model_, 8, 100, other.view());
  EXPECT_FALSE(planted::same_bits(planted::values(whole), planted::values(other)));
  Matrix<float> narrow(5000, 3);
  gm::sample<float>(context_, model_, 7, 100, narrow.view());
  for (std::int64_t i = 0; i < narrow.size(); ++i) {
    ASSERT_EQ(narrow.data()[i], static_cast<float>(whole.data()[i]));
  }
}

TEST_P(GaussianMixtureSample, TakesADirectionWithoutVariance) {
  gm::Model model = model_;
  for (double& value : model.covariances) value = 0.0;
  if (GetParam() == gm::Covariance::full || GetParam() == gm::Covariance::tied) {
    for (std::size_t first = 0; first < model.covariances.size(); first += 9) {
      for (const std::size_t i : {0, 1, 3, 4}) model.covariances[first + i] = 1.0;  // rank one
    }
  }
  Matrix<double> rows(100, 3);
  std::vector<std::int32_t> labels(100);
  gm::sample<double>(context_, model, 1, 0, rows.view(), labels);
  for (std::int64_t i = 0; i < 100; ++i) {
    const std::int32_t k = labels[at(i)];
    EXPECT_EQ(rows(i, 2), model.means(k, 2));
    EXPECT_NEAR(rows(i, 0) - model.means(k, 0), rows(i, 1) - model.means(k, 1), 1e-14);
  }
}

TEST_P(GaussianMixtureSample, NeverDrawsAComponentOfWeightZero) {
  gm::Model model = model_;
  model.weights = {0.0, 1.0, 0.0};
  Matrix<double> rows(2000, 3);
  std::vector<std::int32_t> labels(2000);
  gm::sample<double>(context_, model, 1, 0, rows.view(), labels);
  EXPECT_EQ(std::count(labels.begin(), labels.end(), 1), 2000);
}

TEST_P(GaussianMixtureSample, OfManyFeaturesWithoutCorrelationNeedsNoMatrix) {
  if (GetParam() == gm::Covariance::full || GetParam() == gm::Covariance::tied) return;
  constexpr std::int64_t kFeatures = 60000;  // as a matrix: 28.8 GB a component
  gm::Model model;
  model.covariance = GetParam();
  model.weights = {0.5, 0.5};
  model.means = Matrix<double>(2, kFeatures);
  model.covariances.assign(GetParam() == gm::Covariance::diagonal ? 2 * kFeatures : 2, 4.0);
  Matrix<double> rows(2, kFeatures);
  gm::sample<double>(context_, model, 1, 0, rows.view());
  double square = 0.0;
  for (std::int64_t j = 0; j < kFeatures; ++j) square += rows(1, j) * rows(1, j) / kFeatures;
  EXPECT_NEAR(square, 4.0, 5 * 4.0 * std::sqrt(2.0 / kFeatures));
  const std::vector<std::int64_t> features = {5, 59999};
  EXPECT_EQ(gm::marginal(model, features).covariances, std::vector<double>(4, 4.0));
}

TEST_P(GaussianMixtureSample, IntoAnotherShapeIsAnError) {
  Matrix<double> narrow(10, 2), good(10, 3);
  std::vector<std::int32_t> nine(9);
  EXPECT_THROW(gm::sample<double>(context_, model_, 1, 0, narrow.view()), invalid_argument);
  EXPECT_THROW(gm::sample<double>(context_, model_, 1, 0, good.view(), nine), invalid_argument);
  gm::sample<double>(context_, model_, 1, 0, Matrix<double>(0, 3).view());
}

INSTANTIATE_TEST_SUITE_P(Covariances, GaussianMixtureSample,
                         testing::ValuesIn(oracle::kCovariances),
                         [](const auto& test) { return gm::name(test.param); });

}  // namespace
}  // namespace culatent
