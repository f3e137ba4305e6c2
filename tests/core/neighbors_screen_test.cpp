#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "host/parallel.hpp"
#include "kernels/cpu/neighbors_distance.hpp"
#include "kernels/neighbors.hpp"
#include "kernels/neighbors_distance.hpp"
#include "tests/core/neighbors_case.hpp"

namespace culatent {
namespace {

using namespace neighbors_case;
using neighbors::kPanelRows;

struct Violations {
  std::int64_t lower = 0, upper = 0;
};

// Pairs among the first rows whose true distance is outside what the screen says of it.
Violations violations(const Matrix<float>& rows, double slack) {
  ThreadPool threads(1);
  const CpuBackend backend{threads, 1};
  const auto n = static_cast<std::int32_t>(rows.rows());
  const std::int32_t n_positions = (n + kPanelRows - 1) / kPanelRows * kPanelRows;
  std::vector<std::int32_t> order(at(n_positions), -1);
  std::iota(order.begin(), order.begin() + n, 0);
  std::vector<neighbors::Group> groups;
  for (int p = 0; p < n_positions / kPanelRows; p += neighbors::kGroupPanels) {
    groups.push_back({p, std::min(neighbors::kGroupPanels, n_positions / kPanelRows - p), 0});
  }
  const neighbors::Screen screen(backend, rows.view(), neighbors::choose_coordinates(rows.view()),
                                 slack, order, groups);
  const auto half = static_cast<Real>(0.5 * screen.scale * screen.scale);
  Violations found;
  std::vector<float> dots(kPanelRows * kPanelRows);
  for (std::int32_t a = 0; a < n_positions / kPanelRows; ++a) {
    for (std::int32_t b = 0; b < n_positions / kPanelRows; ++b) {
      neighbors::panel_products(screen.panel(a), screen.panel(b), rows.cols(), dots.data());
      for (std::int32_t i = a * kPanelRows; i < std::min(n, (a + 1) * kPanelRows); ++i) {
        for (std::int32_t j = b * kPanelRows; j < std::min(n, (b + 1) * kPanelRows); ++j) {
          Real squared = 0;
          for (std::int64_t f = 0; f < rows.cols(); ++f) {
            const Real delta = static_cast<Real>(rows(i, f)) - static_cast<Real>(rows(j, f));
            squared += delta * delta;
          }
          const auto dot =
              static_cast<Real>(dots[at((j % kPanelRows) * kPanelRows + i % kPanelRows)]);
          const Real low =
              static_cast<Real>(screen.low(0, i)) + static_cast<Real>(screen.low(0, j));
          const Real high =
              static_cast<Real>(screen.high(0, i)) + static_cast<Real>(screen.high(0, j));
          if (low - dot > squared * half) ++found.lower;
          if (high - dot < squared * half) ++found.upper;
        }
      }
    }
  }
  return found;
}

// Rows that are hard on the bound: long ones that nearly agree, all of one sign, spikes, outliers.
std::vector<Matrix<float>> adversaries(std::int64_t d) {
  std::vector<Matrix<float>> result;
  result.push_back(normal_rows(200, d, 1));
  result.push_back(normal_rows(200, d, 2, 1.0, 1e4));
  // A few long rows, so that the centre stays at the others, and copies of them but for a bit.
  Matrix<float> copies = normal_rows(200, d, 3, 1e-3);
  for (std::int64_t i = 120; i < 200; ++i) {
    for (std::int64_t j = 0; j < d; ++j) {
      const float value = 1.0f + static_cast<float>((j * 37 + 11) % 64) / 64.0f;
      copies(i, j) = (i + j) % 3 == 0 ? std::nextafter(value, 2.0f) : value;
    }
  }
  result.push_back(std::move(copies));
  Matrix<float> spikes = normal_rows(200, d, 4);
  for (std::int64_t i = 0; i < 200; ++i)
    spikes(i, i % d) *= std::ldexp(1.0f, static_cast<int>(i) - 100);
  result.push_back(std::move(spikes));
  result.push_back(normal_rows(200, d, 5, 1e-44));
  result.push_back(normal_rows(200, d, 6, 1e38));
  Matrix<float> far = normal_rows(200, d, 7);
  for (std::int64_t i = 0; i < 200; i += 3) far(i, i % d) = (i % 2 == 0 ? 1e30f : -3e38f);
  result.push_back(std::move(far));
  return result;
}

class NeighborsScreen : public testing::TestWithParam<int> {};

TEST_P(NeighborsScreen, BoundsHoldTheTrueDistances) {
  for (const Matrix<float>& rows : adversaries(GetParam())) {
    const Violations found = violations(rows, neighbors::screen_slack(GetParam()));
    EXPECT_EQ(found.lower, 0);
    EXPECT_EQ(found.upper, 0);
  }
}

// What the test above is worth: a bound without its slack is caught.
TEST_P(NeighborsScreen, WithoutSlackBoundsDoNotHold) {
  Violations found;
  for (const Matrix<float>& rows : adversaries(GetParam())) {
    const Violations one = violations(rows, 0.0);
    found.lower += one.lower;
    found.upper += one.upper;
  }
  EXPECT_GT(found.lower, 0);
  EXPECT_GT(found.upper, 0);
}

INSTANTIATE_TEST_SUITE_P(Features, NeighborsScreen,
                         testing::Values(1, 2, 3, 16, 100, 256, 257, 600));

TEST(NeighborsDistance, IsTheSumOfSquaredDifferences) {
  for (std::int64_t d = 1; d < 40; ++d) {
    const Matrix<float> rows = normal_rows(2, d, 20 + static_cast<std::uint64_t>(d));
    Real sum = 0;
    for (std::int64_t j = 0; j < d; ++j) {
      const Real delta = static_cast<Real>(rows(0, j)) - static_cast<Real>(rows(1, j));
      sum += delta * delta;
    }
    const double found = neighbors::squared_distance(&rows(0, 0), &rows(1, 0), d);
    const Real error = std::abs(static_cast<Real>(found) - sum);
    EXPECT_LE(error, (static_cast<Real>(d) / 8 + 6) * 0x1p-53L * sum);
    EXPECT_EQ(found, neighbors::squared_distance(&rows(1, 0), &rows(0, 0), d));
    EXPECT_EQ(found, neighbors::cpu_distance::squared_distance(&rows(0, 0), &rows(1, 0), d));
  }
}

TEST(NeighborsDistance, HasOneOrderOfSums) {
  // Lanes are features modulo 8, added as a tree: what cancels shows the order. 2^60 + 1 is 2^60.
  float a[10] = {}, b[10] = {};
  a[0] = 0x1p30f;  // 2^60 in lane 0
  a[4] = 8.0f;     // joins lane 0 first: 64 is a quarter of the last place there, and is lost
  a[1] = 9.0f;     // 81 and 49 join before they meet 2^60: 130 is more than half of it
  a[5] = 7.0f;
  EXPECT_EQ(neighbors::squared_distance(a, b, 10), 0x1p60 + 0x1p8);
  EXPECT_EQ(neighbors::cpu_distance::squared_distance(a, b, 10), 0x1p60 + 0x1p8);
}

}  // namespace
}  // namespace culatent
