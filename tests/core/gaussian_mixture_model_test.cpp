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

class GaussianMixtureModel : public testing::TestWithParam<gm::Covariance> {
 protected:
  const gm::Model model_ = planted::model(GetParam(), 3, 4, 2.0, 1);
  const Context context_{on_device({.n_threads = 2})};
};

TEST_P(GaussianMixtureModel, CountsItsParameters) {
  const std::int64_t covariances = GetParam() == gm::Covariance::full       ? 3 * 10
                                   : GetParam() == gm::Covariance::tied     ? 10
                                   : GetParam() == gm::Covariance::diagonal ? 3 * 4
                                                                            : 3;
  EXPECT_EQ(gm::n_parameters(model_), 2 + 12 + covariances);
  const auto p = static_cast<double>(2 + 12 + covariances);
  EXPECT_DOUBLE_EQ(gm::aic(model_, -1234.5), 2469.0 + 2.0 * p);
  EXPECT_DOUBLE_EQ(gm::bic(model_, -1234.5, 100.0), 2469.0 + p * std::log(100.0));
}

TEST_P(GaussianMixtureModel, EvaluatesAsTheTextbookDoes) {
  const Matrix<double> rows = planted::rows(model_, 700, 2);
  std::vector<double> log_prob(700);
  Matrix<double> resp(700, 3);
  std::vector<std::int32_t> labels(700);
  gm::log_prob<double>(context_, model_, rows.view(), log_prob);
  gm::responsibilities<double>(context_, model_, rows.view(), resp.view());
  gm::predict<double>(context_, model_, rows.view(), labels);
  for (std::int64_t i = 0; i < 700; ++i) {
    const oracle::RowResult row = oracle::row_result(model_, &rows(i, 0));
    EXPECT_NEAR(log_prob[at(i)], static_cast<double>(row.log_prob), 1e-12);
    double sum = 0.0;
    std::int64_t best = 0;
    for (std::int64_t k = 0; k < 3; ++k) {
      EXPECT_NEAR(resp(i, k), static_cast<double>(row.responsibilities[at(k)]), 1e-13);
      sum += resp(i, k);
      if (resp(i, k) > resp(i, best)) best = k;
    }
    EXPECT_NEAR(sum, 1.0, 4 * DBL_EPSILON);
    EXPECT_EQ(labels[at(i)], best);
  }
  EXPECT_NEAR(gm::score<double>(context_, model_, rows.view()),
              static_cast<double>(oracle::mean_log_likelihood(model_, rows)), 1e-12);
}

TEST_P(GaussianMixtureModel, WritesOutputsOfAnySizeAndNothingBesides) {
  for (const std::int64_t n : {1, 2, 31, 32, 33, 255, 256, 257, 1023, 1024, 1025, 2500}) {
    const Matrix<float> rows = planted::cast<float>(planted::rows(model_, n, 3));
    Matrix<float> resp(n + 1, 5);
    std::fill(resp.data(), resp.data() + resp.size(), -7.0f);
    gm::responsibilities<float>(context_, model_, rows.view(), {resp.data(), n, 3, 5});
    for (std::int64_t i = 0; i < n; ++i) {
      EXPECT_NEAR(resp(i, 0) + resp(i, 1) + resp(i, 2), 1.0f, 8 * FLT_EPSILON);
      EXPECT_EQ(resp(i, 3), -7.0f);
    }
    EXPECT_EQ(resp(n, 0), -7.0f);
  }
}

