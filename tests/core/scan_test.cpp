#include "host/scan.hpp"

#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>
#include <limits>

#include "culatent/error.hpp"
#include "tests/core/planted.hpp"

namespace culatent {
namespace {

using oracle::Draws;
using planted::error_of;
using planted::expect_contains;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

template <class T>
DataSummary scan_matrix(const Matrix<T>& rows, const ScanOptions& options = {},
                        std::span<const double> weights = {}, int n_threads = 2) {
  const Context context({.n_threads = n_threads, .chunk_rows = 1024});
  const CpuBackend backend{context.threads(), context.n_threads()};
  return scan<T>(context, backend, MatrixRows<T>(rows.view()), weights, options);
}

Matrix<double> noise(std::int64_t n, std::int64_t d, std::uint64_t seed = 1) {
  Draws draws(seed);
  Matrix<double> m(n, d);
  for (std::int64_t i = 0; i < m.size(); ++i) m.data()[i] = draws.normal();
  return m;
}

TEST(Scan, CentresOnTheMeansAndScalesByTheReach) {
  Matrix<double> rows = noise(5000, 3);
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    rows(i, 1) = 1e6 + 1e-3 * rows(i, 1);
    rows(i, 2) *= 1e100;
  }
  const DataSummary summary = scan_matrix(rows);
  EXPECT_EQ(summary.total_weight, 5000.0);
  for (std::int64_t j = 0; j < 3; ++j) {
    long double mean = 0;
    for (std::int64_t i = 0; i < rows.rows(); ++i) mean += rows(i, j);
    mean /= rows.rows();
    const double centre = summary.frame.centre[oracle::at(j)];
    const double scale = summary.frame.scale[oracle::at(j)];
    double reach = 0.0;
    for (std::int64_t i = 0; i < rows.rows(); ++i) {
      reach = std::max(reach, std::abs(rows(i, j) - centre) * scale);
    }
    EXPECT_NEAR(centre, static_cast<double>(mean),
                1e3 * DBL_EPSILON * std::max(1.0 / scale, std::abs(centre)));
    EXPECT_GE(reach, 1.0) << j;
    EXPECT_LT(reach, 2.0) << j;
    EXPECT_EQ(scale, std::exp2(std::round(std::log2(scale)))) << "a power of two";
  }
}

TEST(Scan, CentresOnWeightedMeans) {
  Matrix<double> rows(3, 1);
  rows(0, 0) = 1.0;
  rows(1, 0) = 2.0;
  rows(2, 0) = 1000.0;
  const std::vector<double> weights = {3.0, 1.0, 0.0};
  const DataSummary summary = scan_matrix(rows, {}, weights);
  EXPECT_NEAR(summary.frame.centre[0], 1.25, 4 * DBL_EPSILON);
  EXPECT_NEAR(summary.total_weight, 4.0 * summary.weight_scale, 8 * DBL_EPSILON);
}

TEST(Scan, LetsRowsOfWeightZeroLieAnywhereUnlessAsked) {
  Matrix<double> rows(3, 1);
  rows(0, 0) = 1.0;
  rows(1, 0) = 2.0;
  rows(2, 0) = 1e30;
  const std::vector<double> weights = {1.0, 1.0, 0.0};
  EXPECT_EQ(scan_matrix(rows, {}, weights).frame.scale[0], 2.0);  // 1 / the farthest, 0.5
  EXPECT_LT(scan_matrix(rows, {.weightless = true}, weights).frame.scale[0], 1e-29);
  // Bad values are bad in any row.
  rows(2, 0) = HUGE_VAL;
  expect_contains(error_of<data_error>([&] { scan_matrix(rows, {}, weights); }), "row 2");
}

TEST(Scan, NamesTheFirstBadRowAndColumn) {
  for (const int n_threads : {1, 3}) {
    Matrix<double> rows = noise(9000, 4);
    rows(8191, 0) = kNaN;
    rows(5000, 3) = HUGE_VAL;
    rows(5000, 2) = kNaN;
    rows(5001, 0) = kNaN;
    const std::string text = error_of<data_error>([&] { scan_matrix(rows, {}, {}, n_threads); });
    expect_contains(text, "NaN");
    expect_contains(text, "row 5000, column 2");
  }
}

TEST(Scan, AnInfinityIsBadEvenWhereValuesMayBeMissing) {
  Matrix<double> rows = noise(100, 2);
  rows(3, 0) = kNaN;
  rows(50, 1) = -HUGE_VAL;
  const std::string text = error_of<data_error>([&] { scan_matrix(rows, {.missing = true}); });
  expect_contains(text, "infinite");
  expect_contains(text, "row 50, column 1");
}

TEST(Scan, CountsMissingValuesAndLeavesThemOut) {
  Matrix<double> rows = noise(3000, 2);
  rows(7, 1) = rows(2999, 1) = rows(1500, 0) = kNaN;
  const DataSummary summary = scan_matrix(rows, {.missing = true});
  EXPECT_EQ(summary.n_missing, 3);
  long double mean = 0;
  for (std::int64_t i = 0; i < rows.rows(); ++i) mean += i == 1500 ? 0.0 : rows(i, 0);
  EXPECT_NEAR(summary.frame.centre[0], static_cast<double>(mean / 2999), 1e3 * DBL_EPSILON);
}

TEST(Scan, NamesAColumnWithoutValues) {
  Matrix<double> rows = noise(50, 3);
  for (std::int64_t i = 0; i < 50; ++i) rows(i, 2) = kNaN;
  const std::string text = error_of<data_error>([&] { scan_matrix(rows, {.missing = true}); });
  expect_contains(text, "column 2");
}

TEST(Scan, RefusesWeightsThatAreNone) {
  const Matrix<double> rows = noise(5, 1);
  const auto text_of = [&](const std::vector<double>& weights) {
    return error_of<data_error>([&] { scan_matrix(rows, {}, weights); });
  };
  expect_contains(text_of({1, 1, 1, 1}), "4 row weights for 5 rows");
  expect_contains(text_of({1, 1, -1e-300, 1, -2}), "row 2");
  expect_contains(text_of({1, kNaN, 1, 1, 1}), "row 1");
  expect_contains(text_of({1, 1, 1, 1, HUGE_VAL}), "row 4");
  expect_contains(text_of({0, 0, 0, 0, 0}), "zero");
}

TEST(Scan, WeightsOfAnySizeAreScaledToAboutOne) {
  const Matrix<double> rows = noise(4, 1);
  for (const double size : {1.0, 1e-300, 1e300, 1.7e308}) {
    const std::vector<double> weights(4, size);
    const DataSummary summary = scan_matrix(rows, {}, weights);
    EXPECT_GE(summary.total_weight, 4.0 * 0.5) << size;
    EXPECT_LT(summary.total_weight, 4.0 * 2.0) << size;
  }
  // Of subnormal weights, as far as a power of two in double's range goes.
  const std::vector<double> least(4, std::numeric_limits<double>::denorm_min());
  EXPECT_EQ(scan_matrix(rows, {}, least).total_weight, 4.0 * 0x1p-52);
}

TEST(Scan, RefusesWidthsWhoseSquaresLeaveDouble) {
  Matrix<double> rows = noise(10, 2);
  rows(4, 1) = 1e300;
  expect_contains(error_of<data_error>([&] { scan_matrix(rows); }), "column 1");
  rows(4, 1) = -1e308;
  rows(5, 1) = 1e308;
  expect_contains(error_of<data_error>([&] { scan_matrix(rows); }), "column 1");
  Matrix<double> narrow = noise(10, 1);
  for (std::int64_t i = 0; i < 10; ++i) narrow(i, 0) *= 1e-200;
  expect_contains(error_of<data_error>([&] { scan_matrix(narrow); }), "column 0");
}

// Multiplied by a factor that float can hold, every value of float data must come out about 1: the
// steps compute with scale and centre as values of T.
void expect_frame_fits_float(const Matrix<float>& rows) {
  const DataSummary summary = scan_matrix(rows);
  for (std::int64_t j = 0; j < rows.cols(); ++j) {
    const auto scale = static_cast<float>(summary.frame.scale[oracle::at(j)]);
    const auto centre = static_cast<float>(summary.frame.centre[oracle::at(j)]);
    ASSERT_TRUE(std::isfinite(scale) && scale > 0.0f) << j;
    ASSERT_TRUE(std::isfinite(centre)) << j;
    for (std::int64_t i = 0; i < rows.rows(); ++i) {
      const float value = rows(i, j) * scale - centre * scale;
      ASSERT_LE(std::abs(value), 2.0f) << i << ", " << j;
    }
  }
}

TEST(Scan, TakesTheWholeRangeOfFloat) {
  Matrix<float> rows(4, 2);
  const float largest[] = {FLT_MAX, -FLT_MAX, FLT_MAX / 2, 0.0f};
  const float subnormal[] = {1e-40f, -1e-40f, 3e-40f, 0.0f};
  for (std::int64_t i = 0; i < 4; ++i) {
    rows(i, 0) = largest[i];
    rows(i, 1) = subnormal[i];
  }
  expect_frame_fits_float(rows);
}

TEST(Scan, KeepsAConstantColumnAtItsValue) {
  Matrix<double> rows = noise(1000, 2);
  for (std::int64_t i = 0; i < 1000; ++i) rows(i, 0) = 0.1;
  EXPECT_EQ(scan_matrix(rows).frame.centre[0], 0.1);
  // The sum of the column leaves double; the mean does not.
  for (std::int64_t i = 0; i < 1000; ++i) rows(i, 0) = 1e307;
  EXPECT_NEAR(scan_matrix(rows).frame.centre[0], 1e307, 1e307 * 4 * DBL_EPSILON);
}

TEST(Scan, DoesNotDependOnThreadsOrStride) {
  const Matrix<double> rows = noise(7000, 3);
  const DataSummary one = scan_matrix(rows, {.fingerprint = true}, {}, 1);
  Matrix<double> wide(7000, 5);
  std::fill(wide.data(), wide.data() + wide.size(), kNaN);
  for (std::int64_t i = 0; i < 7000; ++i) {
    for (std::int64_t j = 0; j < 3; ++j) wide(i, j + 1) = rows(i, j);
  }
  const Context context({.n_threads = 3});
  const MatrixRows<double> strided(MatrixView<const double>(wide.data() + 1, 7000, 3, 5));
  const DataSummary other =
      scan<double>(context, {context.threads(), 3}, strided, {}, {.fingerprint = true});
  EXPECT_EQ(one.frame.centre, other.frame.centre);
  EXPECT_EQ(one.frame.scale, other.frame.scale);
  EXPECT_EQ(one.fingerprint, other.fingerprint);
}

TEST(Scan, FingerprintsTellDataApart) {
  const Matrix<double> rows = noise(2000, 2);
  const auto print = [](const Matrix<double>& m) {
    return scan_matrix(m, {.fingerprint = true}).fingerprint;
  };
  Matrix<double> changed = rows;
  changed(1234, 1) = std::nextafter(changed(1234, 1), 10.0);
  EXPECT_NE(print(rows), print(changed)) << "one bit";
  Matrix<double> swapped = rows;
  for (std::int64_t j = 0; j < 2; ++j) std::swap(swapped(3, j), swapped(1999, j));
  EXPECT_NE(print(rows), print(swapped)) << "two rows swapped";
  Matrix<double> paired = rows;
  std::swap(paired(3, 0), paired(1999, 0));
  EXPECT_NE(print(rows), print(paired)) << "the same columns, paired otherwise";
  EXPECT_EQ(print(rows), scan_matrix(rows, {.fingerprint = true}, {}, 3).fingerprint);
  const DataSummary narrow = scan_matrix(planted::cast<float>(rows), {.fingerprint = true});
  EXPECT_NE(print(rows), narrow.fingerprint);
}

}  // namespace
}  // namespace culatent
