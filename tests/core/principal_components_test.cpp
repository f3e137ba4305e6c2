#include "host/principal_components.hpp"

#include <gtest/gtest.h>

#include <Eigen/QR>
#include <Eigen/SVD>
#include <cfloat>
#include <cmath>
#include <cstring>

#include "culatent/error.hpp"
#include "tests/core/golden.hpp"
#include "tests/core/oracle.hpp"
#include "tests/errors.hpp"

namespace culatent {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;
using errors::error_of;
using errors::expect_contains;

template <class T>
struct Found {
  PrincipalComponents components;
  Matrix<T> scores;
};

template <class T>
Found<T> find(const RowSource<T>& rows, std::int64_t q, const Context::Options& options = {}) {
  const Context context(options);
  const CpuBackend backend{context.threads(), context.n_threads()};
  Found<T> found{find_principal_components(context, backend, rows, q), {}};
  found.scores = Matrix<T>(rows.rows(), found.components.components.rows());
  principal_scores(context, backend, rows, found.components, 1.0, found.scores.view());
  return found;
}

template <class T>
Found<T> find(const Matrix<T>& rows, std::int64_t q, const Context::Options& options = {}) {
  return find(MatrixRows<T>(rows.view()), q, options);
}

MatrixXd normal(std::int64_t rows, std::int64_t cols, std::uint64_t seed) {
  oracle::Draws draws(seed);
  MatrixXd m(rows, cols);
  for (std::int64_t i = 0; i < m.size(); ++i) m.data()[i] = draws.normal();
  return m;
}

MatrixXd orthonormal(const MatrixXd& columns) {
  const Eigen::HouseholderQR<MatrixXd> factors(columns);
  return factors.householderQ() * MatrixXd::Identity(columns.rows(), columns.cols());
}

template <class T>
Matrix<T> matrix(const MatrixXd& m) {
  Matrix<T> result(m.rows(), m.cols());
  for (std::int64_t i = 0; i < m.rows(); ++i) {
    for (std::int64_t j = 0; j < m.cols(); ++j) result(i, j) = static_cast<T>(m(i, j));
  }
  return result;
}

// Centred rows with singular values falling by `ratio` in random directions, plus an offset.
MatrixXd planted(std::int64_t n, std::int64_t d, double ratio, double offset) {
  const std::int64_t rank = std::min(n - 1, d);
  MatrixXd left = normal(n, rank + 1, 1);
  left.col(0).setOnes();  // the others are then centred
  MatrixXd scores = orthonormal(left).rightCols(rank);
  for (std::int64_t c = 0; c < rank; ++c) scores.col(c) *= std::pow(ratio, static_cast<double>(c));
  return (scores * orthonormal(normal(d, rank, 2)).transpose()).array() + offset;
}

// Compares with the singular values and vectors that Eigen finds in the centred matrix.
// `tolerance`: relative residual of C v = λ v; a vector then errs by λ / gap times as much, a value
// by its square.
template <class T>
void expect_agrees(const Matrix<T>& rows, const Found<T>& found, std::int64_t q, double tolerance) {
  MatrixXd x(rows.rows(), rows.cols());
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    for (std::int64_t j = 0; j < rows.cols(); ++j) x(i, j) = static_cast<double>(rows(i, j));
  }
  const Eigen::RowVectorXd mean = x.colwise().mean();
  x.rowwise() -= mean;
  const Eigen::BDCSVD<MatrixXd> svd(x, Eigen::ComputeThinU | Eigen::ComputeThinV);
  const VectorXd values = svd.singularValues().array().square();
  const auto n = static_cast<double>(rows.rows());
  const double sums = DBL_EPSILON * static_cast<double>(rows.rows() + rows.cols());
  ASSERT_EQ(found.components.components.rows(), q);
  const double widest = x.cwiseAbs().maxCoeff() + mean.cwiseAbs().maxCoeff();
  for (std::int64_t j = 0; j < rows.cols(); ++j) {
    EXPECT_NEAR(found.components.mean[static_cast<std::size_t>(j)], mean[j], sums * widest);
  }
  for (std::int64_t c = 0; c < q; ++c) {
    double gap = c > 0 ? values[c - 1] - values[c] : values[0];
    if (c + 1 < values.size()) gap = std::min(gap, values[c] - values[c + 1]);
    const double loss = (tolerance * values[c] + 4 * sums * values[0]) / gap;
    const double variance = found.components.variances[static_cast<std::size_t>(c)];
    EXPECT_NEAR(variance * (n - 1.0), values[c],
                tolerance * loss * values[c] + 4 * sums * values[0])
        << c;
    VectorXd expected = svd.matrixV().col(c);
    Eigen::Index largest;
    expected.cwiseAbs().maxCoeff(&largest);
    if (expected[largest] < 0.0) expected = -expected;
    EXPECT_GT(found.components.components(c, largest), 0.0);
    double square = 0.0, norm = 0.0, spread = 0.0;
    for (std::int64_t j = 0; j < rows.cols(); ++j) {
      const double value = found.components.components(c, j);
      square += (value - expected[j]) * (value - expected[j]);
      norm += value * value;
    }
    EXPECT_NEAR(norm, 1.0, 16 * sums);
    EXPECT_LE(std::sqrt(square), 2 * loss + 4 * sums) << c;
    for (std::int64_t i = 0; i < rows.rows(); ++i) {
      const double score = x.row(i).dot(expected);
      spread = std::max(spread, std::abs(static_cast<double>(found.scores(i, c)) - score));
    }
    // A score is a sum over features of the difference of directions, and rounded to T.
    const double reach = x.rowwise().norm().maxCoeff();
    const double rounded = static_cast<double>(std::numeric_limits<T>::epsilon());
    EXPECT_LE(spread, reach * (2 * loss + 4 * sums + rounded) + 4 * sums * widest) << c;
  }
}

