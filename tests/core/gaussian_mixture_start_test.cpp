#include <gtest/gtest.h>

#include <cmath>
#include <set>

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

constexpr gm::Init kInits[] = {gm::Init::kmeans, gm::Init::kmeans_plus, gm::Init::random,
                               gm::Init::random_rows};

class GaussianMixtureInit : public testing::TestWithParam<std::tuple<gm::Init, gm::Covariance>> {
 protected:
  gm::Options options(int n_components, int max_iter) const {
    return {.n_components = n_components,
            .covariance = std::get<1>(GetParam()),
            .max_iter = max_iter,
            .init = std::get<0>(GetParam()),
            .seed = 5};
  }
  const Matrix<double> rows_ =
      planted::rows(planted::model(gm::Covariance::full, 4, 3, 3.0, 1), 3000, 2);
  const Context context_{on_device({.n_threads = 2})};
};

TEST_P(GaussianMixtureInit, StartsFromAMixture) {
  for (const int n_components : {1, 4, 50}) {
    const gm::Fit fit = gm::fit<double>(context_, rows_.view(), options(n_components, 0));
    EXPECT_EQ(fit.n_iter, 0);
    EXPECT_FALSE(fit.converged);
    EXPECT_EQ(fit.model.n_components(), n_components);
    double total = 0.0;
    for (const double weight : fit.model.weights) {
      EXPECT_GT(weight, 0.0);
      total += weight;
    }
    EXPECT_NEAR(total, 1.0, 1e-12);
    ASSERT_EQ(fit.trace.size(), 1u);
    EXPECT_NEAR(fit.trace[0].log_likelihood,
                static_cast<double>(oracle::mean_log_likelihood(fit.model, rows_)), 1e-11);
  }
}

TEST_P(GaussianMixtureInit, IsAFunctionOfTheSeed) {
  gm::Options o = options(8, 3);
  const gm::Fit first = gm::fit<double>(context_, rows_.view(), o);
  const gm::Fit again = gm::fit<double>(context_, rows_.view(), o);
  EXPECT_TRUE(planted::same_bits(first, again));
  EXPECT_EQ(first.seed, 5u);
  o.seed = 6;
  EXPECT_FALSE(planted::same_bits(first, gm::fit<double>(context_, rows_.view(), o)));
  o.seed.reset();
  const gm::Fit drawn = gm::fit<double>(context_, rows_.view(), o);
  o.seed = drawn.seed;  // what was drawn is reported
  EXPECT_TRUE(planted::same_bits(drawn, gm::fit<double>(context_, rows_.view(), o)));
}

TEST_P(GaussianMixtureInit, KeepsTheBestOfSeveral) {
  gm::Options o = options(8, 4);
  o.n_init = 5;
  const gm::Fit best = gm::fit<double>(context_, rows_.view(), o);
  double highest = -HUGE_VAL;
  for (int n_init = 1; n_init <= 5; ++n_init) {
    o.n_init = n_init;
    const double reached = gm::fit<double>(context_, rows_.view(), o).trace.back().log_likelihood;
    EXPECT_GE(reached, highest);
    highest = reached;
  }
  EXPECT_EQ(best.trace.back().log_likelihood, highest);
  o.n_init = best.restart + 1;  // the first that includes the one that was kept
  EXPECT_TRUE(planted::same_bits(best, gm::fit<double>(context_, rows_.view(), o)));
}

TEST_P(GaussianMixtureInit, TakesGivenMeans) {
  gm::Options o = options(4, 0);
  o.start.means = planted::model(o.covariance, 4, 3, 3.0, 1).means;
  const gm::Fit fit = gm::fit<double>(context_, rows_.view(), o);
  EXPECT_EQ(planted::values(fit.model.means), planted::values(o.start.means));
}

TEST_P(GaussianMixtureInit, TakesGivenWeights) {
  gm::Options o = options(4, 0);
  o.start.weights = {0.1, 0.2, 0.3, 0.4};
  EXPECT_EQ(gm::fit<double>(context_, rows_.view(), o).model.weights, o.start.weights);
}

