#include "host/report/plot.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "host/report/histogram.hpp"
#include "host/report/svg.hpp"

namespace culatent::report {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
const Plot kUnit{{0, 0, 100, 100}, {0.0, 10.0}, {0.0, 10.0}};

TEST(Coordinate, IsShortAndFinite) {
  EXPECT_EQ(coordinate(1.0), "1");
  EXPECT_EQ(coordinate(-0.01), "0");
  EXPECT_EQ(coordinate(3.14159), "3.1");
  EXPECT_EQ(coordinate(1e300), "99999");
  EXPECT_EQ(coordinate(kNaN), "0");
}

TEST(Plot, PutsHighValuesAtTheTop) {
  EXPECT_DOUBLE_EQ(kUnit.at(0.0, 10.0).y, 0.0);
  EXPECT_DOUBLE_EQ(kUnit.at(0.0, 0.0).y, 100.0);
  EXPECT_DOUBLE_EQ(kUnit.at(2.5, 0.0).x, 25.0);
}

TEST(Polyline, BreaksAtGapsAndKeepsLonelyPoints) {
  const std::vector<double> x = {0, 1, 2, 3, 4, 5};
  const std::vector<double> y = {1, 2, kNaN, 3, kNaN, 4};
  EXPECT_EQ(polyline(kUnit, x, y).str(), "M0 90L10 80M30 70h0M50 60h0");
  EXPECT_TRUE(polyline(kUnit, {}, {}).empty());
}

TEST(Area, ReturnsToZero) {
  const std::vector<double> x = {0, 10}, y = {5, 5};
  EXPECT_EQ(area(kUnit, x, y).str(), "M0 100L0 50L100 50L100 100Z");
  EXPECT_TRUE(area(kUnit, {}, {}).empty());
}

TEST(Marks, DrawOneGroupAndPassOverMissingValues) {
  const std::vector<double> x = {1, 2, kNaN, 3}, y = {1, 2, 3, 3};
  const std::vector<std::int64_t> group = {0, 1, 0, 0};
  EXPECT_EQ(marks(kUnit, x, y, Marker::dot, 0.0, group, 0).str(), "M10 90h0M30 70h0");
  EXPECT_EQ(marks(kUnit, x, y, Marker::bar, 2.0, group, 1).str(), "M20 78L20 82");
  EXPECT_EQ(marks(kUnit, x, y).str(), "M10 90h0M20 80h0M30 70h0");
}

TEST(Series, ChangeTheirMarkWhenColoursComeAgain) {
  EXPECT_EQ(series_class(9), "s1");
  EXPECT_EQ(series_marker(1), Marker::dot);
  EXPECT_EQ(series_marker(9), Marker::cross);
  EXPECT_EQ(series_marker(17), Marker::bar);
}

TEST(Svg, EscapesEveryText) {
  Svg svg(10, 10, "i\"d", "<t>", "a & b");
  svg.text({0, 0}, "<script>", "c");
  svg.rect({0, 0, 1, 1}, "c", "\"tip\"");
  const std::string out = svg.str();
  EXPECT_EQ(out.find("<script>"), std::string::npos);
  EXPECT_NE(out.find("&lt;script&gt;"), std::string::npos);
  EXPECT_NE(out.find("<title>&quot;tip&quot;</title>"), std::string::npos);
  EXPECT_NE(out.find("id=\"i&quot;d-title\">&lt;t&gt;"), std::string::npos);
}

TEST(Histogram, BarsHaveUnitArea) {
  std::vector<double> values;
  for (int i = 0; i < 1000; ++i) values.push_back(std::sin(i * 0.7) + 0.001 * i);
  values.push_back(kNaN);
  const Histogram bars = histogram(values);
  double area = 0.0;
  for (const double density : bars.density) area += density * bars.width;
  // Each of the thousand additions rounds.
  EXPECT_NEAR(area, 1.0, 1000 * std::numeric_limits<double>::epsilon());
  EXPECT_LE(bars.density.size(), 80U);
}

TEST(Histogram, HasNoBinsWithoutTwoValues) {
  EXPECT_TRUE(histogram({}).density.empty());
  const std::vector<double> same(7, 3.0), nothing(3, kNaN);
  EXPECT_TRUE(histogram(same).density.empty());
  EXPECT_TRUE(histogram(nothing).density.empty());
}

TEST(Histogram, TakesValuesThatAreMostlyEqualAndHugeOnes) {
  std::vector<double> values(100, 1.0);
  values.push_back(2.0);
  EXPECT_FALSE(histogram(values).density.empty());
  constexpr double kMax = std::numeric_limits<double>::max();
  constexpr double kTiny = std::numeric_limits<double>::denorm_min();
  const std::vector<double> huge = {-kMax, kMax}, tiny = {0.0, kTiny};
  EXPECT_TRUE(histogram(huge).density.empty());
  EXPECT_TRUE(histogram(tiny).density.empty());
}

}  // namespace
}  // namespace culatent::report
