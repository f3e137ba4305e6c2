#include "host/report/sample_rows.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace culatent::report {
namespace {

GeneratedRows<float> counting(std::int64_t n) {
  return {n, 2, [](std::int64_t first, MatrixView<float> buffer) {
            for (std::int64_t i = 0; i < buffer.rows; ++i) {
              buffer(i, 0) = static_cast<float>((first + i) % 1000);
              buffer(i, 1) = -1.0F;
            }
          }};
}

TEST(SampleRows, TakesAllOfFewRows) {
  const RowSample sample = sample_rows<float>(counting(7), 10);
  ASSERT_EQ(sample.rows.rows(), 7);
  for (std::int64_t i = 0; i < 7; ++i) {
    EXPECT_EQ(sample.index[static_cast<std::size_t>(i)], i);
    EXPECT_EQ(sample.rows(i, 0), static_cast<double>(i));
  }
}

TEST(SampleRows, TakesOneFromEachStretch) {
  for (const std::int64_t n : {11L, 1003L, 5'000'000'000L}) {
    const RowSample sample = sample_rows<float>(counting(n), 10);
    ASSERT_EQ(sample.rows.rows(), 10);
    std::int64_t first = 0;
    for (std::int64_t i = 0; i < 10; ++i) {
      const std::int64_t length = n / 10 + (i < n % 10 ? 1 : 0);
      const std::int64_t from = sample.index[static_cast<std::size_t>(i)];
      EXPECT_GE(from, first);
      EXPECT_LT(from, first + length);
      EXPECT_EQ(sample.rows(i, 0), static_cast<double>(from % 1000));
      first += length;
    }
  }
}

// A stride of n / max would see one class of an alternating sequence only.
TEST(SampleRows, DoesNotFallInStepWithPeriods) {
  const RowSample sample = sample_rows<float>(counting(10000), 1000);
  std::int64_t odd = 0;
  for (const std::int64_t from : sample.index) odd += from % 2;
  EXPECT_GT(odd, 400);
  EXPECT_LT(odd, 600);
}

TEST(SampleRows, TakesNoneOfNone) {
  EXPECT_EQ(sample_rows<float>(counting(0), 10).rows.rows(), 0);
  EXPECT_EQ(sample_rows<float>(counting(5), 0).rows.rows(), 0);
}

}  // namespace
}  // namespace culatent::report
