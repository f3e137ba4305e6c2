#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/tsne.hpp"
#include "tests/core/tsne_case.hpp"

namespace culatent::tsne {
namespace {

constexpr double kEpsilon = std::numeric_limits<float>::epsilon();

TEST(TsneExactRepulsion, IsTheSumOverPairsAroundTheTiles) {
  ThreadPool threads(3);
  for (const int q : {1, 2, 3}) {
    for (const std::int64_t n : {2, 3, 7, 8, 9, 511, 512, 513, 1025, 1600}) {
      const Matrix<float> points = points_of_span(n, q, 12.0, false);
      const Sums expected = brute_force(points);
      Matrix<float> forces(n, q);
      ExactRepulsion exact(n, q);
      const double z = exact.repel({threads, 3}, points.view(), forces.view());
      // A tile sums 512 / 8 terms a lane in float.
      EXPECT_NEAR(z / expected.partition, 1.0, 64 * kEpsilon) << q << " " << n;
      EXPECT_LT(relative_error(forces, expected.forces), 64 * kEpsilon) << q << " " << n;
      EXPECT_NEAR(partition({threads, 3}, points.view()) / expected.partition, 1.0, 64 * kEpsilon);
    }
  }
}

TEST(TsneExactRepulsion, HasTheSameBitsForAnyThreads) {
  const std::int64_t n = 1400;
  const Matrix<float> points = points_of_span(n, 2, 30.0, true);
  std::vector<Matrix<float>> forces;
  std::vector<double> z;
  for (const int workers : {1, 2, 5}) {
    ThreadPool threads(workers);
    forces.emplace_back(n, 2);
    ExactRepulsion exact(n, 2);
    z.push_back(exact.repel({threads, workers}, points.view(), forces.back().view()));
  }
  for (std::size_t i = 1; i < z.size(); ++i) {
    EXPECT_EQ(z[i], z[0]);
    for (std::int64_t at = 0; at < 2 * n; ++at) {
      ASSERT_EQ(forces[i].data()[at], forces[0].data()[at]);
    }
  }
}

struct Spread {
  int q;
  double span;
  bool grouped;
};

class TsneGrid : public testing::TestWithParam<Spread> {};

// What is promised: 1e-3 of the norm of all forces.
TEST_P(TsneGrid, RepelsAsAllPairsDo) {
  const auto [q, span, grouped] = GetParam();
  const std::int64_t n = 5000;
  const Matrix<float> points = points_of_span(n, q, span, grouped);
  const Sums expected = brute_force(points);
  ThreadPool threads(2);
  GridRepulsion grid(n, q, 4200, 2);
  Matrix<float> forces(n, q);
  const double z = grid.repel({threads, 2}, points.view(), forces.view());
  EXPECT_LT(relative_error(forces, expected.forces), 1e-3);
  EXPECT_NEAR(z / expected.partition, 1.0, 1e-4);
  EXPECT_FALSE(grid.grid().coarse);
  // The same again on a grid that is there already.
  Matrix<float> again(n, q);
  EXPECT_EQ(grid.repel({threads, 2}, points.view(), again.view()), z);
  for (std::int64_t at = 0; at < forces.size(); ++at) {
    ASSERT_EQ(again.data()[at], forces.data()[at]);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Spans, TsneGrid,
    testing::Values(Spread{1, 1e-3, false}, Spread{1, 10, false}, Spread{1, 100, true},
                    Spread{1, 1000, false}, Spread{2, 1e-3, false}, Spread{2, 0.1, false},
                    Spread{2, 10, false}, Spread{2, 10, true}, Spread{2, 100, false},
                    Spread{2, 100, true}, Spread{2, 1000, false}, Spread{2, 1000, true}),
    [](const auto& test) {
      const std::string span = std::to_string(static_cast<int>(test.param.span * 1000));
      return "q" + std::to_string(test.param.q) + "_span" + span + "e3" +
             (test.param.grouped ? "_grouped" : "");
    });

TEST(TsneGridBits, DoNotDependOnThreads) {
  const std::int64_t n = 20'000;
  const Matrix<float> points = points_of_span(n, 2, 40.0, true);
  std::vector<Matrix<float>> forces;
  std::vector<double> z;
  for (const int workers : {1, 2, 5}) {
    ThreadPool threads(workers);
    GridRepulsion grid(n, 2, 2000, workers);
    forces.emplace_back(n, 2);
    z.push_back(grid.repel({threads, workers}, points.view(), forces.back().view()));
  }
  for (std::size_t i = 1; i < z.size(); ++i) {
    EXPECT_EQ(z[i], z[0]);
    for (std::int64_t at = 0; at < 2 * n; ++at) {
      ASSERT_EQ(forces[i].data()[at], forces[0].data()[at]);
    }
  }
}

TEST(TsneGridSize, GrowsWithTheEmbeddingAndSaysWhenItCannot) {
  Grid grid;
  const double low[2] = {-10.0, -5.0};
  double high[2] = {10.0, 5.0};
  grid = choose_grid(low, high, 1000, grid);
  EXPECT_EQ(grid.spacing, kSpacing);
  EXPECT_GE(grid.nodes[0], 20 / kSpacing + kOrder);
  EXPECT_GE(grid.size[0], 2 * grid.nodes[0]);
  EXPECT_FALSE(grid.coarse);
  const std::int64_t before = grid.size[0];
  high[0] = 10.5;
  grid = choose_grid(low, high, 1000, grid);
  EXPECT_EQ(grid.size[0], before) << "a little growth keeps the transforms";
  high[0] = 1000.0;
  grid = choose_grid(low, high, 1000, grid);
  EXPECT_TRUE(grid.coarse);
  EXPECT_LE(grid.nodes[0], 1000);
  EXPECT_GT(grid.spacing, kSpacing);
}

TEST(TsneGridSize, HoldsPointsThatAreOne) {
  ThreadPool threads(1);
  Matrix<float> points(50, 2), forces(50, 2);
  std::fill_n(points.data(), 100, 3.25f);
  GridRepulsion grid(50, 2, 1000, 1);
  const double z = grid.repel({threads, 1}, points.view(), forces.view());
  EXPECT_NEAR(z, 50.0 * 49.0, 1.0);
  for (std::int64_t at = 0; at < 100; ++at) EXPECT_NEAR(forces.data()[at], 0.0, 50 * 1e-3);
}

// The places of transform(): forces and sums of fixed points anywhere.
TEST(TsneRepelFrom, IsTheSumOverPoints) {
  ThreadPool threads(2);
  for (const int q : {1, 2, 3}) {
    const Matrix<float> all = points_of_span(700, q, 9.0, false);
    Matrix<float> forces(100, q);
    std::vector<float> sums(100);
    const MatrixView<const float> points = all.view().slice(100, 600);
    repel_from({threads, 2}, points, all.view().slice(0, 100), forces.view(), sums);
    for (std::int64_t i = 0; i < 100; ++i) {
      double total = 0.0, force = 0.0;
      for (std::int64_t j = 100; j < 700; ++j) {
        double square = 1.0;
        for (int k = 0; k < q; ++k) {
          square += std::pow(static_cast<double>(all(i, k)) - static_cast<double>(all(j, k)), 2);
        }
        total += 1.0 / square;
        force +=
            (static_cast<double>(all(i, 0)) - static_cast<double>(all(j, 0))) / (square * square);
      }
      EXPECT_NEAR(sums[static_cast<std::size_t>(i)], total, 64 * kEpsilon * total);
      EXPECT_NEAR(forces(i, 0), force, 64 * kEpsilon * total);
    }
  }
}

TEST(TsneGridPlaces, ReadThePotentialBesideThePoints) {
  ThreadPool threads(2);
  const Matrix<float> all = points_of_span(3000, 2, 50.0, false);
  const MatrixView<const float> points = all.view().slice(500, 2500);
  const MatrixView<const float> places = all.view().slice(0, 500);
  GridRepulsion grid(2500, 2, 2000, 2);
  grid.set_sources({threads, 2}, points, {-70.0, -70.0}, {70.0, 70.0});
  Matrix<float> forces(500, 2), expected(500, 2);
  std::vector<float> potentials(500), sums(500);
  grid.read({threads, 2}, places, forces.view(), potentials);
  repel_from({threads, 2}, points, places, expected.view(), sums);
  Matrix<double> wide(500, 2);
  for (std::int64_t at = 0; at < 1000; ++at) {
    wide.data()[at] = static_cast<double>(expected.data()[at]);
  }
  EXPECT_LT(relative_error(forces, wide), 1e-3);
  for (std::size_t i = 0; i < 500; ++i) EXPECT_NEAR(potentials[i], sums[i], 1e-3 * sums[i] + 1e-3);
}

}  // namespace
}  // namespace culatent::tsne