TEST(PrincipalComponents, AgreeWithSingularVectorsOfIrisAndDigits) {
  for (const char* name : {"iris.npy", "digits.npy"}) {
    const Matrix<double> read =
        golden::read_matrix(std::string(CULATENT_TEST_DATA "/data/") + name);
    Matrix<float> rows(read.rows(), read.cols());
    for (std::int64_t i = 0; i < rows.size(); ++i) {
      rows.data()[i] = static_cast<float>(read.data()[i]);
    }
    const Found<float> found = find(rows, 3);
    EXPECT_EQ(found.components.n_passes, 1);
    expect_agrees(rows, found, 3, 0.0);
  }
}

TEST(PrincipalComponents, AgreeInOnePassUpTo256Features) {
  for (const std::int64_t d : {1, 2, 7, 256}) {
    const Matrix<double> rows = matrix<double>(planted(400, d, 0.8, 3.0));
    const Found<double> found = find(rows, std::min<std::int64_t>(d, 5));
    EXPECT_EQ(found.components.n_passes, 1);
    expect_agrees(rows, found, std::min<std::int64_t>(d, 5), 0.0);
  }
}

TEST(PrincipalComponents, AgreeByIterationBeyond) {
  for (const double ratio : {0.3, 0.8, 0.95}) {
    for (const std::int64_t n : {280, 1500}) {
      const Matrix<double> rows = matrix<double>(planted(n, 300, ratio, -2.0));
      const Found<double> found = find(rows, 3);
      EXPECT_TRUE(found.components.converged);
      EXPECT_GT(found.components.n_passes, 1);
      expect_agrees(rows, found, 3, 1e-5);
    }
  }
}

TEST(PrincipalComponents, KeepTheirDigitsFarFromTheOrigin) {
  // Multiples of 2^-10 below 2^3: the float values are exact at an offset of 2^13.
  MatrixXd near = (planted(300, 20, 0.7, 0.0) * 8192.0).array().round() / 1024.0;
  const Found<float> at_origin = find(matrix<float>(near), 2);
  const MatrixXd moved = near.array() + 8192.0;
  const Matrix<float> far = matrix<float>(moved);
  const Found<float> found = find(far, 2);
  expect_agrees(far, found, 2, 0.0);
  EXPECT_NEAR(found.components.variances[1], at_origin.components.variances[1],
              1024 * DBL_EPSILON * at_origin.components.variances[0]);
}

TEST(PrincipalComponents, AreNoMoreThanTheRank) {
  const Matrix<float> narrow = matrix<float>(normal(50, 2, 3));
  expect_agrees(narrow, find(narrow, 5), 2, 0.0);
  const Matrix<float> few = matrix<float>(normal(3, 40, 4));  // two directions about the mean
  expect_agrees(few, find(few, 5), 2, 0.0);
  const Matrix<float> few_wide = matrix<float>(normal(3, 400, 4));
  expect_agrees(few_wide, find(few_wide, 5), 2, 1e-5);
  EXPECT_EQ(find(Matrix<float>(10, 3), 2).components.components.rows(), 0);
  EXPECT_EQ(find(matrix<float>(normal(1, 3, 5)), 2).components.components.rows(), 0);
  EXPECT_EQ(find(matrix<float>(normal(1, 500, 5)), 2).scores.size(), 0);
  MatrixXd constant = normal(60, 4, 6);
  constant.col(1).setConstant(1e20);
  constant.col(2).setConstant(-7.0);
  const Matrix<float> rows = matrix<float>(constant);
  const Found<float> found = find(rows, 4);
  ASSERT_EQ(found.components.components.rows(), 2);
  EXPECT_EQ(found.components.components(0, 1), 0.0);
  EXPECT_EQ(found.components.components(1, 2), 0.0);
}