TEST_P(GaussianMixtureModel, FarRowsHaveALogDensityOfTheirOwn) {
  Matrix<double> rows(3, 4);
  for (std::int64_t j = 0; j < 4; ++j) {
    rows(0, j) = 1e15;
    rows(1, j) = 1e100;
    rows(2, j) = -1e150;
  }
  std::vector<double> log_prob(3);
  gm::log_prob<double>(context_, model_, rows.view(), log_prob);
  for (std::int64_t i = 0; i < 3; ++i) {
    const auto expected = static_cast<double>(oracle::row_result(model_, &rows(i, 0)).log_prob);
    EXPECT_NEAR(log_prob[at(i)] / expected, 1.0, 1e-12) << i;
  }
  // In float the density is beyond the type: −inf, as rounding goes, but never NaN.
  Matrix<float> narrow(2, 4);
  for (std::int64_t j = 0; j < 4; ++j) {
    narrow(0, j) = 1e30f;
    narrow(1, j) = FLT_MAX;
  }
  std::vector<float> far(2);
  Matrix<float> resp(2, 3);
  gm::log_prob<float>(context_, model_, narrow.view(), far);
  gm::responsibilities<float>(context_, model_, narrow.view(), resp.view());
  for (std::int64_t i = 0; i < 2; ++i) {
    EXPECT_FALSE(std::isnan(far[at(i)]));
    EXPECT_LT(far[at(i)], -1e30f);
    EXPECT_NEAR(resp(i, 0) + resp(i, 1) + resp(i, 2), 1.0f, 8 * FLT_EPSILON);
  }
  EXPECT_LT(gm::score<float>(context_, model_, narrow.view()), -1e59);
}

// Values that a narrow model's own units take out of float.
TEST_P(GaussianMixtureModel, FarRowsOfANarrowModelDoNotMakeNaN) {
  gm::Model model = model_;
  for (double& value : model.covariances) value *= 1e-8;
  for (std::int64_t i = 0; i < model.means.size(); ++i) model.means.data()[i] *= 1e-4;
  Matrix<float> rows(2, 4);
  for (std::int64_t j = 0; j < 4; ++j) {
    rows(0, j) = FLT_MAX;
    rows(1, j) = -1e37f;
  }
  std::vector<float> log_prob(2);
  Matrix<float> resp(2, 3);
  gm::log_prob<float>(context_, model, rows.view(), log_prob);
  gm::responsibilities<float>(context_, model, rows.view(), resp.view());
  for (std::int64_t i = 0; i < 2; ++i) {
    EXPECT_EQ(log_prob[at(i)], -HUGE_VALF);
    EXPECT_NEAR(resp(i, 0) + resp(i, 1) + resp(i, 2), 1.0f, 8 * FLT_EPSILON);
  }
  EXPECT_LT(gm::score<float>(context_, model, rows.view()), -1e70);
}

TEST_P(GaussianMixtureModel, RowsBeyondTheRangeOfTheDensityDoNotMakeNaN) {
  Matrix<double> rows = planted::rows(model_, 5, 1);
  rows(2, 1) = 1e200;  // log p is -5e399
  std::vector<double> log_prob(5);
  gm::log_prob<double>(context_, model_, rows.view(), log_prob);
  EXPECT_EQ(log_prob[2], -HUGE_VAL);
  EXPECT_EQ(gm::score<double>(context_, model_, rows.view()), -HUGE_VAL);
}

TEST_P(GaussianMixtureModel, MarginalsAreIntegrals) {
  const Matrix<double> rows = planted::rows(model_, 50, 4);
  const std::vector<std::int64_t> features = {3, 1};
  const gm::Model marginal = gm::marginal(model_, features);
  const bool full = GetParam() == gm::Covariance::full || GetParam() == gm::Covariance::tied;
  EXPECT_EQ(marginal.covariance, full ? gm::Covariance::full : gm::Covariance::diagonal);
  for (std::int64_t i = 0; i < 50; ++i) {
    // The same row with the other features missing: the oracle integrates them out.
    std::vector<double> partial(4, std::nan("")), part;
    for (const std::int64_t j : features) {
      partial[at(j)] = rows(i, j);
      part.push_back(rows(i, j));
    }
    EXPECT_NEAR(static_cast<double>(oracle::row_result(marginal, part.data()).log_prob),
                static_cast<double>(oracle::row_result(model_, partial.data()).log_prob), 1e-13);
  }
  for (const std::int64_t bad : {std::int64_t{-1}, std::int64_t{4}}) {
    EXPECT_THROW(gm::marginal(model_, std::vector<std::int64_t>{0, bad}), invalid_argument);
  }
}