INSTANTIATE_TEST_SUITE_P(Starts, GaussianMixtureInit,
                         testing::Combine(testing::ValuesIn(kInits),
                                          testing::ValuesIn(oracle::kCovariances)),
                         [](const auto& test) {
                           return "init" +
                                  std::to_string(static_cast<int>(std::get<0>(test.param))) + "_" +
                                  gm::name(std::get<1>(test.param));
                         });

class GaussianMixtureStart : public testing::TestWithParam<gm::Covariance> {
 protected:
  gm::Options options(const gm::Model& start) const {
    return {.n_components = static_cast<int>(start.n_components()),
            .covariance = GetParam(),
            .max_iter = 6,
            .tol = 0.0,
            .start = planted::start(start)};
  }
  const gm::Model model_ = planted::model(GetParam(), 3, 3, 1.5, 1);
  const Matrix<double> rows_ = planted::rows(model_, 2000, 2);
  const Context context_{on_device({.n_threads = 2})};
};

gm::Model permuted(const gm::Model& m, const std::vector<std::int64_t>& order) {
  gm::Model result = m;
  const bool tied = m.covariance == gm::Covariance::tied;
  const std::int64_t block =
      tied ? 0 : static_cast<std::int64_t>(m.covariances.size()) / m.n_components();
  for (std::int64_t k = 0; k < m.n_components(); ++k) {
    const std::int64_t from = order[at(k)];
    result.weights[at(k)] = m.weights[at(from)];
    std::copy_n(&m.means(from, 0), m.n_features(), &result.means(k, 0));
    std::copy_n(m.covariances.data() + from * block, block, result.covariances.data() + k * block);
  }
  return result;
}

// Other orders of the same sums: rounding, passed on by six updates.
constexpr double kReordered = 1e5 * std::numeric_limits<double>::epsilon();

TEST_P(GaussianMixtureStart, PermutedComponentsGiveThePermutedModel) {
  const gm::Fit plain = gm::fit<double>(context_, rows_.view(), options(model_));
  for (const auto& order : {std::vector<std::int64_t>{2, 0, 1}, {1, 0, 2}}) {
    const gm::Fit other = gm::fit<double>(context_, rows_.view(), options(permuted(model_, order)));
    planted::expect_models_near(other.model, permuted(plain.model, order), kReordered);
    EXPECT_NEAR(other.trace.back().log_likelihood, plain.trace.back().log_likelihood, kReordered);
  }
}

TEST_P(GaussianMixtureStart, PermutedRowsChangeRoundingOnly) {
  const gm::Fit plain = gm::fit<double>(context_, rows_.view(), options(model_));
  Matrix<double> shuffled = rows_;
  planted::Draws draws(9);
  for (std::int64_t i = shuffled.rows() - 1; i > 0; --i) {
    const std::int64_t other = draws.below(i + 1);
    for (std::int64_t j = 0; j < 3; ++j) std::swap(shuffled(i, j), shuffled(other, j));
  }
  const gm::Fit other = gm::fit<double>(context_, shuffled.view(), options(model_));
  planted::expect_models_near(other.model, plain.model, kReordered);
}

TEST_P(GaussianMixtureStart, IsTheModelAtIterationZero) {
  gm::Options o = options(model_);
  o.max_iter = 0;
  const gm::Fit fit = gm::fit<double>(context_, rows_.view(), o);
  EXPECT_EQ(fit.model.covariances, model_.covariances);
  EXPECT_EQ(fit.model.weights, model_.weights);
  o.start.weights.clear();  // equal ones
  EXPECT_EQ(gm::fit<double>(context_, rows_.view(), o).model.weights,
            std::vector<double>(3, 1.0 / 3.0));
}

