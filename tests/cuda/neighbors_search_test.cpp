#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <optional>
#include <vector>

#include "culatent/error.hpp"
#include "host/neighbors_cuda.hpp"
#include "tests/core/neighbors_case.hpp"
#include "tests/cuda/cuda_test.hpp"

// The search on a device has the bits of the search on the CPU, and the neighbours that a look at
// all pairs in long double finds.
namespace culatent::neighbors {
namespace {

namespace nc = neighbors_case;
using nc::expect_nearest;
using nc::grid_rows;
using nc::normal_rows;

ProductSlack no_slack(Products, std::int64_t) { return {0.0, 0.0}; }

class NeighborsOnDevice : public CudaTest {
 protected:
  void SetUp() override {
    CudaTest::SetUp();
    if (IsSkipped()) return;
    context_.emplace(Context::Options{.n_threads = 1, .device = "cuda"});
    active_.emplace(*context_->cuda());
  }
  void TearDown() override {
    active_.reset();
    context_.reset();
  }
  CudaBackend own_backend() { return {*context_->cuda(), context_->threads(), 1}; }
  const Context& context() { return *context_; }

  // Products that this device has.
  std::vector<Products> all_products(std::int64_t d) {
    if (can_multiply_bf16(own_backend(), d)) return {Products::fp32, Products::bf16};
    return {Products::fp32};
  }

  Neighbors search_by(MatrixView<const float> rows, std::optional<MatrixView<const float>> queries,
                      int k, const SearchSchedule& schedule, SearchCounters* counters = nullptr) {
    const CudaBackend backend = own_backend();
    const MatrixRows<float> source(rows), asked(queries.value_or(rows));
    const DeviceHeldRows held(context(), backend, source);
    std::optional<DeviceHeldRows> others;
    DeviceProblem problem{.rows = held.rows(), .k = k};
    if (queries) problem.queries = others.emplace(context(), backend, asked).rows();
    const Coordinates coordinates = device_coordinates(backend, held.rows());
    DeviceSearch search(backend, problem, coordinates, schedule);
    Neighbors result;
    search.run(SearchProgress(context()), {result});
    EXPECT_FALSE(result.interrupted);
    if (counters != nullptr) *counters = search.counters();
    return result;
  }

  // By every kind of products, in a few waves and splits.
  void expect_search(MatrixView<const float> rows, int k,
                     std::optional<MatrixView<const float>> queries = {}) {
    const Context cpu({.n_threads = 1});
    const MatrixRows<float> source(rows), asked(queries.value_or(rows));
    const Options options{.n_neighbors = k};
    const Neighbors expected =
        queries ? search(cpu, source, asked, options) : search(cpu, source, options);
    for (const Products products : all_products(rows.cols)) {
      for (const int n_splits : {1, 3}) {
        SCOPED_TRACE(testing::Message()
                     << (products == Products::fp32 ? "fp32" : "bf16") << ", " << n_splits
                     << " splits, " << rows.rows << " rows, " << rows.cols << " columns, k " << k);
        const SearchSchedule schedule{
            .products = products, .n_splits = n_splits, .wave_tiles = n_splits == 1 ? 64 : 2};
        const Neighbors found = search_by(rows, queries, k, schedule);
        EXPECT_TRUE(nc::same(found, expected));
        expect_nearest(rows, queries.value_or(rows), !queries, found, k);
      }
    }
  }

