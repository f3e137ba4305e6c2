#include <gtest/gtest.h>

#include <cmath>

#include "culatent/gaussian_mixture.hpp"
#include "tests/core/planted.hpp"
#include "tests/device.hpp"

namespace culatent {
namespace {

using planted::at;
using planted::Draws;
namespace gm = gaussian_mixture;

class GaussianMixtureEm : public testing::TestWithParam<gm::Covariance> {};

std::vector<double> random_weights(std::int64_t n, std::uint64_t seed) {
  Draws draws(seed);
  std::vector<double> weights;
  for (std::int64_t i = 0; i < n; ++i) {
    weights.push_back(draws.uniform() < 0.1 ? 0.0 : draws.uniform(0.1, 3.0));
  }
  return weights;
}

// Sums of a tile are in T over at most 256 rows in at least 8 lanes, then in double: an element's
// error is below 64 epsilons of its size, here about 1.
template <class T>
constexpr double kSumError = 64.0 * std::numeric_limits<T>::epsilon();

template <class T>
void one_component_is_mean_and_covariance(gm::Covariance covariance, bool weighted) {
  const Matrix<double> wide = planted::rows(planted::model(covariance, 3, 4, 1.0, 5), 3001, 6);
  const Matrix<T> narrow = planted::cast<T>(wide);
  Matrix<double> rows(wide.rows(), 4);  // what T holds of them
  std::copy(narrow.data(), narrow.data() + narrow.size(), rows.data());
  const std::vector<double> weights =
      weighted ? random_weights(rows.rows(), 7) : std::vector<double>();
  const Context context(on_device({.n_threads = 2}));
  const gm::Fit fit = gm::fit<T>(
      context, narrow.view(),
      {.covariance = covariance, .max_iter = 2, .reg_covar = 0.0, .seed = 1, .weights = weights});

  long double total = 0, mean[4] = {}, cov[4][4] = {};
  for (int pass = 0; pass < 2; ++pass) {
    for (std::int64_t n = 0; n < rows.rows(); ++n) {
      const long double w = weighted ? weights[at(n)] : 1.0;
      if (pass == 0) total += w;
      for (std::int64_t i = 0; i < 4; ++i) {
        if (pass == 0) mean[i] += w * rows(n, i);
        for (std::int64_t j = 0; j < 4 && pass == 1; ++j) {
          cov[i][j] += w * (rows(n, i) - mean[i]) * (rows(n, j) - mean[j]) / total;
        }
      }
    }
    for (long double& m : mean) m /= pass == 0 ? total : 1.0L;
  }
  EXPECT_EQ(fit.model.weights, std::vector<double>{1.0});
  for (std::int64_t j = 0; j < 4; ++j) {
    EXPECT_NEAR(fit.model.means(0, j), static_cast<double>(mean[j]), kSumError<T>) << j;
  }
  const auto near = [&](double actual, long double expected) {
    EXPECT_NEAR(actual, static_cast<double>(expected), 4 * kSumError<T>);
  };
  const std::vector<double>& actual = fit.model.covariances;
  for (std::int64_t i = 0; i < 4; ++i) {
    if (covariance == gm::Covariance::diagonal) near(actual[at(i)], cov[i][i]);
    if (covariance == gm::Covariance::diagonal || covariance == gm::Covariance::spherical) continue;
    for (std::int64_t j = 0; j < 4; ++j) near(actual[at(i * 4 + j)], cov[i][j]);
  }
  if (covariance == gm::Covariance::spherical) {
    near(actual[0], (cov[0][0] + cov[1][1] + cov[2][2] + cov[3][3]) / 4);
  }
}

TEST_P(GaussianMixtureEm, OneComponentIsTheSampleMeanAndCovariance) {
  for (const bool weighted : {false, true}) {
    one_component_is_mean_and_covariance<double>(GetParam(), weighted);
    one_component_is_mean_and_covariance<float>(GetParam(), weighted);
  }
}

// Overlapping components, so that every responsibility matters.
template <class T>
gm::Fit fit_from_start(const Matrix<double>& rows, const gm::Model& start,
                       const std::vector<double>& weights, int max_iter, bool missing = false) {
  const Context context(on_device({.n_threads = 2}));
  return gm::fit<T>(context, planted::cast<T>(rows).view(),
                    {.n_components = static_cast<int>(start.n_components()),
                     .covariance = start.covariance,
                     .max_iter = max_iter,
                     .tol = 0.0,
                     .reg_covar = 1e-3,
                     .missing = missing,
                     .weights = weights,
                     .start = planted::start(start)});
}

TEST_P(GaussianMixtureEm, IteratesAsTheTextbookDoes) {
  const gm::Model start = planted::model(GetParam(), 3, 3, 1.5, 11);
  const Matrix<double> rows = planted::rows(planted::model(GetParam(), 3, 3, 1.5, 12), 700, 13);
  for (const auto& weights : {std::vector<double>(), random_weights(700, 14)}) {
    gm::Model expected = start;
    for (int t = 0; t < 4; ++t) expected = oracle::em_step(expected, rows, weights, 1e-3);
    // Four updates pass an error on at most tenfold each time.
    planted::expect_models_near(fit_from_start<double>(rows, start, weights, 4).model, expected,
                                1e4 * kSumError<double>);
    planted::expect_models_near(fit_from_start<float>(rows, start, weights, 4).model, expected,
                                50 * kSumError<float>);
  }
}

TEST_P(GaussianMixtureEm, TracesLikelihoodElboAndEntropyAtEveryIteration) {
  const gm::Model start = planted::model(GetParam(), 3, 2, 1.0, 21);
  const Matrix<double> rows = planted::rows(planted::model(GetParam(), 3, 2, 1.0, 22), 500, 23);
  const std::vector<double> weights = random_weights(500, 24);
  const gm::Fit fit = fit_from_start<double>(rows, start, weights, 3);
  ASSERT_EQ(fit.trace.size(), 4u);
  gm::Model model = start;
  for (const gm::TraceEntry& entry : fit.trace) {
    long double log_likelihood = 0, joint = 0, entropy = 0, total = 0;
    for (std::int64_t i = 0; i < 500; ++i) {
      const oracle::RowResult row = oracle::row_result(model, &rows(i, 0));
      log_likelihood += weights[at(i)] * row.log_prob;
      joint += weights[at(i)] * row.expected_joint;
      entropy += weights[at(i)] * row.entropy;
      total += weights[at(i)];
    }
    const double tolerance = 1e4 * kSumError<double>;
    EXPECT_NEAR(entry.log_likelihood, static_cast<double>(log_likelihood / total), tolerance);
    EXPECT_NEAR(entry.entropy, static_cast<double>(entropy / total), tolerance);
    EXPECT_NEAR(entry.elbo, static_cast<double>((joint + entropy) / total), tolerance);
    EXPECT_NEAR(entry.elbo, entry.log_likelihood,
                8 * std::numeric_limits<double>::epsilon() * std::abs(entry.log_likelihood));
    EXPECT_EQ(entry.free_energy, -entry.elbo);
    model = oracle::em_step(model, rows, weights, 1e-3);
  }
}

TEST_P(GaussianMixtureEm, LogLikelihoodNeverFalls) {
  const Context context(on_device({.n_threads = 2}));
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    Matrix<double> rows =
        planted::rows(planted::model(GetParam(), 4, 3, 1.0, seed), 900, seed + 50);
    for (const bool missing : {false, true}) {
      if (missing && !on_cpu()) continue;  // the CPU's alone
      if (missing) planted::remove_values(rows, 0.15, seed + 100);
      const gm::Fit fit = gm::fit<double>(context, rows.view(),
                                          {.n_components = 4,
                                           .covariance = GetParam(),
                                           .max_iter = missing ? 30 : 80,
                                           .tol = 0.0,
                                           .reg_covar = 0.0,
                                           .missing = missing,
                                           .seed = seed});
      ASSERT_EQ(fit.n_collapsed, 0);
      for (std::size_t t = 1; t < fit.trace.size(); ++t) {
        const double before = fit.trace[t - 1].log_likelihood;
        // Equal up to the rounding of a mean of 900 values.
        EXPECT_GE(fit.trace[t].log_likelihood,
                  before - 900 * std::numeric_limits<double>::epsilon() * std::abs(before))
            << "seed " << seed << ", iteration " << t << (missing ? ", missing" : "");
      }
    }
  }
}

// Each fitted mean within five standard errors of the planted one, in the coordinate's own units.
template <class T>
void recovers_planted_means(gm::Covariance covariance) {
  constexpr std::int64_t kRows = 20000, kComponents = 4, kFeatures = 3;
  for (std::uint64_t seed = 1; seed < 4; ++seed) {
    gm::Model truth = planted::model(covariance, kComponents, kFeatures, 1.0, seed);
    for (std::int64_t k = 0; k < kComponents; ++k) {
      for (std::int64_t j = 0; j < kFeatures; ++j) {
        truth.means(k, j) = ((k >> (j % 2)) & 1) != 0 ? 8.0 : -8.0;  // corners of a square
      }
    }
    const Matrix<T> rows = planted::cast<T>(planted::rows(truth, kRows, seed + 10));
    const Context context(on_device({.n_threads = 2}));
    gm::Fit fit = gm::fit<T>(
        context, rows.view(),
        {.n_components = kComponents, .covariance = covariance, .tol = 1e-6, .seed = seed});
    EXPECT_TRUE(fit.converged);
    for (std::int64_t k = 0; k < kComponents; ++k) {
      std::int64_t best = 0;
      const auto distance = [&](std::int64_t c) {
        double sum = 0.0;
        for (std::int64_t j = 0; j < kFeatures; ++j) {
          sum += std::abs(fit.model.means(c, j) - truth.means(k, j));
        }
        return sum;
      };
      for (std::int64_t c = 1; c < kComponents; ++c) best = distance(c) < distance(best) ? c : best;
      const double weight = truth.weights[at(k)];
      EXPECT_NEAR(fit.model.weights[at(best)], weight,
                  5 * std::sqrt(weight * (1 - weight) / kRows));
      for (std::int64_t j = 0; j < kFeatures; ++j) {
        const auto variance = static_cast<double>(oracle::dense(truth, k)(j, j));
        EXPECT_NEAR(fit.model.means(best, j), truth.means(k, j),
                    5 * std::sqrt(variance / (weight * kRows)))
            << "component " << k << ", feature " << j;
        const double fitted = static_cast<double>(oracle::dense(fit.model, best)(j, j));
        EXPECT_NEAR(fitted / variance, 1.0, 5 * std::sqrt(2.0 / (weight * kRows)));
      }
    }
  }
}

TEST_P(GaussianMixtureEm, RecoversPlantedMixtures) {
  recovers_planted_means<double>(GetParam());
  recovers_planted_means<float>(GetParam());
}

TEST_P(GaussianMixtureEm, FloatAgreesWithDouble) {
  const gm::Model truth = planted::model(GetParam(), 3, 4, 4.0, 31);
  const Matrix<double> rows = planted::rows(truth, 4000, 32);
  const gm::Fit wide = fit_from_start<double>(rows, truth, {}, 10);
  const gm::Fit narrow = fit_from_start<float>(rows, truth, {}, 10);
  planted::expect_models_near(narrow.model, wide.model, 50 * kSumError<float>);
  for (std::size_t t = 0; t < wide.trace.size(); ++t) {
    EXPECT_NEAR(narrow.trace[t].log_likelihood, wide.trace[t].log_likelihood, kSumError<float>);
    EXPECT_NEAR(narrow.trace[t].entropy, wide.trace[t].entropy, kSumError<float>);
  }
}

TEST_P(GaussianMixtureEm, AnOffsetCostsFloatNoDigitsButThoseOfTheData) {
  const gm::Model truth = planted::model(GetParam(), 3, 3, 4.0, 41);
  Matrix<double> rows = planted::rows(truth, 4000, 42);
  // As float holds them at an offset of 1e4 standard deviations; double sees the same values.
  gm::Model start = truth;
  for (std::int64_t i = 0; i < rows.size(); ++i) {
    rows.data()[i] = static_cast<double>(static_cast<float>(rows.data()[i] + 1e4));
  }
  for (std::int64_t i = 0; i < start.means.size(); ++i) start.means.data()[i] += 1e4;
  const gm::Fit wide = fit_from_start<double>(rows, start, {}, 10);
  const gm::Fit narrow = fit_from_start<float>(rows, start, {}, 10);
  planted::expect_models_near(narrow.model, wide.model, 50 * kSumError<float>);
  EXPECT_NEAR(narrow.trace.back().log_likelihood, wide.trace.back().log_likelihood,
              kSumError<float>);
}

INSTANTIATE_TEST_SUITE_P(Covariances, GaussianMixtureEm, testing::ValuesIn(oracle::kCovariances),
                         [](const auto& test) { return gm::name(test.param); });

}  // namespace
}  // namespace culatent
