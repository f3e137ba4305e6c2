#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <stdexcept>

#include "culatent/error.hpp"
#include "culatent/gaussian_mixture.hpp"
#include "tests/core/planted.hpp"
#include "tests/device.hpp"

namespace culatent {
namespace {

namespace gm = gaussian_mixture;

const Matrix<double>& test_rows() {
  static const Matrix<double> rows =
      planted::rows(planted::model(gm::Covariance::full, 3, 2, 1.5, 1), 2500, 2);
  return rows;
}

gm::Fit fit_with(Observer observer, gm::Options options = {}) {
  const Context context(on_device({.n_threads = 2, .observer = std::move(observer)}));
  options.n_components = 3;
  options.tol = 0.0;
  options.seed = 1;
  return gm::fit<double>(context, test_rows().view(), options);
}

TEST(GaussianMixtureObserver, IsToldTheTrace) {
  std::vector<Progress> calls;
  const gm::Fit fit = fit_with(
      [&](const Progress& p) {
        calls.push_back(p);
        return true;
      },
      {.max_iter = 7});
  std::vector<Progress> passes;
  for (const Progress& p : calls) {
    if (std::string(p.phase) == "fit") passes.push_back(p);
    EXPECT_GE(p.seconds, 0.0);
    EXPECT_GE(p.eta_seconds, 0.0);
    EXPECT_EQ(p.max_iter, 7);
  }
  EXPECT_LT(passes.size(), calls.size()) << "the initialisation tells too";
  ASSERT_EQ(passes.size(), 8u);
  for (std::size_t t = 0; t < passes.size(); ++t) {
    EXPECT_EQ(passes[t].iteration, static_cast<int>(t));
    EXPECT_EQ(passes[t].objective, fit.trace[t].log_likelihood);
    if (t == 0) {
      EXPECT_TRUE(std::isnan(passes[t].change));
    } else {
      EXPECT_EQ(passes[t].change, fit.trace[t].log_likelihood - fit.trace[t - 1].log_likelihood);
    }
  }
  EXPECT_EQ(passes.back().eta_seconds, 0.0);
}

TEST(GaussianMixtureObserver, StopsWithTheModelSoFar) {
  for (int last = 0; last < 5; ++last) {
    int calls_after = 0;
    bool stopped = false;
    const gm::Fit fit = fit_with([&](const Progress& p) {
      calls_after += stopped;
      stopped = stopped || (std::string(p.phase) == "fit" && p.iteration == last);
      return !stopped;
    });
    EXPECT_TRUE(fit.interrupted);
    EXPECT_FALSE(fit.converged);
    EXPECT_EQ(fit.n_iter, last);
    EXPECT_EQ(calls_after, 0);
    const gm::Fit full = fit_with({}, {.max_iter = last});
    EXPECT_TRUE(planted::same_bits(fit, full));
    ASSERT_EQ(fit.warnings.size(), 1u);
    EXPECT_EQ(fit.warnings[0].code, "interrupted");
  }
}

TEST(GaussianMixtureObserver, MayStopAtItsVeryFirstCall) {
  int calls = 0;
  const gm::Fit fit = fit_with([&](const Progress&) {
    ++calls;
    return false;
  });
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(fit.interrupted);
  EXPECT_EQ(fit.model.n_components(), 3);
  planted::expect_finite(fit);
}

TEST(GaussianMixtureObserver, StoppingARestartKeepsTheBest) {
  const gm::Options options{.max_iter = 5, .n_init = 4};
  const gm::Fit first = fit_with({}, {.max_iter = 5, .n_init = 1});
  const gm::Fit fit = fit_with(
      [](const Progress& p) { return !(p.restart == 1 && std::string(p.phase) == "init"); },
      options);
  EXPECT_TRUE(fit.interrupted);
  EXPECT_GE(fit.trace.back().log_likelihood, first.trace.back().log_likelihood);
}

TEST(GaussianMixtureObserver, MayThrow) {
  for (const char* phase : {"init", "fit"}) {
    bool throwing = true;
    const Context context(on_device({.n_threads = 2, .observer = [&](const Progress& p) {
                                       if (throwing && std::string(p.phase) == phase) {
                                         throw std::logic_error("enough");
                                       }
                                       return true;
                                     }}));
    const gm::Options options{.n_components = 3, .max_iter = 3, .tol = 0.0, .seed = 1};
    EXPECT_THROW(gm::fit<double>(context, test_rows().view(), options), std::logic_error);
    throwing = false;
    EXPECT_TRUE(planted::same_bits(gm::fit<double>(context, test_rows().view(), options),
                                   fit_with({}, options)));
  }
}

TEST(GaussianMixtureSource, ThatThrowsLeavesTheContextUsable) {
  const Context context(on_device({.n_threads = 3}));
  std::atomic<int> reads = 0;
  int failing_read = 0;
  const GeneratedRows<double> rows(5000, 2, [&](std::int64_t first, MatrixView<double> out) {
    if (++reads == failing_read) throw io_error("the disk is gone", "rows", "plug it in");
    for (std::int64_t i = 0; i < out.rows; ++i) {
      std::copy_n(&test_rows()((first + i) % 2500, 0), 2, out.row(i));
    }
  });
  const gm::Options options{.n_components = 2, .max_iter = 3, .tol = 0.0, .seed = 1};
  const gm::Fit expected = gm::fit<double>(context, rows, options);
  const int n_reads = reads;
  for (failing_read = 1; failing_read <= n_reads; ++failing_read) {
    reads = 0;
    EXPECT_THROW(gm::fit<double>(context, rows, options), io_error) << failing_read;
  }
  failing_read = 0;
  EXPECT_TRUE(planted::same_bits(gm::fit<double>(context, rows, options), expected));
}

}  // namespace
}  // namespace culatent