TEST_P(GaussianMixtureModel, OrdersByWeightAndKeepsTies) {
  gm::Model model = model_;
  model.weights = {0.25, 0.5, 0.25};
  const gm::Model before = model;
  gm::order_by_weight(model);
  EXPECT_EQ(model.weights, (std::vector<double>{0.5, 0.25, 0.25}));
  const std::int64_t from[] = {1, 0, 2};
  for (std::int64_t k = 0; k < 3; ++k) {
    for (std::int64_t i = 0; i < 4; ++i) {
      EXPECT_EQ(model.means(k, i), before.means(from[k], i));
      for (std::int64_t j = 0; j < 4; ++j) {
        EXPECT_EQ(oracle::dense(model, k)(i, j), oracle::dense(before, from[k])(i, j));
      }
    }
  }
}

TEST_P(GaussianMixtureModel, OutputsOfAnotherSizeAndWidthAreErrors) {
  const Matrix<double> rows = planted::rows(model_, 10, 5);
  std::vector<double> nine(9);
  std::vector<std::int32_t> eleven(11);
  Matrix<double> two(10, 2);
  EXPECT_THROW(gm::log_prob<double>(context_, model_, rows.view(), nine), invalid_argument);
  EXPECT_THROW(gm::predict<double>(context_, model_, rows.view(), eleven), invalid_argument);
  EXPECT_THROW(gm::responsibilities<double>(context_, model_, rows.view(), two.view()),
               invalid_argument);
  const Matrix<double> narrow(10, 3);
  expect_contains(error_of<data_error>([&] { gm::score<double>(context_, model_, narrow.view()); }),
                  "3 columns, the model 4");
}

TEST_P(GaussianMixtureModel, ThatIsNoMixtureIsRefused) {
  const Matrix<double> rows = planted::rows(model_, 10, 5);
  const auto refused = [&](const auto& change) {
    gm::Model bad = model_;
    change(bad);
    error_of<data_error>([&] { gm::score<double>(context_, bad, rows.view()); });
  };
  refused([](gm::Model& m) { m.weights.pop_back(); });
  refused([](gm::Model& m) { m.weights[0] = -m.weights[0]; });
  refused([](gm::Model& m) { m.weights[0] = std::nan(""); });
  refused([](gm::Model& m) { m.weights[0] += 0.1; });
  refused([](gm::Model& m) { m.covariances.pop_back(); });
  refused([](gm::Model& m) { m.covariances[0] = -1.0; });
  refused([](gm::Model& m) { m.covariances[0] = 0.0; });
  refused([](gm::Model& m) { m.covariances[0] = HUGE_VAL; });
  refused([](gm::Model& m) { m.means(1, 1) = std::nan(""); });
  refused([](gm::Model& m) { m.means = {}; });
}

TEST_P(GaussianMixtureModel, ANarrowComponentIsFarFromEverythingInFloatToo) {
  gm::Model model = model_;
  for (double& value : model.covariances) value *= 1e-60;
  for (std::int64_t j = 0; j < 4; ++j) model.means(1, j) = model.means(2, j) = model.means(0, j);
  const Matrix<double> rows = planted::rows(model_, 20, 6);
  std::vector<float> log_prob(20);
  gm::log_prob<float>(context_, model, planted::cast<float>(rows).view(), log_prob);
  for (const float value : log_prob) EXPECT_LT(value, -1e30f);
}

INSTANTIATE_TEST_SUITE_P(Covariances, GaussianMixtureModel, testing::ValuesIn(oracle::kCovariances),
                         [](const auto& test) { return gm::name(test.param); });

}  // namespace
}  // namespace culatent
