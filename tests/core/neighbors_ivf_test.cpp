#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "culatent/error.hpp"
#include "tests/core/neighbors_case.hpp"
#include "tests/errors.hpp"

namespace culatent {
namespace {

using namespace neighbors_case;
using neighbors::Method;

const Context& context() {
  static const Context instance({.n_threads = 2});
  return instance;
}

Matrix<float> uniform_rows(std::int64_t n, std::int64_t d, std::uint64_t seed) {
  oracle::Draws draws(seed);
  Matrix<float> rows(n, d);
  for (std::int64_t i = 0; i < rows.size(); ++i)
    rows.data()[i] = static_cast<float>(draws.uniform());
  return rows;
}

// The share of the neighbours in long double that were found, of queries i * M / count.
double counted_recall(const Matrix<float>& rows, const Matrix<float>& queries, bool self,
                      const neighbors::Neighbors& found, std::int64_t count) {
  const std::int64_t k = found.n_neighbors();
  std::int64_t hits = 0;
  count = std::min(count, queries.rows());
  for (std::int64_t q = 0; q < count; ++q) {
    const std::int64_t i = q * queries.rows() / count;
    std::set<std::int32_t> known;
    for (const Known& one : nearest(rows.view(), &queries(i, 0), self ? i : -1, k)) {
      known.insert(one.row);
    }
    for (std::int64_t m = 0; m < k; ++m) hits += known.count(found.indices(i, m)) > 0 ? 1 : 0;
  }
  return static_cast<double>(hits) / static_cast<double>(count * k);
}

// Whatever is missed: distances are true, in order, of other rows, each once.
void expect_consistent(const Matrix<float>& rows, const Matrix<float>& queries, bool self,
                       const neighbors::Neighbors& found) {
  for (std::int64_t i = 0; i < queries.rows(); ++i) {
    std::set<std::int32_t> seen;
    for (std::int64_t m = 0; m < found.n_neighbors(); ++m) {
      const std::int32_t row = found.indices(i, m);
      ASSERT_TRUE(row >= 0 && row < rows.rows() && (!self || row != i));
      ASSERT_TRUE(seen.insert(row).second);
      Real sum = 0;
      for (std::int64_t j = 0; j < rows.cols(); ++j) {
        const Real delta = static_cast<Real>(queries(i, j)) - static_cast<Real>(rows(row, j));
        sum += delta * delta;
      }
      const double squared = found.squared_distances(i, m);
      const Real tolerance = (static_cast<Real>(rows.cols()) / 8 + 6) * 0x1p-53L * sum;
      ASSERT_LE(std::abs(static_cast<Real>(squared) - sum), tolerance);
      if (m == 0) continue;
      const double before = found.squared_distances(i, m - 1);
      ASSERT_TRUE(before < squared || (before == squared && found.indices(i, m - 1) < row));
    }
  }
}

TEST(NeighborsIvf, FindsMostNeighboursOfClusters) {
  const Matrix<float> rows = clusters(12000, 12, 40, 1);
  const auto found = neighbors::search(context(), rows.view(),
                                       {.n_neighbors = 10, .method = Method::ivf, .seed = 1});
  EXPECT_GE(found.recall, 0.95);
  EXPECT_TRUE(found.warnings.empty());
  EXPECT_EQ(found.seed, 1u);
  // 4 √N lists are more than hold 40 rows each.
  EXPECT_EQ(found.n_lists, 12000 / 40);
  EXPECT_GE(found.n_probes, 1);
  EXPECT_LE(found.n_probes, static_cast<int>(2 * std::sqrt(300.0)) + 1);
  expect_consistent(rows, rows, true, found);
}

TEST(NeighborsIvf, RecallIsWhatCountingFinds) {
  const Matrix<float> rows = clusters(5000, 8, 10, 2);
  for (const std::int64_t count : {1, 137, 5000, 9999}) {
    const auto found = neighbors::search(
        context(), rows.view(),
        {.n_neighbors = 7, .method = Method::ivf, .n_probes = 2, .recall_rows = count, .seed = 3});
    EXPECT_EQ(found.n_probes, 2);
    EXPECT_DOUBLE_EQ(found.recall, counted_recall(rows, rows, true, found, count));
    if (count >= 137) {
      EXPECT_LT(found.recall, 1.0);
    }
  }
}

TEST(NeighborsIvf, SaysWhenItMissesMany) {
  const Matrix<float> rows = uniform_rows(8000, 24, 4);
  const auto found =
      neighbors::search(context(), rows.view(),
                        {.n_neighbors = 10, .method = Method::ivf, .recall_rows = 300, .seed = 1});
  EXPECT_LT(found.recall, 0.9);
  EXPECT_DOUBLE_EQ(found.recall, counted_recall(rows, rows, true, found, 300));
  ASSERT_EQ(found.warnings.size(), 1u);
  EXPECT_EQ(found.warnings[0].code, "low_recall");
  expect_consistent(rows, rows, true, found);
}

TEST(NeighborsIvf, OfAllListsIsExact) {
  const Matrix<float> rows = normal_rows(3000, 5, 5);
  const auto found = neighbors::search(
      context(), rows.view(),
      {.n_neighbors = 12, .method = Method::ivf, .n_lists = 20, .n_probes = 20, .seed = 1});
  EXPECT_EQ(found.recall, 1.0);
  EXPECT_TRUE(same(found, neighbors::search(context(), rows.view(), {.n_neighbors = 12})));
}

TEST(NeighborsIvf, LooksFartherWhereListsHaveTooFewRows) {
  // Lists of one or two rows, and far more neighbours than a few of these have.
  const Matrix<float> rows = clusters(600, 4, 6, 6);
  const auto found = neighbors::search(
      context(), rows.view(),
      {.n_neighbors = 150, .method = Method::ivf, .n_lists = 300, .n_probes = 1, .seed = 1});
  expect_consistent(rows, rows, true, found);
  const auto all = neighbors::search(
      context(), rows.view(),
      {.n_neighbors = 599, .method = Method::ivf, .n_lists = 30, .n_probes = 1, .seed = 1});
  expect_consistent(rows, rows, true, all);
  EXPECT_EQ(all.recall, 1.0);
}

TEST(NeighborsIvf, OfQueries) {
  const Matrix<float> rows = clusters(6000, 6, 20, 7), queries = clusters(900, 6, 20, 7);
  const auto found = neighbors::search(
      context(), MatrixRows<float>(rows.view()), MatrixRows<float>(queries.view()),
      {.n_neighbors = 5, .method = Method::ivf, .recall_rows = 200, .seed = 1});
  EXPECT_GE(found.recall, 0.95);
  EXPECT_DOUBLE_EQ(found.recall, counted_recall(rows, queries, false, found, 200));
  expect_consistent(rows, queries, false, found);
}

TEST(NeighborsIvf, OfEqualRowsAndOfFew) {
  Matrix<float> rows(700, 3);
  std::fill_n(rows.data(), rows.size(), -2.5f);
  for (const std::int64_t n : {2, 3, 50, 700}) {
    const auto found =
        neighbors::search(context(), rows.view().slice(0, n),
                          {.n_neighbors = 1, .method = Method::ivf, .n_lists = 2, .seed = 1});
    for (std::int64_t i = 0; i < n; ++i) EXPECT_EQ(found.squared_distances(i, 0), 0.0);
  }
}

TEST(NeighborsIvf, HasTheSameBitsForAnyThreads) {
  const Matrix<float> rows = clusters(6000, 6, 30, 8);
  const neighbors::Options options{.n_neighbors = 6, .method = Method::ivf, .seed = 9};
  const Context one({.n_threads = 1});
  const auto expected = neighbors::search(one, rows.view(), options);
  for (const int n_threads : {2, 3}) {
    const Context several({.n_threads = n_threads});
    const auto found = neighbors::search(several, rows.view(), options);
    EXPECT_TRUE(same(expected, found));
    EXPECT_EQ(found.recall, expected.recall);
    EXPECT_EQ(found.n_probes, expected.n_probes);
  }
  EXPECT_NE(neighbors::search(one, rows.view(), {.n_neighbors = 6, .method = Method::ivf}).seed,
            neighbors::search(one, rows.view(), {.n_neighbors = 6, .method = Method::ivf}).seed);
}

TEST(NeighborsIvf, EndsWhenTheObserverSaysSo) {
  const Matrix<float> rows = clusters(4000, 4, 10, 10);
  int calls = 0;
  const Context counting({.n_threads = 2, .observer = [&](const Progress& progress) {
                            EXPECT_STREQ(progress.phase, "neighbors");
                            ++calls;
                            return true;
                          }});
  const neighbors::Options options{.n_neighbors = 6, .method = Method::ivf, .seed = 9};
  EXPECT_FALSE(neighbors::search(counting, rows.view(), options).interrupted);
  const int all = calls;
  EXPECT_GT(all, 3);
  for (int last = 1; last <= all; ++last) {
    calls = 0;
    const Context stopping(
        {.n_threads = 2, .observer = [&](const Progress&) { return ++calls < last; }});
    const auto found = neighbors::search(stopping, rows.view(), options);
    EXPECT_TRUE(found.interrupted);
    EXPECT_EQ(calls, last);
    EXPECT_EQ(found.indices.size(), 0);
  }
}

TEST(NeighborsIvf, RefusesMoreListsThanRows) {
  const Matrix<float> rows = normal_rows(50, 3, 11);
  const std::string text = errors::error_of<data_error>([&] {
    neighbors::search(context(), rows.view(),
                      {.n_neighbors = 3, .method = Method::ivf, .n_lists = 51});
  });
  errors::expect_contains(text, "51 lists for 50 rows");
}

}  // namespace
}  // namespace culatent
