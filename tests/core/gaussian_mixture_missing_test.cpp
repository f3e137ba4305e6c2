#include <gtest/gtest.h>

#include <cmath>

#include "culatent/error.hpp"
#include "culatent/gaussian_mixture.hpp"
#include "tests/core/planted.hpp"

namespace culatent {
namespace {

using planted::at;
namespace gm = gaussian_mixture;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

class GaussianMixtureMissing : public testing::TestWithParam<gm::Covariance> {
 protected:
  gm::Options options(const gm::Model& start, int max_iter) const {
    return {.n_components = static_cast<int>(start.n_components()),
            .covariance = GetParam(),
            .max_iter = max_iter,
            .tol = 0.0,
            .reg_covar = 1e-3,
            .missing = true,
            .start = planted::start(start)};
  }
  const Context context_{{.n_threads = 2}};
};

TEST_P(GaussianMixtureMissing, IteratesAsTheTextbookDoes) {
  const gm::Model start = planted::model(GetParam(), 3, 4, 1.5, 1);
  Matrix<double> rows = planted::rows(planted::model(GetParam(), 3, 4, 1.5, 2), 400, 3);
  planted::remove_values(rows, 0.2, 4);
  for (std::int64_t j = 0; j < 4; ++j) rows(17, j) = rows(300, j) = kNaN;  // rows of nothing
  planted::Draws draws(5);
  std::vector<double> weights;
  for (int i = 0; i < 400; ++i) weights.push_back(draws.uniform(0.0, 2.0));
  for (const bool weighted : {false, true}) {
    const std::vector<double> w = weighted ? weights : std::vector<double>();
    gm::Options o = options(start, 3);
    o.weights = w;
    gm::Model expected = start;
    for (int t = 0; t < 3; ++t) {
      o.max_iter = t;
      const gm::Fit fit = gm::fit<double>(context_, rows.view(), o);
      const double tolerance = 1e5 * std::numeric_limits<double>::epsilon();
      planted::expect_models_near(fit.model, expected, tolerance);
      EXPECT_NEAR(fit.trace.back().log_likelihood,
                  static_cast<double>(oracle::mean_log_likelihood(expected, rows, w)), tolerance);
      expected = oracle::em_step(expected, rows, w, 1e-3);
    }
    o.max_iter = 3;
    const gm::Fit narrow = gm::fit<float>(context_, planted::cast<float>(rows).view(), o);
    planted::expect_models_near(narrow.model, expected,
                                4000 * std::numeric_limits<float>::epsilon());
  }
}

TEST_P(GaussianMixtureMissing, OutputsAreThoseOfTheMarginals) {
  const gm::Model model = planted::model(GetParam(), 3, 3, 2.0, 6);
  Matrix<double> rows = planted::rows(model, 300, 7);
  planted::remove_values(rows, 0.4, 8);
  std::vector<double> log_prob(300);
  std::vector<std::int32_t> labels(300);
  Matrix<double> resp(300, 3);
  const auto summary = gm::evaluate<double>(
      context_, model, MatrixRows<double>(rows.view()),
      {.log_prob = log_prob, .responsibilities = resp.view(), .labels = labels, .missing = true});
  long double total = 0, entropy = 0;
  for (std::int64_t i = 0; i < 300; ++i) {
    const oracle::RowResult expected = oracle::row_result(model, &rows(i, 0));
    EXPECT_NEAR(log_prob[at(i)], static_cast<double>(expected.log_prob), 1e-12);
    for (std::int64_t k = 0; k < 3; ++k) {
      EXPECT_NEAR(resp(i, k), static_cast<double>(expected.responsibilities[at(k)]), 1e-12);
      EXPECT_LE(resp(i, k), resp(i, labels[at(i)]));
    }
    total += expected.log_prob;
    entropy += expected.entropy;
  }
  EXPECT_NEAR(summary.log_likelihood, static_cast<double>(total / 300), 1e-12);
  EXPECT_NEAR(summary.entropy, static_cast<double>(entropy / 300), 1e-12);
}

TEST_P(GaussianMixtureMissing, WithoutMissingValuesChangesNothing) {
  const gm::Model start = planted::model(GetParam(), 3, 3, 2.0, 9);
  const Matrix<double> rows = planted::rows(start, 1500, 10);
  gm::Options o = options(start, 8);
  const gm::Fit marginalised = gm::fit<double>(context_, rows.view(), o);
  o.missing = false;
  const gm::Fit plain = gm::fit<double>(context_, rows.view(), o);
  EXPECT_TRUE(planted::same_bits(marginalised, plain));
  EXPECT_TRUE(marginalised.warnings.size() == plain.warnings.size());
}

TEST_P(GaussianMixtureMissing, RecoversMeansFromHalfTheValues) {
  gm::Model truth = planted::model(GetParam(), 2, 2, 0.0, 11);
  for (std::int64_t j = 0; j < 2; ++j) {
    truth.means(0, j) = -6.0;
    truth.means(1, j) = 6.0;
  }
  Matrix<double> rows = planted::rows(truth, 8000, 12);
  planted::remove_values(rows, 0.5, 13);
  gm::Fit fit = gm::fit<double>(
      context_, rows.view(),
      {.n_components = 2, .covariance = GetParam(), .tol = 1e-7, .missing = true, .seed = 3});
  const std::int64_t low = fit.model.means(0, 0) < 0.0 ? 0 : 1;
  for (std::int64_t k = 0; k < 2; ++k) {
    for (std::int64_t j = 0; j < 2; ++j) {
      const auto variance = static_cast<double>(oracle::dense(truth, k)(j, j));
      const double n_seen = 0.5 * 8000 * truth.weights[at(k)];
      EXPECT_NEAR(fit.model.means(k == 0 ? low : 1 - low, j), truth.means(k, j),
                  5 * std::sqrt(variance / n_seen));
    }
  }
  EXPECT_EQ(fit.warnings.back().code, "missing");
}

TEST_P(GaussianMixtureMissing, EveryInitTakesIncompleteRows) {
  Matrix<double> rows = planted::rows(planted::model(GetParam(), 3, 3, 4.0, 14), 1200, 15);
  planted::remove_values(rows, 0.3, 16);
  for (const gm::Init init :
       {gm::Init::kmeans, gm::Init::kmeans_plus, gm::Init::random, gm::Init::random_rows}) {
    const gm::Fit fit = gm::fit<double>(context_, rows.view(),
                                        {.n_components = 3,
                                         .covariance = GetParam(),
                                         .max_iter = 5,
                                         .init = init,
                                         .missing = true,
                                         .seed = 1});
    planted::expect_finite(fit);
    EXPECT_NEAR(fit.trace.back().log_likelihood,
                static_cast<double>(oracle::mean_log_likelihood(fit.model, rows)), 1e-10)
        << gm::name(init);
  }
}

INSTANTIATE_TEST_SUITE_P(Covariances, GaussianMixtureMissing,
                         testing::ValuesIn(oracle::kCovariances),
                         [](const auto& test) { return gm::name(test.param); });

TEST(GaussianMixtureMissingValues, AreAnErrorUnlessAskedFor) {
  Matrix<double> rows = planted::rows(planted::model(gm::Covariance::full, 2, 2, 3.0, 1), 100, 2);
  rows(42, 1) = kNaN;
  const Context context;
  const auto fitting = [&](bool missing) {
    return gm::fit<double>(context, rows.view(), {.n_components = 2, .missing = missing});
  };
  planted::expect_contains(planted::error_of<data_error>([&] { fitting(false); }),
                           "row 42, column 1");
  const gm::Model model = fitting(true).model;
  planted::expect_contains(
      planted::error_of<data_error>([&] { gm::score<double>(context, model, rows.view()); }),
      "row 42, column 1");
}

}  // namespace
}  // namespace culatent