 private:
  std::optional<Context> context_;
  std::optional<ActiveDevice> active_;
};

TEST_F(NeighborsOnDevice, OfAnyWidth) {
  for (const std::int64_t d : {1, 3, 16, 17, 128, 130}) {
    expect_search(normal_rows(300, d, 1).view(), 7);
  }
}

TEST_F(NeighborsOnDevice, OfAnyNumberOfRows) {
  expect_search(normal_rows(2, 3, 2).view(), 1);
  for (const std::int64_t n : {3, 128, 129, 257}) {
    const Matrix<float> rows = normal_rows(n, 5, 2);
    expect_search(rows.view(), 2);
    expect_search(rows.view(), static_cast<int>(n - 1));
  }
}

TEST_F(NeighborsOnDevice, AsManyAsWanted) { expect_search(normal_rows(700, 4, 3).view(), 300); }

// Each row is nearer to the last ones than all before it.
TEST_F(NeighborsOnDevice, RowsMayLieInOrder) {
  Matrix<float> rows(700, 2);
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    rows(i, 0) = static_cast<float>(i) + 0.25f * static_cast<float>(i % 3);
    rows(i, 1) = 1.0f;
  }
  expect_search(rows.view(), 2);
}

TEST_F(NeighborsOnDevice, TiesGoToTheLowerRow) {
  expect_search(grid_rows(400, 2, 4, 4).view(), 9);
  expect_search(grid_rows(400, 5, 2, 5).view(), 30);
}

TEST_F(NeighborsOnDevice, EqualRowsAreNeighbours) {
  Matrix<float> rows(400, 3);
  for (std::int64_t i = 0; i < rows.size(); ++i) rows.data()[i] = 0.25f;
  rows(5, 1) = 3.0f;
  expect_search(rows.view(), 4);
}

TEST_F(NeighborsOnDevice, FarFromTheOriginAndFarApart) {
  expect_search(normal_rows(300, 4, 6, 1.0, 1e4).view(), 6);
  Matrix<float> rows = normal_rows(400, 4, 7);
  rows(11, 0) = 1e6f;
  rows(12, 0) = 1e6f;
  rows(200, 2) = 1e30f;
  rows(201, 2) = -1e30f;
  rows(300, 1) = 3e38f;
  expect_search(rows.view(), 5);
}

TEST_F(NeighborsOnDevice, OfAnyScale) {
  for (const double scale : {1e-42, 1e-30, 1e-10, 1e25, 1e38}) {
    expect_search(normal_rows(200, 9, 8, scale / 8.0).view(), 5);
  }
  // Clusters far smaller than they are apart: products tell nothing within them.
  Matrix<float> rows = normal_rows(420, 8, 9, 1e-4);
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    for (std::int64_t j = 0; j < 8; ++j) rows(i, j) += static_cast<float>((i * (j + 3)) % 7);
  }
  expect_search(rows.view(), 8);
}

TEST_F(NeighborsOnDevice, OfQueriesThatAreNoRows) {
  const Matrix<float> rows = normal_rows(300, 20, 10);
  Matrix<float> queries = normal_rows(140, 20, 11);
  std::copy_n(&rows(4, 0), 20, &queries(9, 0));
  expect_search(rows.view(), 5, queries.view());
  expect_search(rows.view(), 300, queries.view());
}

// Without slack a bound that is off by its rounding rules out neighbours.
TEST_F(NeighborsOnDevice, ABoundThatIsTooTightIsFound) {
  constexpr std::int64_t kRows = 520, kFeatures = 600;  // that many roundings
  Matrix<float> near = normal_rows(kRows, kFeatures, 12, 1e-3);
  // The centre is far from them all.
  for (std::int64_t i = 0; i < kRows; ++i) {
    for (std::int64_t j = 0; j < kFeatures; ++j) near(i, j) += i % 2 == 0 ? 5.0f : -5.0f;
  }
  const Context cpu({.n_threads = 1});
  const Neighbors expected = search(cpu, near.view(), {.n_neighbors = 4});
  for (const Products products : all_products(kFeatures)) {
    SearchSchedule schedule{.products = products, .wave_tiles = 8};
    EXPECT_TRUE(nc::same(search_by(near.view(), {}, 4, schedule), expected));
    schedule.slack = no_slack;
    EXPECT_FALSE(nc::same(search_by(near.view(), {}, 4, schedule), expected));
  }
}

