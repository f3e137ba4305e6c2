#include <gtest/gtest.h>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>

#include "culatent/error.hpp"
#include "culatent/kmeans.hpp"
#include "tests/core/kmeans_case.hpp"
#include "tests/device.hpp"
#include "tests/errors.hpp"
#include "tests/io/files.hpp"

/// What is wrong with rows, options or files, and what lies at their edges.
namespace culatent {
namespace {

using errors::error_of;
using errors::expect_contains;
using io::testing::Folder;
using kmeans_case::at;
using kmeans_case::cast;
using kmeans_case::inertia_of;
using kmeans_case::same_bits;
using kmeans_case::uniform_rows;

template <class T = double>
kmeans::Fit fit(const Matrix<T>& rows, const kmeans::Options& options) {
  const Context context(on_device({.n_threads = 2}));
  return kmeans::fit<T>(context, rows.view(), options);
}

TEST(KmeansInput, RefusesOptionsThatMakeNoSense) {
  const Matrix<double> rows = uniform_rows(10, 2, 1);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto refused = [&](kmeans::Options o, const char* option) {
    expect_contains(error_of<invalid_argument>([&] { fit(rows, o); }), option);
  };
  refused({.n_clusters = 0}, "--clusters");
  refused({.n_clusters = 2, .max_iter = -1}, "--max-iter");
  refused({.n_clusters = 2, .tol = nan}, "--tol");
  refused({.n_clusters = 2, .n_init = 0}, "--n-init");
  refused({.n_clusters = 2, .mini_batch = -5}, "--mini-batch");
}

TEST(KmeansInput, RefusesRowsThatCannotBeClustered) {
  const kmeans::Options two{.n_clusters = 2, .seed = 1};
  expect_contains(error_of<data_error>([&] { fit(Matrix<double>(0, 3), two); }), "no data");
  expect_contains(error_of<data_error>([&] { fit(uniform_rows(1, 3, 1), two); }), "1 rows for 2");
  Matrix<double> rows = uniform_rows(3000, 4, 2);
  rows(2345, 2) = std::numeric_limits<double>::quiet_NaN();
  expect_contains(error_of<data_error>([&] { fit(rows, two); }), "row 2345, column 2");
  rows(2345, 2) = HUGE_VAL;
  expect_contains(error_of<data_error>([&] { fit(rows, two); }), "infinite");
  rows = uniform_rows(3000, 4, 2);
  for (std::int64_t j = 0; j < 4; ++j) rows(1234, j) = rows(2000, j) = 0.0;
  kmeans::Options cosine = two;
  cosine.metric = kmeans::Metric::cosine;
  expect_contains(error_of<data_error>([&] { fit(rows, cosine); }), "row 1234");
  const std::vector<double> weights(3000, 0.0);
  kmeans::Options weighted = two;
  weighted.weights = weights;
  expect_contains(error_of<data_error>([&] { fit(rows, weighted); }), "zero");
}

TEST(KmeansInput, RefusesStartsOfAnotherShape) {
  kmeans::Options o{.n_clusters = 2};
  o.start = Matrix<double>(3, 2);
  expect_contains(error_of<data_error>([&] { fit(uniform_rows(10, 2, 1), o); }), "3 x 2");
  o.start = Matrix<double>(2, 2);
  o.start(0, 0) = std::numeric_limits<double>::quiet_NaN();
  expect_contains(error_of<data_error>([&] { fit(uniform_rows(10, 2, 1), o); }), "not finite");
}

TEST(KmeansInput, AsManyClustersAsRows) {
  const Matrix<double> rows = uniform_rows(50, 3, 3);
  for (const auto init :
       {kmeans::Init::kmeans_plus, kmeans::Init::kmeans_parallel, kmeans::Init::random}) {
    const kmeans::Fit f = fit(rows, {.n_clusters = 50, .init = init, .tol = 0.0, .seed = 1});
    EXPECT_NEAR(f.inertia, 0.0, 1e-28);
    EXPECT_EQ(f.n_empty, 0);
    EXPECT_TRUE(f.converged);
    EXPECT_EQ(*std::max_element(f.model.counts.begin(), f.model.counts.end()), 1.0);
  }
}

TEST(KmeansInput, MoreClustersThanDistinctRowsEndsWithEmptyOnes) {
  Matrix<double> rows(900, 2);
  for (std::int64_t i = 0; i < 900; ++i) rows(i, 0) = static_cast<double>(i % 3);
  for (const auto init :
       {kmeans::Init::kmeans_plus, kmeans::Init::kmeans_parallel, kmeans::Init::random}) {
    const kmeans::Fit f = fit(rows, {.n_clusters = 5, .init = init, .tol = 0.0, .seed = 1});
    EXPECT_TRUE(f.converged);
    EXPECT_NEAR(f.inertia, 0.0, 1e-28);
    EXPECT_EQ(f.n_empty, 2);
    EXPECT_TRUE(std::any_of(f.warnings.begin(), f.warnings.end(),
                            [](const Warning& w) { return w.code == "empty"; }));
  }
}

TEST(KmeansInput, AllRowsEqual) {
  Matrix<float> rows(2000, 3);
  std::fill(rows.data(), rows.data() + rows.size(), 7.25f);
  const kmeans::Fit f = fit<float>(rows, {.n_clusters = 3, .seed = 1});
  EXPECT_EQ(f.inertia, 0.0);
  for (std::int64_t i = 0; i < 9; ++i) EXPECT_EQ(f.model.centroids.data()[i], 7.25);
}

TEST(KmeansInput, HugeAndTinyValues) {
  for (const double scale : {1e30, 1e-30}) {
    Matrix<double> wide = uniform_rows(1000, 3, 4);
    const kmeans::Fit plain = fit(cast<float>(wide), {.n_clusters = 4, .tol = 0.0, .seed = 1});
    for (std::int64_t i = 0; i < wide.size(); ++i) wide.data()[i] *= scale;
    const kmeans::Fit scaled = fit(cast<float>(wide), {.n_clusters = 4, .tol = 0.0, .seed = 1});
    EXPECT_NEAR(scaled.inertia / (scale * scale), plain.inertia, 1e-4 * plain.inertia);
  }
}

// Two of the three centroids are far from all rows: no row is theirs.
class EmptyClusters : public testing::Test {
 protected:
  EmptyClusters() {
    options.start = Matrix<double>(3, 2);
    options.start(1, 0) = options.start(2, 1) = 1e3;
  }
  const Matrix<double> rows = uniform_rows(1500, 2, 5);
  kmeans::Options options{.n_clusters = 3, .tol = 0.0};
};

TEST_F(EmptyClusters, MoveToTheFarthestRows) {
  options.max_iter = 1;
  const kmeans::Fit f = fit(rows, options);
  EXPECT_EQ(f.n_relocated, 2);
  std::vector<std::pair<double, std::int64_t>> far;
  for (std::int64_t i = 0; i < 1500; ++i) {
    far.push_back({-(rows(i, 0) * rows(i, 0) + rows(i, 1) * rows(i, 1)), i});
  }
  std::sort(far.begin(), far.end());
  for (std::int64_t k = 1; k < 3; ++k) {
    for (std::int64_t j = 0; j < 2; ++j) {
      EXPECT_NEAR(f.model.centroids(k, j), rows(far[at(k - 1)].second, j), 1e-15);
    }
  }
  options.max_iter = {};
  EXPECT_EQ(fit(rows, options).n_empty, 0);
}

TEST_F(EmptyClusters, StayWhereTheyAreWhenKept) {
  options.empty = kmeans::Empty::keep;
  const kmeans::Fit f = fit(rows, options);
  EXPECT_EQ(f.n_empty, 2);
  EXPECT_EQ(f.n_relocated, 0);
  EXPECT_EQ(f.model.centroids(1, 0), 1e3);
}

TEST_F(EmptyClusters, AreAnErrorWhenAskedFor) {
  options.empty = kmeans::Empty::error;
  expect_contains(error_of<data_error>([&] { fit(rows, options); }), "cluster 1 has no rows");
}

TEST(KmeansInput, RunsExactlyTheUpdatesAskedFor) {
  const Matrix<double> rows = uniform_rows(3000, 4, 6);
  kmeans::Options o{.n_clusters = 8, .max_iter = 3, .tol = 0.0, .seed = 1};
  const kmeans::Fit f = fit(rows, o);
  EXPECT_EQ(f.n_iter, 3);
  EXPECT_FALSE(f.converged);
  ASSERT_EQ(f.trace.size(), 4u);
  // One step from there is the fourth.
  kmeans::Options next{.n_clusters = 8, .max_iter = 1, .tol = 0.0};
  next.start = f.model.centroids;
  o.max_iter = 4;
  EXPECT_TRUE(same_bits(fit(rows, next).model.centroids, fit(rows, o).model.centroids));
  o.max_iter = 0;
  EXPECT_EQ(fit(rows, o).trace.size(), 1u);
}

TEST(KmeansInput, AnInterruptedMiniBatchFitKnowsItsInertia) {
  const Matrix<double> rows = uniform_rows(5000, 4, 7);
  const Context context(
      on_device({.n_threads = 2, .observer = [](const Progress& p) { return p.iteration < 3; }}));
  const kmeans::Fit f =
      kmeans::fit<double>(context, rows.view(), {.n_clusters = 8, .mini_batch = 64, .seed = 1});
  EXPECT_TRUE(f.interrupted);
  EXPECT_NEAR(f.inertia, inertia_of(rows, f.model.centroids), 1e-12 * f.inertia);
  double total = 0;
  for (const double count : f.model.counts) total += count;
  EXPECT_EQ(total, 5000);
}

TEST(KmeansInput, CosineOfFewDirectionsSettles) {
  Matrix<float> rows(600, 3);
  for (std::int64_t i = 0; i < 600; ++i) {
    const auto length = static_cast<float>(1 + i % 7);
    for (std::int64_t j = 0; j < 3; ++j) {
      rows(i, j) = length * static_cast<float>((i % 3 + 1) * (j + 1) % 5 + 1);
    }
  }
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const kmeans::Fit f = fit<float>(
        rows, {.n_clusters = 6, .tol = 0.0, .metric = kmeans::Metric::cosine, .seed = seed});
    EXPECT_LT(f.n_iter, 20) << seed;
    EXPECT_TRUE(f.converged);
  }
}

TEST(KmeansInput, TheObserverEndsTheFit) {
  const Matrix<double> rows = uniform_rows(3000, 4, 7);
  const Context context(
      on_device({.n_threads = 2, .observer = [](const Progress& p) { return p.iteration < 2; }}));
  const kmeans::Fit f =
      kmeans::fit<double>(context, rows.view(), {.n_clusters = 8, .tol = 0.0, .seed = 1});
  EXPECT_TRUE(f.interrupted);
  EXPECT_EQ(f.n_iter, 2);
  EXPECT_NEAR(f.inertia, inertia_of(rows, f.model.centroids), 1e-12 * f.inertia);
}

TEST(KmeansFile, ComesBackAsItWas) {
  const Folder folder;
  const kmeans::Fit f =
      fit(uniform_rows(500, 3, 8), {.n_clusters = 4, .metric = kmeans::Metric::cosine, .seed = 1});
  kmeans::save(f.model, folder.path("m.safetensors"));
  const kmeans::Model loaded = kmeans::load(folder.path("m.safetensors"));
  EXPECT_EQ(loaded.counts, f.model.counts);
  EXPECT_EQ(loaded.metric, kmeans::Metric::cosine);
  for (std::int64_t i = 0; i < 12; ++i) {
    EXPECT_EQ(loaded.centroids.data()[i], f.model.centroids.data()[i]);
  }
}

TEST(KmeansModel, RefusesRowsOfAnotherWidthAndOutputsOfAnotherSize) {
  const Context context(on_device());
  kmeans::Model model{.centroids = Matrix<double>(2, 3), .counts = {1, 1}};
  const Matrix<double> rows = uniform_rows(5, 2, 9);
  std::vector<std::int32_t> labels(5);
  expect_contains(
      error_of<data_error>([&] { kmeans::predict<double>(context, model, rows.view(), labels); }),
      "2 columns, the model 3");
  labels.resize(4);
  const Matrix<double> wide = uniform_rows(5, 3, 9);
  EXPECT_THROW(kmeans::predict<double>(context, model, wide.view(), labels), invalid_argument);
  model.centroids(0, 0) = HUGE_VAL;
  labels.resize(5);
  EXPECT_THROW(kmeans::predict<double>(context, model, wide.view(), labels), data_error);
}

TEST(KmeansModel, RefusesDeviceMemory) {
  const Matrix<double> rows = uniform_rows(5, 2, 9);
  MatrixView<const double> view = rows.view();
  view.space = MemorySpace::device;
  expect_contains(
      error_of<invalid_argument>([&] { kmeans::fit<double>(Context(), view, {.n_clusters = 2}); }),
      "device memory");
}

TEST(KmeansModel, OrdersByCount) {
  kmeans::Model model{.centroids = Matrix<double>(3, 1), .counts = {2, 5, 2}};
  for (std::int64_t k = 0; k < 3; ++k) model.centroids(k, 0) = static_cast<double>(k);
  kmeans::order_by_weight(model);
  EXPECT_EQ(model.counts, (std::vector<double>{5, 2, 2}));
  EXPECT_EQ(model.centroids(0, 0), 1.0);
  EXPECT_EQ(model.centroids(1, 0), 0.0);
}

TEST(KmeansPlan, IsHeldAndRefusedWhenItDoesNotFit) {
  const Matrix<float> rows = cast<float>(uniform_rows(100000, 4, 10));
  const MatrixRows<float> source(rows.view());
  const kmeans::Options o{.n_clusters = 8, .max_iter = 2, .seed = 1};
  const Plan plan = kmeans::plan<float>(Context(on_device({.n_threads = 2})), source, o);
  EXPECT_GT(plan.host_bytes, 100000 * 5);  // a label and a distance a row
  const Context small(on_device({.n_threads = 2, .memory_limit = 400000}));
  expect_contains(error_of<out_of_memory>([&] { kmeans::fit<float>(small, source, o); }),
                  "--memory-limit");
  const Context enough(on_device({.n_threads = 2, .memory_limit = plan.host_bytes}));
  EXPECT_EQ(kmeans::fit<float>(enough, source, o).plan.n_workers, 2);
}

}  // namespace
}  // namespace culatent
