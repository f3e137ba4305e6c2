#include "host/report/density_map.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <sstream>

namespace culatent::report {
namespace {

constexpr double kReach = 5.0;

// log of the standard normal in two dimensions on n x n points of [-5, 5]².
Matrix<double> standard_normal(std::int64_t n) {
  Matrix<double> out(n, n);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      const double step = 2.0 * kReach / static_cast<double>(n - 1);
      const double x = -kReach + static_cast<double>(j) * step;
      const double y = -kReach + static_cast<double>(i) * step;
      out(i, j) = -0.5 * (x * x + y * y) - std::log(2.0 * std::numbers::pi);
    }
  }
  return out;
}

// The region of share s of a standard normal in the plane ends at density (1 − s) / 2π.
TEST(LogLevelOfShare, MatchesTheNormalsClosedForm) {
  const std::int64_t n = 401;
  const Matrix<double> map = standard_normal(n);
  const double cell = std::pow(2.0 * kReach / static_cast<double>(n - 1), 2);
  for (const double share : {0.5, 0.8, 0.95}) {
    const double expected = (1.0 - share) / (2.0 * std::numbers::pi);
    const double level = std::exp(log_level_of_share(map, share));
    // The mass between neighbouring levels of the grid: the circle's circumference in cells, times
    // a cell's mass; the level moves by 2π times that share... all below the density of one ring.
    const double ring = 2.0 * std::numbers::pi * std::sqrt(-2.0 * std::log(1.0 - share)) *
                        std::sqrt(cell) * expected;
    EXPECT_NEAR(level, expected, ring) << share;
  }
}

TEST(LogLevelOfShare, KnowsMapsWithoutMass) {
  Matrix<double> empty(3, 3);
  for (std::int64_t i = 0; i < 9; ++i) {
    empty.data()[i] = -std::numeric_limits<double>::infinity();
  }
  EXPECT_EQ(log_level_of_share(empty, 0.5), -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(contour({{0, 0, 1, 1}, {0, 1}, {0, 1}}, empty, {0, 1, 3}, {0, 1, 3}, 0.0).empty());
}

// Points of the path, in values (the plot's units are values, y upwards).
std::vector<Point> points_of(const std::string& data) {
  std::string text = data;
  for (char& c : text) {
    if (c == 'M' || c == 'L') c = ' ';
  }
  std::istringstream in(text);
  std::vector<Point> out;
  for (Point p; in >> p.x >> p.y;) out.push_back({p.x / 1000.0 - kReach, kReach - p.y / 1000.0});
  return out;
}

// A level of the standard normal is a circle.
TEST(Contour, LiesOnTheCircleOfItsLevel) {
  const std::int64_t n = 201;
  const density::Axis axis{-kReach, kReach, n};
  const Plot plot{{0, 0, 2000.0 * kReach, 2000.0 * kReach}, {-kReach, kReach}, {-kReach, kReach}};
  const double radius = 1.5;
  const double level = -0.5 * radius * radius - std::log(2.0 * std::numbers::pi);
  const std::vector<Point> points =
      points_of(contour(plot, standard_normal(n), axis, axis, level).str());
  ASSERT_GT(points.size(), 100U);
  // Linear interpolation of a parabola over a step h errs by h² / 8 of its second derivative (1) in
  // level, thus by h² / (8 radius) in radius; coordinates are rounded to 1e-4.
  const double step = 2.0 * kReach / static_cast<double>(n - 1);
  for (const Point& p : points) {
    EXPECT_NEAR(std::hypot(p.x, p.y), radius, step * step / (8.0 * radius) + 1e-4);
  }
}

// Every point of a closed line begins or ends exactly two segments.
TEST(Contour, IsClosedInsideTheGrid) {
  Matrix<double> map(9, 9);
  for (std::int64_t i = 0; i < 81; ++i) map.data()[i] = std::sin(static_cast<double>(i * i));
  for (std::int64_t i = 0; i < 9; ++i) map(0, i) = map(8, i) = map(i, 0) = map(i, 8) = -9.0;
  const density::Axis axis{-kReach, kReach, 9};
  const Plot plot{{0, 0, 2000.0 * kReach, 2000.0 * kReach}, {-kReach, kReach}, {-kReach, kReach}};
  const std::vector<Point> points = points_of(contour(plot, map, axis, axis, 0.1).str());
  ASSERT_FALSE(points.empty());
  for (const Point& p : points) {
    int meetings = 0;
    for (const Point& other : points) {
      // Two cells interpolate a shared edge from opposite ends: equal up to rounding.
      if (std::hypot(p.x - other.x, p.y - other.y) < 3e-4) ++meetings;
    }
    EXPECT_EQ(meetings % 2, 0) << p.x << " " << p.y;
  }
}

TEST(Shade, IsOpaqueAtThePeakAndClearWithoutDensity) {
  Matrix<double> map(2, 2);
  map(0, 0) = 0.0;
  map(0, 1) = 2.0 * std::log(0.5);
  map(1, 0) = -std::numeric_limits<double>::infinity();
  map(1, 1) = -1000.0;
  const Image image = shade(map);
  // The last row of the image is the first of the map.
  const auto alpha = [&](std::size_t row, std::size_t column) {
    return image.pixels[(row * 2 + column) * 4 + 3];
  };
  EXPECT_EQ(alpha(0, 0), 0);
  EXPECT_EQ(alpha(0, 1), 0);
  EXPECT_NEAR(alpha(1, 1), alpha(1, 0) / 2.0, 1.0);
  EXPECT_GT(alpha(1, 0), 100);
}

}  // namespace
}  // namespace culatent::report