// Where bounds of bf16 tell nothing, pairs are measured, and fp32 does the rest.
TEST_F(NeighborsOnDevice, LeavesProductsThatTellNothing) {
  if (all_products(40).size() < 2) GTEST_SKIP() << "no tensor cores";
  Matrix<float> rows = normal_rows(420, 40, 15, 0.05);
  for (std::int64_t i = 0; i < rows.size(); ++i) rows.data()[i] += i / 40 % 2 == 0 ? 3.0f : -3.0f;
  const Context cpu({.n_threads = 1});
  const Neighbors expected = search(cpu, rows.view(), {.n_neighbors = 3});
  SearchSchedule schedule{.products = Products::bf16, .may_change = true, .wave_tiles = 1};
  SearchCounters counters, others;
  EXPECT_TRUE(nc::same(search_by(rows.view(), {}, 3, schedule, &counters), expected));
  EXPECT_GT(counters.n_settled, 0u);
  schedule.may_change = false;
  EXPECT_TRUE(nc::same(search_by(rows.view(), {}, 3, schedule, &others), expected));
  EXPECT_GT(others.n_measured, 2 * counters.n_measured);
}

TEST_F(NeighborsOnDevice, PublicSearchTakesRowsAnywhere) {
  const Matrix<float> rows = normal_rows(500, 12, 13);
  const Context cpu({.n_threads = 1});
  const Neighbors expected = search(cpu, rows.view(), {.n_neighbors = 6});
  const Neighbors found = search(context(), rows.view(), {.n_neighbors = 6});
  EXPECT_TRUE(nc::same(found, expected));
  EXPECT_GT(found.plan.device_bytes, 0);
  EXPECT_LE(context().peak_device_bytes(), found.plan.device_bytes);
  EXPECT_GT(context().peak_device_bytes(), found.plan.device_bytes / 2);

  DeviceArray<float> there(*context().cuda(), 500 * 15, "rows");
  for (std::int64_t i = 0; i < 500; ++i) {
    context().cuda()->to_device(there.data() + 15 * i, &rows(i, 0), 12 * sizeof(float));
  }
  const MatrixView<const float> view(there.data(), 500, 12, 15, MemorySpace::device);
  EXPECT_TRUE(nc::same(search(context(), view, {.n_neighbors = 6}), expected));
  const MatrixRows<float> on_device(view), on_host(rows.view());
  const Neighbors asked = search(cpu, on_host, on_host, {.n_neighbors = 6});
  EXPECT_TRUE(nc::same(search(context(), on_device, on_host, {.n_neighbors = 6}), asked));
  EXPECT_TRUE(nc::same(search(context(), on_host, on_device, {.n_neighbors = 6}), asked));
}

TEST_F(NeighborsOnDevice, RowsMayBeMadeOnDemandAndComeInChunks) {
  const Matrix<float> rows = normal_rows(2 * kBlockRows + 100, 3, 16);
  const GeneratedRows<float> made(rows.rows(), 3, [&](std::int64_t first, MatrixView<float> out) {
    std::copy_n(&rows(first, 0), out.rows * 3, out.data);
  });
  const Context cpu({.n_threads = 1});
  const Context chunks({.n_threads = 1, .chunk_rows = kBlockRows, .device = "cuda"});
  EXPECT_TRUE(nc::same(search(chunks, made, {.n_neighbors = 2}),
                       search(cpu, rows.view(), {.n_neighbors = 2})));
}

TEST_F(NeighborsOnDevice, BadValuesAreNamed) {
  Matrix<float> rows = normal_rows(300, 5, 14);
  rows(270, 1) = std::numeric_limits<float>::infinity();
  rows(259, 3) = std::numeric_limits<float>::quiet_NaN();
  try {
    static_cast<void>(search(context(), rows.view(), {.n_neighbors = 3}));
    ADD_FAILURE() << "no error";
  } catch (const data_error& error) {
    EXPECT_STREQ(error.what(), "NaN in the data (row 259, column 3): remove or fill it");
  }
}

}  // namespace
}  // namespace culatent::neighbors
