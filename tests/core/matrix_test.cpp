#include "culatent/matrix.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include "culatent/error.hpp"
#include "culatent/rows.hpp"

namespace culatent {
namespace {

TEST(CheckedProduct, MultipliesOrThrows) {
  EXPECT_EQ(checked_product(0, INT64_MAX), 0);
  EXPECT_EQ(checked_product(INT64_MAX, 1), INT64_MAX);
  EXPECT_EQ(checked_product(3037000499, 3037000499), 9223372030926249001);
  EXPECT_THROW(checked_product(3037000500, 3037000500), out_of_memory);
  EXPECT_THROW(checked_product(INT64_MAX, 2), out_of_memory);
  EXPECT_THROW(checked_product(-1, 2), out_of_memory);
  EXPECT_THROW(checked_product(2, -1), out_of_memory);
  EXPECT_THROW(checked_product(INT64_MIN, INT64_MIN), out_of_memory);
}

TEST(Matrix, IsZeroAlignedAndDense) {
  for (const std::int64_t cols : {1, 7, 16, 33}) {
    const Matrix<float> m(5, cols);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(m.data()) % 64, 0u);
    EXPECT_EQ(m.size(), 5 * cols);
    for (std::int64_t i = 0; i < m.size(); ++i) EXPECT_EQ(m.data()[i], 0.0f);
    EXPECT_EQ(&m(3, 0), m.data() + 3 * cols);
  }
}

TEST(Matrix, MayBeEmpty) {
  const Matrix<double> none;
  const Matrix<double> no_rows(0, 5), no_cols(5, 0);
  EXPECT_EQ(none.size(), 0);
  EXPECT_EQ(no_rows.size(), 0);
  EXPECT_EQ(no_rows.cols(), 5);
  EXPECT_EQ(no_cols.rows(), 5);
  const Matrix<double> copy = no_rows;
  EXPECT_EQ(copy.cols(), 5);
}

TEST(Matrix, CopiesAreItsOwn) {
  Matrix<double> a(2, 3);
  a(1, 2) = 5.0;
  Matrix<double> b = a;
  b(1, 2) = 6.0;
  EXPECT_EQ(a(1, 2), 5.0);
  a = b;
  EXPECT_EQ(a(1, 2), 6.0);
  a = *&a;
  EXPECT_EQ(a(1, 2), 6.0);
}

TEST(Matrix, MovesLeaveNothingBehind) {
  Matrix<double> a(2, 3);
  a(0, 1) = 4.0;
  const Matrix<double> b = std::move(a);
  EXPECT_EQ(b(0, 1), 4.0);
  EXPECT_EQ(a.rows(), 0);  // NOLINT: what a moved-from matrix is, is the claim
  EXPECT_EQ(a.data(), nullptr);
}

TEST(Matrix, SizesBeyondMemoryAreATypedError) {
  EXPECT_THROW(Matrix<double>(INT64_MAX, 2), out_of_memory);
  EXPECT_THROW(Matrix<double>(INT64_MAX / 8, 1), out_of_memory);
  EXPECT_THROW(Matrix<double>(-1, 2), out_of_memory);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's allocator ends the program instead";
#endif
  EXPECT_THROW(Matrix<double>(std::int64_t{1} << 58, 1), out_of_memory);
  try {
    const Matrix<float> m(std::int64_t{1} << 50, 16);
    ADD_FAILURE() << "a petabyte was given";
  } catch (const out_of_memory& error) {
    EXPECT_NE(std::string(error.what()).find("72057594037927936 bytes"), std::string::npos)
        << error.what();
  }
}

TEST(MatrixView, StepsByItsStride) {
  double data[12];
  for (int i = 0; i < 12; ++i) data[i] = i;
  const MatrixView<double> view(data + 1, 3, 2, 4);
  EXPECT_EQ(view(2, 1), 10.0);
  EXPECT_EQ(view.row(1), data + 5);
  const MatrixView<const double> part = view.slice(1, 2);
  EXPECT_EQ(part.rows, 2);
  EXPECT_EQ(part.stride, 4);
  EXPECT_EQ(part(1, 1), 10.0);
}

TEST(SlicedRows, AreRowsOfTheSource) {
  const GeneratedRows<double> all(10, 1, [](std::int64_t first, MatrixView<double> rows) {
    for (std::int64_t i = 0; i < rows.rows; ++i) rows(i, 0) = static_cast<double>(first + i);
  });
  const SlicedRows<double> slice(all, 4, 3);
  EXPECT_EQ(slice.rows(), 3);
  EXPECT_FALSE(slice.in_place());
  Matrix<double> buffer(2, 1);
  const MatrixView<const double> rows = slice.read(1, buffer.view());
  EXPECT_EQ(rows(0, 0), 5.0);
  EXPECT_EQ(rows(1, 0), 6.0);
}

}  // namespace
}  // namespace culatent
