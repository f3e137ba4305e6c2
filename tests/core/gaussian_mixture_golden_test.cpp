#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "culatent/gaussian_mixture.hpp"
#include "tests/core/golden.hpp"
#include "tests/device.hpp"

namespace culatent {
namespace {

namespace gm = gaussian_mixture;

template <class T>
Matrix<T> cast(const Matrix<double>& m) {
  Matrix<T> result(m.rows(), m.cols());
  std::copy(m.data(), m.data() + m.size(), result.data());
  return result;
}

gm::Covariance covariance_named(const std::string& text) {
  if (text == "full") return gm::Covariance::full;
  if (text == "tied") return gm::Covariance::tied;
  if (text == "diag") return gm::Covariance::diagonal;
  return gm::Covariance::spherical;
}

// 2 x 2 to 8 x 8 inverses by Gauss-Jordan, so that the start owes nothing to the library.
std::vector<double> inverse(const double* matrix, std::int64_t d) {
  std::vector<double> a(matrix, matrix + d * d), b(static_cast<std::size_t>(d * d), 0.0);
  const auto at = [d](std::int64_t i, std::int64_t j) {
    return static_cast<std::size_t>(i * d + j);
  };
  for (std::int64_t i = 0; i < d; ++i) b[at(i, i)] = 1.0;
  for (std::int64_t p = 0; p < d; ++p) {
    const double pivot = a[at(p, p)];
    for (std::int64_t j = 0; j < d; ++j) {
      a[at(p, j)] /= pivot;
      b[at(p, j)] /= pivot;
    }
    for (std::int64_t i = 0; i < d; ++i) {
      if (i == p) continue;
      const double factor = a[at(i, p)];
      for (std::int64_t j = 0; j < d; ++j) {
        a[at(i, j)] -= factor * a[at(p, j)];
        b[at(i, j)] -= factor * b[at(p, j)];
      }
    }
  }
  return b;
}

gm::Start start_of(const golden::Case& c, gm::Covariance covariance) {
  gm::Start start;
  start.weights = c.input_values("w0");
  start.means = c.input("m0");
  const std::vector<double> precisions = c.input_values("P0");
  if (covariance == gm::Covariance::diagonal || covariance == gm::Covariance::spherical) {
    for (const double p : precisions) start.covariances.push_back(1.0 / p);
    return start;
  }
  const std::int64_t d = start.means.cols();
  for (std::size_t first = 0; first < precisions.size(); first += static_cast<std::size_t>(d * d)) {
    const auto block = inverse(precisions.data() + first, d);
    start.covariances.insert(start.covariances.end(), block.begin(), block.end());
  }
  return start;
}

class GaussianMixtureGolden : public testing::TestWithParam<std::string> {};

template <class T>
void check_case(const std::string& name) {
  const bool is_float = sizeof(T) == 4;
  const golden::Case c("gmm/" + name);
  const Matrix<double> wide = c.input("X");
  const Matrix<T> rows = cast<T>(wide);
  const Context context(on_device({.n_threads = 2}));
  gm::Options options;
  options.n_components = c.params().at("n_components").get<int>();
  options.covariance = covariance_named(c.params().at("covariance_type").get<std::string>());
  options.reg_covar = c.params().at("reg_covar").get<double>();
  options.max_iter = c.params().at("T").get<int>();
  options.tol = 0.0;
  options.start = start_of(c, options.covariance);
  const gm::Fit fit = gm::fit<T>(context, rows.view(), options);
  EXPECT_EQ(fit.n_iter, options.max_iter);
  EXPECT_FALSE(fit.converged);

  std::vector<double> trace;
  for (const gm::TraceEntry& entry : fit.trace) trace.push_back(entry.log_likelihood);
  expect_near(c, "trace", trace, is_float);
  expect_near(c, "weights_T", fit.model.weights, is_float);
  expect_near(c, "means_T",
              {fit.model.means.data(), fit.model.means.data() + fit.model.means.size()}, is_float);
  expect_near(c, "covariances_T", fit.model.covariances, is_float);

  const double n = static_cast<double>(rows.rows());
  const double score = gm::score<T>(context, fit.model, rows.view());
  expect_near(c, "score_T", {score}, is_float);
  expect_near(c, "loglik_T", {n * score}, is_float);
  expect_near(c, "bic_T", {gm::bic(fit.model, n * score, n)}, is_float);
  expect_near(c, "aic_T", {gm::aic(fit.model, n * score)}, is_float);
  EXPECT_EQ(static_cast<double>(gm::n_parameters(fit.model)), c.expected("n_params").at(0));

  std::vector<T> log_prob(static_cast<std::size_t>(rows.rows()));
  Matrix<T> resp(rows.rows(), options.n_components);
  gm::log_prob<T>(context, fit.model, rows.view(), log_prob);
  gm::responsibilities<T>(context, fit.model, rows.view(), resp.view());
  std::vector<double> some_log_prob, some_resp;
  for (const double value : c.input_values("resp_idx")) {
    const auto i = static_cast<std::int64_t>(value);
    some_log_prob.push_back(static_cast<double>(log_prob[static_cast<std::size_t>(i)]));
    for (std::int64_t k = 0; k < options.n_components; ++k) {
      some_resp.push_back(static_cast<double>(resp(i, k)));
    }
  }
  expect_near(c, "logprob_T", some_log_prob, is_float);
  expect_near(c, "resp_T", some_resp, is_float);
}

TEST_P(GaussianMixtureGolden, AgreesWithScikitLearnInDouble) { check_case<double>(GetParam()); }

TEST_P(GaussianMixtureGolden, AgreesWithScikitLearnInFloat) { check_case<float>(GetParam()); }

TEST_P(GaussianMixtureGolden, ConvergesInTheSameNumberOfIterations) {
  const golden::Case c("gmm/" + GetParam());
  const Matrix<double> rows = c.input("X");
  const Context context(on_device());
  gm::Options options;
  options.n_components = c.params().at("n_components").get<int>();
  options.covariance = covariance_named(c.params().at("covariance_type").get<std::string>());
  options.reg_covar = c.params().at("reg_covar").get<double>();
  options.max_iter = c.params().at("conv_max_iter").get<int>();
  options.tol = c.params().at("conv_tol").get<double>();
  options.start = start_of(c, options.covariance);
  const gm::Fit fit = gm::fit<double>(context, rows.view(), options);
  EXPECT_TRUE(fit.converged);
  EXPECT_NEAR(fit.n_iter, c.expected("conv_n_iter").at(0), 1);
  const double n = static_cast<double>(rows.rows());
  expect_near(c, "conv_loglik", {n * gm::score<double>(context, fit.model, rows.view())}, false);
  std::vector<double> weights = fit.model.weights;
  std::sort(weights.begin(), weights.end());
  expect_near(c, "conv_weights_sorted", weights, false);
}

INSTANTIATE_TEST_SUITE_P(Cases, GaussianMixtureGolden,
                         testing::Values("faithful_full", "faithful_tied", "faithful_diag",
                                         "faithful_spherical", "iris_full", "iris_tied",
                                         "iris_diag", "iris_spherical", "synth8_full",
                                         "synth8_tied", "synth8_diag", "synth8_spherical"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace culatent
