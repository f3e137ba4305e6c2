#include "culatent/density.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "culatent/error.hpp"
#include "tests/core/planted.hpp"

namespace culatent {
namespace {

using planted::at;
namespace gm = gaussian_mixture;

// The trapezoid rule; for a density that is zero at the ends its error is far below 1e-9 here.
double integral(const Matrix<double>& log_density, const density::Axis& x,
                const density::Axis& y = {0.0, 1.0, 1}) {
  const auto step = [](const density::Axis& a) {
    return a.n == 1 ? 1.0 : (a.high - a.low) / static_cast<double>(a.n - 1);
  };
  double sum = 0.0;
  for (std::int64_t i = 0; i < log_density.size(); ++i) sum += std::exp(log_density.data()[i]);
  return sum * step(x) * step(y);
}

class DensityGrid : public testing::TestWithParam<gm::Covariance> {
 protected:
  const Context context_{{.n_threads = 2}};
};

TEST_P(DensityGrid, OfAMixtureIntegratesToOne) {
  const density::Axis x{-25.0, 25.0, 2001};
  EXPECT_NEAR(integral(density::grid(context_, planted::model(GetParam(), 3, 1, 2.0, 1), x), x),
              1.0, 1e-9);
  const density::Axis wide{-20.0, 20.0, 401}, tall{-22.0, 22.0, 501};
  const gm::Model plane = planted::model(GetParam(), 3, 2, 2.0, 2);
  EXPECT_NEAR(integral(density::grid(context_, plane, wide, tall), wide, tall), 1.0, 1e-9);
}

TEST_P(DensityGrid, HasTheDensityOfEachPoint) {
  const gm::Model model = planted::model(GetParam(), 3, 2, 2.0, 3);
  const density::Axis x{-3.0, 5.0, 7}, y{1.0, 2.0, 5};
  const Matrix<double> grid = density::grid(context_, model, x, y);
  ASSERT_EQ(grid.rows(), 5);
  ASSERT_EQ(grid.cols(), 7);
  for (std::int64_t i = 0; i < 5; ++i) {
    for (std::int64_t j = 0; j < 7; ++j) {
      const double point[] = {-3.0 + 8.0 * static_cast<double>(j) / 6.0,
                              1.0 + static_cast<double>(i) / 4.0};
      EXPECT_NEAR(grid(i, j), static_cast<double>(oracle::row_result(model, point).log_prob),
                  1e-12);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Covariances, DensityGrid, testing::ValuesIn(oracle::kCovariances),
                         [](const auto& test) { return gm::name(test.param); });

TEST(DensityGridOfKernels, IntegratesToOne) {
  const Context context;
  Matrix<double> line(40, 1), plane(40, 2);
  planted::Draws draws(1);
  for (std::int64_t i = 0; i < 40; ++i) line(i, 0) = draws.normal();
  for (std::int64_t i = 0; i < 80; ++i) plane.data()[i] = draws.normal();
  const density::Axis x{-12.0, 12.0, 1001};
  EXPECT_NEAR(
      integral(
          density::grid(context, kde::fit<double>(context, MatrixRows<double>(line.view())), x), x),
      1.0, 1e-9);
  const density::Axis y{-12.0, 12.0, 301};
  EXPECT_NEAR(
      integral(
          density::grid(context, kde::fit<double>(context, MatrixRows<double>(plane.view())), y, y),
          y, y),
      1.0, 1e-9);
}

TEST(DensityAxis, MayBeOnePoint) {
  const Context context;
  const gm::Model model = planted::model(gm::Covariance::full, 1, 1, 1.0, 1);
  const Matrix<double> grid = density::grid(context, model, {0.5, 9.0, 1});
  const double point = 0.5;
  ASSERT_EQ(grid.size(), 1);
  EXPECT_NEAR(grid(0, 0), static_cast<double>(oracle::row_result(model, &point).log_prob), 1e-14);
}

TEST(DensityAxis, ThatIsNoneOrDoesNotFitTheModelIsAnError) {
  const Context context;
  const gm::Model line = planted::model(gm::Covariance::full, 1, 1, 1.0, 1);
  const gm::Model plane = planted::model(gm::Covariance::full, 1, 2, 1.0, 1);
  EXPECT_THROW(density::grid(context, line, {0.0, 1.0, 0}), invalid_argument);
  EXPECT_THROW(density::grid(context, line, {0.0, 1.0, -4}), invalid_argument);
  EXPECT_THROW(density::grid(context, line, {1.0, 0.0, 5}), invalid_argument);
  EXPECT_THROW(density::grid(context, line, {std::nan(""), 0.0, 5}), invalid_argument);
  EXPECT_THROW(density::grid(context, line, {0.0, HUGE_VAL, 5}), invalid_argument);
  EXPECT_THROW(density::grid(context, plane, {0.0, 1.0, 5}), invalid_argument);
  EXPECT_THROW(density::grid(context, line, {0.0, 1.0, 5}, {0.0, 1.0, 5}), invalid_argument);
  EXPECT_THROW(density::grid(context, plane, {0.0, 1.0, INT64_MAX}, {0.0, 1.0, 5}), out_of_memory);
}

}  // namespace
}  // namespace culatent
