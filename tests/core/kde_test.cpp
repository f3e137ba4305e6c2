#include "culatent/kde.hpp"

#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>

#include "culatent/error.hpp"
#include "host/io/safetensors.hpp"
#include "tests/core/golden.hpp"
#include "tests/core/planted.hpp"
#include "tests/io/files.hpp"

namespace culatent {
namespace {

using io::testing::Folder;
using planted::at;
using planted::error_of;
using planted::expect_contains;

Matrix<double> noise(std::int64_t n, std::int64_t d, std::uint64_t seed) {
  planted::Draws draws(seed);
  Matrix<double> rows(n, d);
  for (std::int64_t i = 0; i < rows.size(); ++i) rows.data()[i] = draws.normal();
  return rows;
}

template <class T = double>
kde::Model fit(const Matrix<double>& rows, const kde::Options& options = {}) {
  const Matrix<T> cast = planted::cast<T>(rows);
  return kde::fit<T>(Context(), MatrixRows<T>(cast.view()), options);
}

std::vector<double> log_prob(const kde::Model& model, const Matrix<double>& rows,
                             bool leave_one_out = false, int n_threads = 2) {
  std::vector<double> out(at(rows.rows()));
  kde::log_prob<double>(Context({.n_threads = n_threads}), model, MatrixRows<double>(rows.view()),
                        out, leave_one_out);
  return out;
}

long double naive(const kde::Model& model, const double* y, std::int64_t skip) {
  const std::int64_t n = model.rows.rows();
  std::vector<long double> terms;
  long double greatest = -HUGE_VALL, total = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    if (i == skip) continue;
    long double term = 0;
    for (std::int64_t j = 0; j < model.rows.cols(); ++j) {
      const long double h = model.bandwidth[at(j)];
      const long double delta = (static_cast<long double>(y[j]) - model.rows(i, j)) / h;
      term -= delta * delta / 2 + std::log(h * std::sqrt(2 * std::numbers::pi_v<long double>));
    }
    terms.push_back(term);
    greatest = std::max(greatest, term);
  }
  for (const long double term : terms) total += std::exp(term - greatest);
  return greatest + std::log(total / static_cast<long double>(terms.size()));
}

TEST(Kde, AgreesWithScikitLearn) {
  const golden::Case c("kde/faithful_std");
  const Matrix<double> rows = c.input("X"), queries = c.input("Y");
  const auto bandwidths = c.params().at("bandwidths").get<std::vector<double>>();
  for (std::size_t h = 0; h < bandwidths.size(); ++h) {
    const std::string suffix = "_h" + std::to_string(h);
    const kde::Model model = fit(rows, {.bandwidth = bandwidths[h]});
    planted::expect_near(log_prob(model, queries), c.expected("logdens" + suffix),
                         c.tolerance("logdens" + suffix, false), "log density");
    double mean = 0.0;
    for (const double value : log_prob(model, rows, true)) {
      mean += value / static_cast<double>(rows.rows());
    }
    EXPECT_NEAR(mean, c.expected("loo" + suffix)[0], c.tolerance("loo" + suffix, false));
  }
}

TEST(Kde, RulesAreThoseOfScottAndSilverman) {
  const Matrix<double> rows = noise(500, 3, 1);
  const kde::Model scott = fit(rows), silverman = fit(rows, {.bandwidth = kde::Rule::silverman});
  for (std::int64_t j = 0; j < 3; ++j) {
    long double mean = 0, square = 0;
    for (std::int64_t i = 0; i < 500; ++i) mean += rows(i, j) / 500.0L;
    for (std::int64_t i = 0; i < 500; ++i) square += (rows(i, j) - mean) * (rows(i, j) - mean);
    const auto std = static_cast<double>(std::sqrt(square / 499));
    EXPECT_NEAR(scott.bandwidth[at(j)], std * std::pow(500.0, -1.0 / 7.0), 1e-13);
    EXPECT_NEAR(silverman.bandwidth[at(j)], std * std::pow(500.0 * 5.0 / 4.0, -1.0 / 7.0), 1e-13);
  }
  // By hand: 1, 2, 3, 4 has standard deviation sqrt(5/3).
  Matrix<double> four(4, 1);
  for (std::int64_t i = 0; i < 4; ++i) four(i, 0) = static_cast<double>(i + 1);
  EXPECT_NEAR(fit(four).bandwidth[0], std::sqrt(5.0 / 3.0) * std::pow(4.0, -0.2), 1e-15);
}

TEST(Kde, IsTheSumOfItsKernelsAtAnySize) {
  for (const std::int64_t n : {1, 2, 63, 64, 65, 300}) {
    for (const std::int64_t m : {1, 31, 33, 256, 257, 4097}) {
      if (n > 100 && m > 300) continue;
      const kde::Model model = fit(noise(n, 2, 2), {.bandwidth = 0.3});
      const Matrix<double> queries = noise(m, 2, 3);
      const std::vector<double> actual = log_prob(model, queries);
      for (std::int64_t i = 0; i < m; i += 1 + m / 40) {
        EXPECT_NEAR(actual[at(i)], static_cast<double>(naive(model, &queries(i, 0), -1)), 1e-11);
      }
    }
  }
}

TEST(Kde, LeavesOneOutExactly) {
  const Matrix<double> rows = noise(4500, 2, 4);  // more than one part of the queries
  const kde::Model model = fit(rows);
  const std::vector<double> actual = log_prob(model, rows, true);
  for (const std::int64_t i : {0, 1, 255, 256, 4095, 4096, 4499}) {
    EXPECT_NEAR(actual[at(i)], static_cast<double>(naive(model, &rows(i, 0), i)), 1e-11) << i;
  }
}

TEST(Kde, TheBitsDoNotDependOnThreadsOrPartners) {
  const Matrix<double> rows = noise(300, 2, 5), queries = noise(1000, 2, 6);
  const kde::Model model = fit(rows);
  const std::vector<double> one = log_prob(model, queries, false, 1);
  EXPECT_TRUE(planted::same_bits(one, log_prob(model, queries, false, 3)));
  for (const std::int64_t i : {0, 500, 999}) {
    Matrix<double> alone(1, 2);
    std::copy_n(&queries(i, 0), 2, alone.data());
    EXPECT_EQ(log_prob(model, alone)[0], one[at(i)]);
  }
}

TEST(Kde, IsFiniteWhereEveryTermUnderflows) {
  const kde::Model model = fit(noise(50, 2, 7));
  Matrix<double> far(2, 2);
  far(0, 0) = 1e5;
  far(1, 1) = 1e150;
  const std::vector<double> actual = log_prob(model, far);
  for (std::int64_t i = 0; i < 2; ++i) {
    const auto expected = static_cast<double>(naive(model, &far(i, 0), -1));
    EXPECT_NEAR(actual[at(i)] / expected, 1.0, 1e-12);
  }
  far(1, 1) = 1e200;
  EXPECT_EQ(log_prob(model, far)[1], -HUGE_VAL);
}

TEST(Kde, FloatRowsAreTakenAsTheyAre) {
  Matrix<double> rows = noise(200, 2, 8);
  for (std::int64_t i = 0; i < rows.size(); ++i) {
    rows.data()[i] = static_cast<double>(static_cast<float>(rows.data()[i] + 1e4));
  }
  const kde::Model wide = fit(rows), narrow = fit<float>(rows);
  EXPECT_EQ(planted::values(wide.rows), planted::values(narrow.rows));
  EXPECT_EQ(wide.bandwidth, narrow.bandwidth);
}

TEST(Kde, SavesAndLoads) {
  const Folder folder;
  const std::string path = folder.path("kde.safetensors");
  const kde::Model model = fit(noise(30, 3, 9));
  kde::save(model, path, "{\"bandwidth\": \"scott\"}");
  const kde::Model back = kde::load(path);
  EXPECT_TRUE(planted::same_bits(planted::values(back.rows), planted::values(model.rows)));
  EXPECT_TRUE(planted::same_bits(back.bandwidth, model.bandwidth));
  const io::TensorFile file = io::read_tensors(path);
  EXPECT_EQ(file.metadata.at("culatent.method"), "kde");
  EXPECT_EQ(file.metadata.at("culatent.options"), "{\"bandwidth\": \"scott\"}");
  gaussian_mixture::save(planted::model(gaussian_mixture::Covariance::full, 2, 2, 1.0, 1), path);
  expect_contains(error_of<io_error>([&] { kde::load(path); }), "gaussian-mixture");
  const auto refused = [&](const auto& change) {
    io::TensorFile bad = file;
    change(bad);
    io::write_tensors(path, bad);
    error_of<data_error>([&] { kde::load(path); });
  };
  refused([](io::TensorFile& f) { f.tensors["bandwidth"].values[0] = 0.0; });
  refused([](io::TensorFile& f) { f.tensors["bandwidth"] = {{2}, {1.0, 1.0}}; });
  refused([](io::TensorFile& f) { f.tensors["rows"] = {{0, 3}, {}}; });
  refused([](io::TensorFile& f) { f.tensors["rows"].values[4] = std::nan(""); });
}

TEST(Kde, BadInputIsATypedError) {
  Matrix<double> rows = noise(20, 2, 10);
  expect_contains(error_of<data_error>([&] { fit(Matrix<double>(0, 2)); }), "0 rows");
  expect_contains(error_of<data_error>([&] { fit(Matrix<double>(3, 0)); }), "0 columns");
  expect_contains(error_of<data_error>([&] { fit(noise(1, 2, 1)); }), "one row");
  for (const double h : {0.0, -1.0, std::nan(""), HUGE_VAL}) {
    EXPECT_THROW(fit(rows, {.bandwidth = h}), invalid_argument) << h;
  }
  const kde::Model model = fit(rows);
  const Matrix<double> wide(5, 3), other(19, 2);
  expect_contains(error_of<data_error>([&] { log_prob(model, wide); }), "3 columns");
  expect_contains(error_of<data_error>([&] { log_prob(model, other, true); }), "19 rows");
  EXPECT_THROW(log_prob(fit(noise(1, 1, 1), {.bandwidth = 1.0}), noise(1, 1, 1), true), data_error);
  std::vector<double> nine(9);
  EXPECT_THROW(kde::log_prob<double>(Context(), model, MatrixRows<double>(rows.view()), nine),
               invalid_argument);
  rows(7, 1) = std::nan("");
  expect_contains(error_of<data_error>([&] { fit(rows); }), "row 7, column 1");
  expect_contains(error_of<data_error>([&] { log_prob(model, rows); }), "row 7, column 1");
  for (std::int64_t i = 0; i < 20; ++i) rows(i, 1) = 0.1;
  expect_contains(error_of<data_error>([&] { fit(rows); }), "column 1");
  for (std::int64_t i = 0; i < 20; ++i) rows(i, 1) = i % 2 == 0 ? 1e300 : -1e300;
  expect_contains(error_of<data_error>([&] { fit(rows); }), "column 1");
}

TEST(Kde, ABandwidthFarBelowTheDataNeverMakesNaN) {
  Matrix<double> rows = noise(20, 1, 11);
  for (std::int64_t i = 0; i < 20; ++i) rows(i, 0) = 1e300 * rows(i, 0);
  for (const double value : log_prob(fit(rows, {.bandwidth = 1e-200}), rows)) {
    EXPECT_FALSE(std::isnan(value));
  }
}

}  // namespace
}  // namespace culatent
