#include "culatent/neighbors.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <tuple>

#include "tests/core/neighbors_case.hpp"

namespace culatent {
namespace {

using namespace neighbors_case;

// Sizes about a panel (24), a group (192) and two; features about a vector, and beyond the depth of
// one sum (256).
class NeighborsShapes : public testing::TestWithParam<std::tuple<int, int, int>> {};

TEST_P(NeighborsShapes, AreThoseOfAllPairs) {
  const auto [n, d, k] = GetParam();
  expect_search(normal_rows(n, d, 1).view(), std::min(k, n - 1));
}

INSTANTIATE_TEST_SUITE_P(
    Sizes, NeighborsShapes,
    testing::Combine(testing::Values(2, 3, 23, 24, 25, 191, 192, 193, 384, 385, 700),
                     testing::Values(1, 2, 7, 8, 9, 33), testing::Values(1, 5, 40)));
INSTANTIATE_TEST_SUITE_P(ManyFeatures, NeighborsShapes,
                         testing::Combine(testing::Values(193, 450),
                                          testing::Values(255, 256, 257, 512, 784),
                                          testing::Values(1, 30)));
INSTANTIATE_TEST_SUITE_P(AllOthers, NeighborsShapes,
                         testing::Values(std::tuple(2, 3, 1), std::tuple(30, 3, 29),
                                         std::tuple(193, 5, 192), std::tuple(500, 4, 499)));

TEST(Neighbors, AreExactOfManyRows) {
  const Matrix<float> rows = normal_rows(20000, 6, 2);
  expect_search(rows.view(), 15, 97);
}

TEST(Neighbors, TiesGoToTheLowerRow) {
  for (const int d : {1, 2, 3, 5}) {
    expect_search(grid_rows(1500, d, 6, 3).view(), 12);
    expect_search(grid_rows(1500, d, 2, 4).view(), 40);
  }
}

TEST(Neighbors, OfEqualRowsAreTheFirstOnes) {
  Matrix<float> rows(2000, 3);
  std::fill_n(rows.data(), rows.size(), 7.25f);
  expect_search(rows.view(), 20, 13);
}

TEST(Neighbors, AmongThousandsOfDuplicates) {
  // Few places, each of many rows, one of half of all.
  Matrix<float> rows = grid_rows(4000, 3, 3, 5);
  for (std::int64_t i = 0; i < rows.rows(); i += 2) rows(i, 0) = rows(i, 1) = rows(i, 2) = 1.0f;
  expect_search(rows.view(), 30, 11);
  // And with noise in one feature that the screen cannot see beside the others.
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    rows(i, 2) += static_cast<float>(i * 7919 % 4001) * 0x1p-22f;
  }
  expect_search(rows.view(), 30, 11);
}

TEST(Neighbors, FarFromTheOrigin) {
  // Noise of a few steps of float: nothing of it would be left of squares of the values.
  expect_search(normal_rows(1000, 5, 6, 1.0, 1e4).view(), 10);
  expect_search(normal_rows(1000, 5, 6, 1.0, -1e6).view(), 10);
  expect_search(normal_rows(600, 3, 6, 1e30, 1e36).view(), 10);
}

TEST(Neighbors, BesideFarOutliers) {
  for (const float far : {1e6f, 1e30f, 3e38f}) {
    Matrix<float> rows = normal_rows(900, 4, 7);
    rows(17, 2) = far;
    rows(500, 0) = -far;
    rows(501, 0) = -far;
    expect_search(rows.view(), 10);
  }
}

TEST(Neighbors, OfTwoFarClumps) {
  Matrix<float> rows = normal_rows(700, 3, 8);
  for (std::int64_t i = 0; i < rows.rows(); i += 2) rows(i, 1) = rows(i, 1) * 1e25f + 1e30f;
  expect_search(rows.view(), 10);
}

TEST(Neighbors, AtAnyScale) {
  for (const double scale : {1e-45, 1e-42, 1e-38, 1e-30, 1e-10, 1e15, 1e30, 5e37}) {
    expect_search(normal_rows(500, 6, 9, scale).view(), 8);
  }
  // Features of very different scales.
  Matrix<float> rows = normal_rows(500, 6, 10);
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    for (std::int64_t j = 0; j < 6; ++j)
      rows(i, j) *= std::ldexp(1.0f, static_cast<int>(40 * j) - 120);
  }
  expect_search(rows.view(), 8);
}

