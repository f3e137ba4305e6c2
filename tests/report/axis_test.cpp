#include "host/report/axis.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

namespace culatent::report {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<std::string> labels(const std::vector<Tick>& ticks) {
  std::vector<std::string> out;
  for (const Tick& tick : ticks) out.push_back(tick.label);
  return out;
}

using Labels = std::vector<std::string>;

TEST(Range, PassesOverWhatIsNotFinite) {
  Range range;
  EXPECT_TRUE(range.empty());
  for (const double value : {kNaN, 2.0, -kInfinity, -1.0, kInfinity}) range.include(value);
  EXPECT_EQ(range.low, -1.0);
  EXPECT_EQ(range.high, 2.0);
}

TEST(Range, IsNeverEmptyOnAnAxis) {
  EXPECT_EQ(Range().for_axis().low, 0.0);
  EXPECT_EQ(Range().for_axis().high, 1.0);
  const Range zero = Range{0.0, 0.0}.for_axis();
  EXPECT_LT(zero.low, 0.0);
  EXPECT_GT(zero.high, 0.0);
  const Range point = Range{-3.0, -3.0}.for_axis();
  EXPECT_LT(point.low, -3.0);
  EXPECT_GT(point.high, -3.0);
}

TEST(Range, GetsItsMarginOnBothSides) {
  const Range range = Range{0.0, 10.0}.for_axis(0.1);
  EXPECT_DOUBLE_EQ(range.low, -1.0);
  EXPECT_DOUBLE_EQ(range.high, 11.0);
}

TEST(Range, HasAFiniteSpanForTheLargestNumbers) {
  constexpr double kMax = std::numeric_limits<double>::max();
  for (const Range range : {Range{-kMax, kMax}, Range{kMax, kMax}, Range{-kMax, -kMax}}) {
    const Range shown = range.for_axis(0.1);
    EXPECT_TRUE(std::isfinite(shown.span()));
    EXPECT_GT(shown.span(), 0.0);
  }
}

TEST(LinearTicks, AreRoundNumbers) {
  EXPECT_EQ(labels(linear_ticks({0.0, 1.0}, 5)),
            (Labels{"0.0", "0.2", "0.4", "0.6", "0.8", "1.0"}));
  EXPECT_EQ(labels(linear_ticks({43.0, 96.0}, 5)), (Labels{"50", "60", "70", "80", "90"}));
  EXPECT_EQ(labels(linear_ticks({-7.0, 12.0}, 4)), (Labels{"−5", "0", "5", "10"}));
  EXPECT_EQ(labels(linear_ticks({0.0, 30.0}, 6)), (Labels{"0", "5", "10", "15", "20", "25", "30"}));
}

TEST(LinearTicks, ShareOnePowerFarFromOne) {
  EXPECT_EQ(labels(linear_ticks({0.0, 4e-7}, 4)),
            (Labels{"0", "1×10⁻⁷", "2×10⁻⁷", "3×10⁻⁷", "4×10⁻⁷"}));
  EXPECT_EQ(labels(linear_ticks({0.0, 2e12}, 4)),
            (Labels{"0.0", "0.5×10¹²", "1.0×10¹²", "1.5×10¹²", "2.0×10¹²"}));
}

TEST(LinearTicks, TellNarrowRangesFarFromZeroApart) {
  const std::vector<Tick> ticks = linear_ticks({1e6, 1e6 + 0.5}, 5);
  const Labels all = labels(ticks);
  EXPECT_GE(ticks.size(), 3U);
  EXPECT_EQ(std::set<std::string>(all.begin(), all.end()).size(), all.size());
}

// For any range: inside it, evenly spaced, of different labels, of the promised number.
TEST(LinearTicks, HoldTheirPromiseForAllMagnitudes) {
  for (int exponent = -300; exponent <= 299; exponent += 7) {
    for (const double offset : {0.0, 0.3, -0.7, 100.0}) {
      const double unit = std::pow(10.0, exponent);
      const Range range = Range{offset * unit, (offset + 1.37) * unit}.for_axis();
      for (const int about : {3, 5, 8}) {
        const std::vector<Tick> ticks = linear_ticks(range, about);
        ASSERT_GE(static_cast<int>(ticks.size()), about / 2) << exponent << " " << offset;
        ASSERT_LE(static_cast<int>(ticks.size()), 2 * about + 1) << exponent << " " << offset;
        const double slack = 1e-6 * range.span();
        for (std::size_t i = 0; i < ticks.size(); ++i) {
          EXPECT_GE(ticks[i].at, range.low - slack);
          EXPECT_LE(ticks[i].at, range.high + slack);
          if (i == 0) continue;
          EXPECT_NE(ticks[i].label, ticks[i - 1].label) << exponent << " " << offset;
          EXPECT_NEAR(ticks[i].at - ticks[i - 1].at, ticks[1].at - ticks[0].at, slack);
        }
      }
    }
  }
}

TEST(LogTicks, AreWholePowers) {
  EXPECT_EQ(labels(log_ticks({-3.0, 1.0})), (Labels{"0.001", "0.01", "0.1", "1", "10"}));
  EXPECT_EQ(labels(log_ticks({-6.0, -4.0})), (Labels{"10⁻⁶", "10⁻⁵", "0.0001"}));
  EXPECT_LE(log_ticks({-300.0, 2.0}, 6).size(), 6U);
}

TEST(IntegerTicks, HaveNoFractions) {
  EXPECT_EQ(labels(integer_ticks({0.0, 1.0})), (Labels{"0", "1"}));
  EXPECT_EQ(labels(integer_ticks({0.0, 3.0})), (Labels{"0", "1", "2", "3"}));
  EXPECT_EQ(labels(integer_ticks({0.0, 10000.0}, 5)),
            (Labels{"0", "2,000", "4,000", "6,000", "8,000", "10,000"}));
}

}  // namespace
}  // namespace culatent::report