TEST_P(GaussianMixtureStart, OfAnotherShapeOrNoMixtureIsAnError) {
  const auto refused = [&](const gm::Start& start) {
    gm::Options o = options(model_);
    o.start = start;
    return error_of<data_error>([&] { gm::fit<double>(context_, rows_.view(), o); });
  };
  const gm::Start good = planted::start(model_);
  gm::Start s = good;
  s.weights = {0.5, 0.5};
  expect_contains(refused(s), "2 start weights for 3 components");
  s = good;
  s.means = Matrix<double>(3, 4);
  expect_contains(refused(s), "3 x 4, expected 3 x 3");
  s = good;
  s.covariances.push_back(1.0);
  expect_contains(refused(s), "covariances have");
  s = {{}, {}, good.covariances};
  expect_contains(refused(s), "without means");
  s = good;
  for (double& value : s.covariances) value = -value;
  expect_contains(refused(s), "not positive definite");
  s = good;
  s.means(1, 1) = std::nan("");
  expect_contains(refused(s), "mean is not finite");
  for (const bool with_covariances : {true, false}) {
    for (const double bad : {std::nan(""), -0.25, 7.0, HUGE_VAL}) {
      s = good;
      if (!with_covariances) s.covariances.clear();
      s.weights[1] = bad;
      refused(s);
      if (!with_covariances) s.means = {};
      refused(s);
    }
    s = good;
    if (!with_covariances) s.covariances.clear();
    for (const double bad : {std::nan(""), HUGE_VAL}) {
      s.means(2, 0) = bad;
      refused(s);
    }
  }
}

TEST_P(GaussianMixtureStart, ConvergesWhenTheLikelihoodStandsStill) {
  gm::Options o = options(model_);
  o.tol = 1e-3;
  o.max_iter = 500;
  const gm::Fit fit = gm::fit<double>(context_, rows_.view(), o);
  EXPECT_TRUE(fit.converged);
  EXPECT_TRUE(fit.warnings.empty());
  ASSERT_EQ(fit.trace.size(), static_cast<std::size_t>(fit.n_iter) + 1);
  // The update that follows the first small change is the last.
  for (int t = 1; t < fit.n_iter; ++t) {
    const double change = fit.trace[at(t)].log_likelihood - fit.trace[at(t - 1)].log_likelihood;
    EXPECT_EQ(std::abs(change) < o.tol, t == fit.n_iter - 1) << t;
  }
  o.max_iter = fit.n_iter - 2;
  const gm::Fit shorter = gm::fit<double>(context_, rows_.view(), o);
  EXPECT_FALSE(shorter.converged);
  EXPECT_EQ(shorter.n_iter, o.max_iter);
  ASSERT_EQ(shorter.warnings.size(), 1u);
  EXPECT_EQ(shorter.warnings[0].code, "not_converged");
}

INSTANTIATE_TEST_SUITE_P(Covariances, GaussianMixtureStart, testing::ValuesIn(oracle::kCovariances),
                         [](const auto& test) { return gm::name(test.param); });

TEST(GaussianMixtureRandomRows, AreDistinctRowsOfTheData) {
  const Matrix<double> rows =
      planted::rows(planted::model(gm::Covariance::full, 3, 2, 3.0, 1), 40, 2);
  const Context context(on_device());
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    const gm::Fit fit = gm::fit<double>(
        context, rows.view(),
        {.n_components = 40, .max_iter = 0, .init = gm::Init::random_rows, .seed = seed});
    std::set<std::pair<double, double>> means, all;
    for (std::int64_t i = 0; i < 40; ++i) {
      means.emplace(fit.model.means(i, 0), fit.model.means(i, 1));
      all.emplace(rows(i, 0), rows(i, 1));
    }
    EXPECT_EQ(means.size(), 40u);
    for (const auto& mean : means) {  // through the frame and back: rounding
      const auto near = [&](const auto& row) {
        return std::hypot(row.first - mean.first, row.second - mean.second) < 1e-14 * 20;
      };
      EXPECT_TRUE(std::any_of(all.begin(), all.end(), near));
    }
  }
}

}  // namespace
}  // namespace culatent
