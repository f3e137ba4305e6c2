#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "culatent/error.hpp"
#include "tests/core/neighbors_case.hpp"
#include "tests/errors.hpp"

namespace culatent {
namespace {

using namespace neighbors_case;
using errors::error_of;
using errors::expect_contains;

const Context& context() {
  static const Context instance({.n_threads = 2});
  return instance;
}

template <class Error>
void expect_error(MatrixView<const float> rows, const neighbors::Options& options,
                  const std::string& part) {
  expect_contains(error_of<Error>([&] { neighbors::search(context(), rows, options); }), part);
}

TEST(NeighborsInput, NamesTheFirstBadValue) {
  Matrix<float> rows = normal_rows(5000, 4, 1);
  rows(4321, 1) = std::numeric_limits<float>::quiet_NaN();
  rows(1234, 3) = std::numeric_limits<float>::quiet_NaN();
  expect_error<data_error>(rows.view(), {}, "NaN in the data (row 1234, column 3)");
  rows(1100, 0) = -std::numeric_limits<float>::infinity();
  rows(1100, 2) = std::numeric_limits<float>::quiet_NaN();
  expect_error<data_error>(rows.view(), {}, "infinite value in the data (row 1100, column 0)");
  const Matrix<float> good = normal_rows(50, 4, 1);
  expect_contains(error_of<data_error>([&] {
                    neighbors::search(context(), MatrixRows<float>(good.view()),
                                      MatrixRows<float>(rows.view()), {});
                  }),
                  "row 1100, column 0");
}

TEST(NeighborsInput, NeedsEnoughRows) {
  const Matrix<float> rows = normal_rows(10, 2, 2);
  EXPECT_EQ(neighbors::search(context(), rows.view(), {.n_neighbors = 9}).n_neighbors(), 9);
  expect_error<data_error>(rows.view(), {.n_neighbors = 10}, "10 neighbors, but there are 9 other");
  expect_error<data_error>(rows.view().slice(0, 1), {.n_neighbors = 1}, "0 other rows");
  const MatrixRows<float> source(rows.view());
  EXPECT_EQ(neighbors::search(context(), source, source, {.n_neighbors = 10}).n_neighbors(), 10);
  expect_contains(error_of<data_error>(
                      [&] { neighbors::search(context(), source, source, {.n_neighbors = 11}); }),
                  "11 neighbors, but there are 10 rows");
}

TEST(NeighborsInput, RefusesNoData) {
  const Matrix<float> rows = normal_rows(10, 2, 2);
  expect_error<data_error>(MatrixView<const float>(rows.data(), 0, 2), {}, "0 rows, 2 columns");
  expect_error<data_error>(MatrixView<const float>(rows.data(), 10, 0), {}, "10 rows, 0 columns");
}

TEST(NeighborsInput, RefusesOptionsThatMakeNoSense) {
  const Matrix<float> rows = normal_rows(10, 2, 2);
  expect_error<invalid_argument>(rows.view(), {.n_neighbors = 0}, "n_neighbors is 0");
  expect_error<invalid_argument>(rows.view(), {.n_neighbors = -3}, "n_neighbors is -3");
  expect_error<invalid_argument>(rows.view(), {.n_neighbors = 2, .n_lists = -1}, "n_lists");
  expect_error<invalid_argument>(rows.view(), {.n_neighbors = 2, .n_probes = -1}, "n_probes");
  expect_error<invalid_argument>(rows.view(), {.n_neighbors = 2, .recall_rows = 0},
                                 "recall_rows is 0");
}

TEST(NeighborsInput, RefusesQueriesOfAnotherWidth) {
  const Matrix<float> rows = normal_rows(10, 2, 2), queries = normal_rows(10, 3, 2);
  const std::string text = error_of<data_error>([&] {
    neighbors::search(context(), MatrixRows<float>(rows.view()), MatrixRows<float>(queries.view()),
                      {.n_neighbors = 2});
  });
  expect_contains(text, "the queries have 3 columns, the rows 2");
}

TEST(NeighborsInput, RefusesTooManyRows) {
  const GeneratedRows<float> rows(std::int64_t{1} << 31, 2, [](std::int64_t, MatrixView<float>) {
    FAIL() << "no row is to be read";
  });
  expect_contains(
      error_of<data_error>([&] { neighbors::search(context(), rows, {.n_neighbors = 2}); }),
      "2147483648 rows");
}

TEST(NeighborsInput, TellsTheObserverHowFarItIs) {
  std::vector<int> shares;
  const Context watched({.n_threads = 2, .observer = [&](const Progress& progress) {
                           EXPECT_EQ(std::string(progress.phase), "neighbors");
                           EXPECT_EQ(progress.max_iter, 100);
                           shares.push_back(progress.iteration);
                           return true;
                         }});
  const Matrix<float> rows = normal_rows(40000, 2, 3);
  const auto found = neighbors::search(watched, rows.view(), {.n_neighbors = 3});
  EXPECT_FALSE(found.interrupted);
  EXPECT_GT(shares.size(), 2u);
  EXPECT_TRUE(std::is_sorted(shares.begin(), shares.end()));
  EXPECT_EQ(shares.back(), 100);
}

TEST(NeighborsInput, EndsWhenTheObserverSaysSo) {
  int calls = 0;
  const Context watched({.n_threads = 2, .observer = [&](const Progress&) { return ++calls < 2; }});
  const Matrix<float> rows = normal_rows(40000, 2, 3);
  const auto found = neighbors::search(watched, rows.view(), {.n_neighbors = 3});
  EXPECT_TRUE(found.interrupted);
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(found.indices.size(), 0);
  EXPECT_EQ(found.squared_distances.size(), 0);
}

TEST(NeighborsInput, LeavesTheObserversExceptionAlone) {
  const Context watched({.n_threads = 2, .observer = [&](const Progress&) -> bool {
                           throw std::logic_error("from the observer");
                         }});
  const Matrix<float> rows = normal_rows(400, 2, 3);
  EXPECT_THROW(neighbors::search(watched, rows.view(), {.n_neighbors = 3}), std::logic_error);
}

TEST(NeighborsInput, MethodsHaveNames) {
  EXPECT_STREQ(neighbors::name(neighbors::Method::exact), "exact");
  EXPECT_STREQ(neighbors::name(neighbors::Method::ivf), "ivf");
}

}  // namespace
}  // namespace culatent