TEST(PrincipalComponents, SurviveAValueThatDwarfsTheOthers) {
  for (const std::int64_t d : {5, 300}) {
    Matrix<float> rows = matrix<float>(normal(80, d, 7));
    rows(33, 4) = 1e30f;
    const Found<float> found = find(rows, 3);
    // The others' variance is 1e-60 of this one: below any rounding.
    ASSERT_EQ(found.components.components.rows(), 1);
    EXPECT_NEAR(found.components.components(0, 4), 1.0, 1e-12);
    EXPECT_NEAR(found.components.variances[0] * 80.0 / 1e60, 1.0, 8.0 * FLT_EPSILON);
    EXPECT_NEAR(static_cast<double>(found.scores(33, 0)) / 1e30, 79.0 / 80.0, 8.0 * FLT_EPSILON);
  }
  for (const float factor : {1e37f, 1e-38f}) {
    Matrix<float> rows = matrix<float>(normal(80, 6, 7));
    const Found<float> expected = find(rows, 2);
    for (std::int64_t i = 0; i < rows.size(); ++i) rows.data()[i] *= factor;
    const Found<float> found = find(rows, 2);
    ASSERT_EQ(found.components.components.rows(), 2);
    for (std::int64_t j = 0; j < 6; ++j) {
      // Rows of 1e-38 are subnormal and have some 20 bits.
      EXPECT_NEAR(found.components.components(1, j), expected.components.components(1, j),
                  256.0 * FLT_EPSILON);
    }
  }
}

TEST(PrincipalComponents, OfNoiseWithoutDirectionEndAtTheBound) {
  const Matrix<float> rows = matrix<float>(normal(4000, 400, 8));
  const Found<float> found = find(rows, 2);
  EXPECT_LE(found.components.n_passes, 50);
  ASSERT_EQ(found.components.components.rows(), 2);
  // Marchenko & Pastur 1967: the largest eigenvalue is near (1 + √(d / n))².
  EXPECT_NEAR(found.components.variances[0], std::pow(1.0 + std::sqrt(0.1), 2.0), 0.1);
}

TEST(PrincipalComponents, ScoresTakeAFactor) {
  const Matrix<float> rows = matrix<float>(normal(30, 4, 9));
  const Context context;
  const CpuBackend backend{context.threads(), 1};
  const MatrixRows<float> source(rows.view());
  const PrincipalComponents found = find_principal_components(context, backend, source, 2);
  Matrix<float> scores(30, 2), quarter(30, 2);
  principal_scores(context, backend, source, found, 1.0, scores.view());
  principal_scores(context, backend, source, found, 0.25, quarter.view());
  double square = 0.0;
  for (std::int64_t i = 0; i < 30; ++i) {
    EXPECT_EQ(quarter(i, 1), 0.25f * scores(i, 1));
    square += static_cast<double>(scores(i, 0)) * static_cast<double>(scores(i, 0));
  }
  EXPECT_NEAR(square / 29.0, found.variances[0], 8.0 * FLT_EPSILON * found.variances[0]);
}

template <class T>
bool same_bits(const Matrix<T>& a, const Matrix<T>& b) {
  return a.rows() == b.rows() && a.cols() == b.cols() &&
         std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof(T)) == 0;
}

TEST(PrincipalComponents, BitsDependOnNeitherThreadsNorChunks) {
  for (const std::int64_t d : {30, 270}) {
    const Matrix<float> rows = matrix<float>(planted(5000, d, 0.9, 1.0));
    const GeneratedRows<float> made(5000, d, [&](std::int64_t first, MatrixView<float> out) {
      for (std::int64_t i = 0; i < out.rows; ++i) std::copy_n(&rows(first + i, 0), d, out.row(i));
    });
    const Found<float> expected = find(rows, 2, {.n_threads = 1});
    for (const Context::Options& options :
         {Context::Options{.n_threads = 2}, Context::Options{.n_threads = 5, .chunk_rows = 1024}}) {
      for (const Found<float>& found : {find(rows, 2, options), find<float>(made, 2, options)}) {
        EXPECT_TRUE(same_bits(found.scores, expected.scores));
        EXPECT_TRUE(same_bits(found.components.components, expected.components.components));
        EXPECT_EQ(found.components.variances, expected.components.variances);
      }
    }
  }
}

TEST(PrincipalComponents, RefuseWhatIsNoNumber) {
  Matrix<float> rows = matrix<float>(normal(30, 4, 10));
  rows(17, 2) = NAN;
  expect_contains(error_of<data_error>([&] { find(rows, 2); }), "row 17, column 2");
  Matrix<double> wide = matrix<double>(normal(30, 4, 10));
  wide(3, 1) = 1e200;
  expect_contains(error_of<data_error>([&] { find(wide, 2); }), "column 1");
}

}  // namespace
}  // namespace culatent