TEST(Neighbors, OfClusters) {
  Matrix<float> rows = normal_rows(3000, 20, 11);
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    for (std::int64_t j = 0; j < 20; ++j) {
      rows(i, j) += static_cast<float>(8 * (i * (j + 3) % 7 % 3)) + (i % 5 == 0 ? 100.0f : 0.0f);
    }
  }
  expect_search(rows.view(), 25, 7);
}

TEST(Neighbors, OfStridedRows) {
  const Matrix<float> wide = normal_rows(400, 11, 12);
  const MatrixView<const float> view(&wide(0, 3), 400, 5, 11);
  expect_search(view, 7);
}

TEST(Neighbors, OfRowsThatAreNotInPlace) {
  const Matrix<float> rows = normal_rows(2500, 5, 13);
  const GeneratedRows<float> source(2500, 5, [&](std::int64_t first, MatrixView<float> out) {
    for (std::int64_t i = 0; i < out.rows; ++i) std::copy_n(&rows(first + i, 0), 5, out.row(i));
  });
  const Context context({.n_threads = 2});
  const auto found = neighbors::search(context, source, {.n_neighbors = 9});
  expect_nearest(rows.view(), rows.view(), true, found, 9, 3);
  EXPECT_TRUE(same(found, neighbors::search(context, rows.view(), {.n_neighbors = 9})));
}

TEST(Neighbors, HaveTheSameBitsForAnyThreads) {
  const Matrix<float> rows = normal_rows(3000, 10, 14);
  const Context one({.n_threads = 1});
  const auto expected = neighbors::search(one, rows.view(), {.n_neighbors = 20});
  for (const int n_threads : {2, 3, 7}) {
    const Context several({.n_threads = n_threads});
    for (int repeat = 0; repeat < 3; ++repeat) {
      EXPECT_TRUE(same(expected, neighbors::search(several, rows.view(), {.n_neighbors = 20})));
    }
  }
}

TEST(Neighbors, OfQueriesAmongRows) {
  const Context context({.n_threads = 2});
  for (const int n : {1, 24, 193, 900}) {
    for (const int m : {1, 25, 400}) {
      const Matrix<float> rows = normal_rows(n, 6, 15), queries = normal_rows(m, 6, 16, 2.0, 0.5);
      const int k = std::min(n, 10);
      const auto found = neighbors::search(context, MatrixRows<float>(rows.view()),
                                           MatrixRows<float>(queries.view()), {.n_neighbors = k});
      expect_nearest(rows.view(), queries.view(), false, found, k);
    }
  }
}

TEST(Neighbors, AQueryThatIsARowFindsIt) {
  const Context context({.n_threads = 2});
  const Matrix<float> rows = grid_rows(800, 3, 4, 17);
  const MatrixRows<float> source(rows.view());
  const auto found = neighbors::search(context, source, source, {.n_neighbors = 800});
  expect_nearest(rows.view(), rows.view(), false, found, 800, 50);
  EXPECT_EQ(found.squared_distances(799, 0), 0.0);
}

TEST(Neighbors, OfFarQueries) {
  const Context context({.n_threads = 2});
  const Matrix<float> rows = normal_rows(500, 3, 18);
  Matrix<float> queries = normal_rows(60, 3, 19);
  for (std::int64_t i = 0; i < 20; ++i) queries(i, i % 3) = i % 2 == 0 ? 1e20f : -3e38f;
  const auto found = neighbors::search(context, MatrixRows<float>(rows.view()),
                                       MatrixRows<float>(queries.view()), {.n_neighbors = 10});
  // Among distances that double cannot tell apart the row decides, in long double they differ.
  for (std::int64_t i = 20; i < 60; ++i) {
    const auto known = nearest(rows.view(), &queries(i, 0), -1, 10);
    for (std::int64_t m = 0; m < 10; ++m) EXPECT_EQ(found.indices(i, m), known[at(m)].row);
  }
  for (std::int64_t i = 0; i < 20; ++i) {
    const auto known = nearest(rows.view(), &queries(i, 0), -1, 10);
    for (std::int64_t m = 0; m < 10; ++m) {
      const auto expected = static_cast<double>(known[at(m)].squared);
      EXPECT_NEAR(found.squared_distances(i, m), expected, 7 * 0x1p-53 * expected);
      if (m == 0) continue;
      const bool ordered = found.squared_distances(i, m - 1) < found.squared_distances(i, m) ||
                           (found.squared_distances(i, m - 1) == found.squared_distances(i, m) &&
                            found.indices(i, m - 1) < found.indices(i, m));
      EXPECT_TRUE(ordered);
    }
  }
}

}  // namespace
}  // namespace culatent
