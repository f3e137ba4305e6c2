#include <gtest/gtest.h>

#include <cmath>

#include "culatent/gaussian_mixture.hpp"
#include "tests/core/planted.hpp"
#include "tests/device.hpp"

namespace culatent {
namespace {

namespace gm = gaussian_mixture;

class GaussianMixtureShapes : public testing::TestWithParam<gm::Covariance> {
 protected:
  // One update and the likelihood at it, in T, against the textbook.
  template <class T>
  void expect_textbook(std::int64_t n, std::int64_t d, std::int64_t n_components) const {
    const gm::Model start = planted::model(GetParam(), n_components, d, 1.0, 1);
    const Matrix<T> rows = planted::cast<T>(planted::rows(start, n, 2));
    Matrix<double> seen(n, d);
    std::copy(rows.data(), rows.data() + rows.size(), seen.data());
    // Rows with margins of NaN, which no step may read.
    Matrix<T> wide(n, d + 3);
    std::fill(wide.data(), wide.data() + wide.size(), std::numeric_limits<T>::quiet_NaN());
    for (std::int64_t i = 0; i < n; ++i) std::copy_n(&rows(i, 0), d, &wide(i, 2));
    const gm::Fit fit = gm::fit<T>(context_, MatrixView<const T>(wide.data() + 2, n, d, d + 3),
                                   {.n_components = static_cast<int>(n_components),
                                    .covariance = GetParam(),
                                    .max_iter = 1,
                                    .tol = 0.0,
                                    .reg_covar = 0.01,
                                    .collapse = gm::Collapse::error,
                                    .start = planted::start(start)});
    // Distances are sums over features, statistics sums over rows: a few epsilons of each.
    const double tolerance =
        64.0 * static_cast<double>(d) * static_cast<double>(std::numeric_limits<T>::epsilon());
    SCOPED_TRACE(std::to_string(n) + " x " + std::to_string(d) + ", K " +
                 std::to_string(n_components));
    EXPECT_NEAR(fit.trace[0].log_likelihood,
                static_cast<double>(oracle::mean_log_likelihood(start, seen)), tolerance);
    planted::expect_models_near(fit.model, oracle::em_step(start, seen, {}, 0.01), tolerance);
  }
  const Context context_{on_device({.n_threads = 2})};
};

TEST_P(GaussianMixtureShapes, AtTheEdgesOfTilesInRows) {
  for (const std::int64_t n : {8, 9, 31, 32, 33, 255, 256, 257, 1023, 1024, 1025}) {
    expect_textbook<float>(n, 3, 2);
    expect_textbook<double>(n, 3, 2);
  }
}

TEST_P(GaussianMixtureShapes, AtTheEdgesOfVectorsInFeatures) {
  for (const std::int64_t d : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33}) {
    expect_textbook<float>(300, d, 2);
    expect_textbook<double>(300, d, 2);
  }
}

TEST_P(GaussianMixtureShapes, AtAnyNumberOfComponents) {
  for (const std::int64_t n_components : {1, 2, 3, 4, 5, 8, 17}) {
    expect_textbook<float>(600, 2, n_components);
    expect_textbook<double>(600, 2, n_components);
  }
}

// Units of measurement change nothing but the units. (Not to the bit: log densities have others.)
TEST_P(GaussianMixtureShapes, InOtherUnits) {
  if (GetParam() == gm::Covariance::spherical)
    return;  // one variance for all features has one unit
  const gm::Model start = planted::model(GetParam(), 3, 3, 1.5, 3);
  const Matrix<double> rows = planted::rows(start, 1500, 4);
  const auto fit_in = [&](const std::vector<double>& units) {
    const auto rescale = [&](gm::Model m, double sign) {
      const bool diagonal = GetParam() == gm::Covariance::diagonal;
      const auto unit = [&](std::size_t i) { return std::pow(units[i % 3], sign); };
      for (std::size_t i = 0; i < 9; ++i) m.means.data()[i] *= unit(i);
      for (std::size_t i = 0; i < m.covariances.size(); ++i) {
        m.covariances[i] *= unit(i) * unit(diagonal ? i : i / 3);
      }
      return m;
    };
    Matrix<double> scaled = rows;
    for (std::int64_t i = 0; i < scaled.size(); ++i) scaled.data()[i] *= units[planted::at(i % 3)];
    const gm::Fit fit = gm::fit<double>(context_, scaled.view(),
                                        {.n_components = 3,
                                         .covariance = GetParam(),
                                         .max_iter = 5,
                                         .tol = 0.0,
                                         .reg_covar = 0.0,
                                         .start = planted::start(rescale(start, 1.0))});
    return rescale(fit.model, -1.0);
  };
  planted::expect_models_near(fit_in({0x1p-60, 1.0, 0x1p50}), fit_in({1.0, 1.0, 1.0}),
                              1e4 * std::numeric_limits<double>::epsilon());
}

INSTANTIATE_TEST_SUITE_P(Covariances, GaussianMixtureShapes,
                         testing::ValuesIn(oracle::kCovariances),
                         [](const auto& test) { return gm::name(test.param); });

}  // namespace
}  // namespace culatent
