#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "culatent/kmeans.hpp"
#include "host/kmeans_method.hpp"
#include "kernels/kmeans_rounding.hpp"
#include "tests/core/kmeans_case.hpp"
#include "tests/device.hpp"

/// Rows that lie far from all others, or are much shorter.
namespace culatent {
namespace {

using kmeans_case::at;
using kmeans_case::blobs;
using kmeans_case::cast;
using kmeans_case::uniform_rows;

Matrix<double> centroids_of(const std::vector<double>& lengths) {
  Matrix<double> centroids(static_cast<std::int64_t>(lengths.size()), 2);
  for (std::int64_t k = 0; k < centroids.rows(); ++k) {
    centroids(k, k % 2) = k % 3 == 0 ? -lengths[at(k)] : lengths[at(k)];
  }
  return centroids;
}
double beyond(const std::vector<double>& lengths, double slack = 1e-5) {
  return kmeans::far_beyond(centroids_of(lengths), slack);
}

TEST(KmeansFar, IsWhatIsMuchLongerThanMost) {
  const double none = std::numeric_limits<double>::infinity();
  EXPECT_EQ(beyond({}), none);
  EXPECT_EQ(beyond({5.0}), none);
  EXPECT_EQ(beyond({0.0, 0.0, 0.0}), none);
  EXPECT_EQ(beyond({0.0, 0.0, 3.0}), none) << "nothing to compare with";
  EXPECT_EQ(beyond({2.0, 2.0, 2.0, 2.0}), none);
  EXPECT_EQ(beyond({1.0, 2.0, 3.0, 40.0}), none) << "rounds too little to matter";
  for (const std::vector<double>& lengths :
       {std::vector<double>{1e6, 1.0, 2.0, 3.0}, {1.0, 1e6}, {1e7, 1e6, 1.0, 2.0}}) {
    EXPECT_LT(beyond(lengths), 1e6);
    EXPECT_GT(beyond(lengths), 0.99e6);
  }
  // With scores of 16 bits or fewer, from 16 times on.
  EXPECT_EQ(beyond({1.0, 1.0, 1.0, 15.0}, 0.01), none);
  EXPECT_LT(beyond({1.0, 1.0, 1.0, 17.0}, 0.01), 17.0);
}

template <class T>
class KmeansOutliers : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(KmeansOutliers, Types);

// The fit gives outliers clusters of their own, and the others what is theirs: each blob one label.
template <class T>
void expect_blobs(const Matrix<T>& rows, std::int64_t n_blobs,
                  const std::vector<std::int64_t>& outliers, kmeans::Options options) {
  const auto n_clusters = n_blobs + static_cast<std::int64_t>(outliers.size());
  options.n_clusters = static_cast<int>(n_clusters);
  const Context context(on_device({.n_threads = 2}));
  const kmeans::Fit fit = kmeans::fit<T>(context, rows.view(), options);
  EXPECT_LT(fit.refined_fraction, 0.02);
  std::vector<std::int32_t> labels(at(rows.rows()));
  kmeans::predict<T>(context, fit.model, rows.view(), labels);
  std::vector<double> expected(at(n_clusters));
  std::map<std::int64_t, std::int32_t> of_blob;
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    const std::int32_t label = labels[at(i)];
    expected[at(label)] += 1.0;
    if (std::find(outliers.begin(), outliers.end(), i) != outliers.end()) continue;
    ASSERT_EQ(of_blob.try_emplace(i % n_blobs, label).first->second, label) << i;
  }
  EXPECT_EQ(static_cast<std::int64_t>(of_blob.size()), n_blobs);
  for (const std::int64_t i : outliers) EXPECT_EQ(expected[at(labels[at(i)])], 1.0) << i;
  EXPECT_EQ(fit.model.counts, expected);
}

TYPED_TEST(KmeansOutliers, CostTheOthersNeitherLabelsNorSecondLooks) {
  Matrix<double> rows = blobs(60000, 12, 31);
  rows(777, 0) = 1e6;
  expect_blobs(cast<TypeParam>(rows), 12, {777}, {.n_init = 2, .seed = 1});
  rows(40001, 0) = -1e6;
  rows(40001, 1) = 2e6;
  expect_blobs(cast<TypeParam>(rows), 12, {777, 40001}, {.n_init = 2, .seed = 1});
}

// One centroid among the blobs and one far out, rows all the way between.
TYPED_TEST(KmeansOutliers, LeaveRowsBetweenToTheNearest) {
  using T = TypeParam;
  Matrix<T> rows(3001, 3);
  for (std::int64_t i = 0; i < 3001; ++i) {
    for (std::int64_t j = 0; j < 3; ++j) rows(i, j) = static_cast<T>(i) * T{1e4};
  }
  kmeans::Model model{.centroids = Matrix<double>(8, 3), .counts = std::vector<double>(8, 1.0)};
  for (std::int64_t k = 0; k < 8; ++k) model.centroids(k, k % 3) = static_cast<double>(k);
  for (std::int64_t j = 0; j < 3; ++j) model.centroids(5, j) = 3e7;
  model.counts[5] = 0.0;
  std::vector<std::int32_t> labels(3001);
  kmeans::predict<T>(Context(on_device({.n_threads = 2})), model, rows.view(), labels);
  for (std::int64_t i = 0; i < 3001; ++i) {
    std::int32_t nearest = 0;
    long double least = HUGE_VALL;
    for (std::int32_t k = 0; k < 8; ++k) {
      long double square = 0;
      for (std::int64_t j = 0; j < 3; ++j) {
        const long double delta = static_cast<long double>(rows(i, j)) - model.centroids(k, j);
        square += delta * delta;
      }
      if (square < least) least = square, nearest = k;
    }
    EXPECT_EQ(labels[at(i)], nearest) << i;
  }
}

// A start that no float reaches: its clusters are empty, and those of the others right.
TYPED_TEST(KmeansOutliers, MayBeStartsOutOfRange) {
  using T = TypeParam;
  const Matrix<T> rows = cast<T>(blobs(4000, 4, 33));
  kmeans::Options options{.n_clusters = 5, .empty = kmeans::Empty::keep};
  options.start = Matrix<double>(5, 2);
  for (std::int64_t k = 0; k < 4; ++k) options.start(k, 0) = 20.0 * static_cast<double>(k) + 3.0;
  options.start(4, 0) = 1e300;
  const kmeans::Fit fit =
      kmeans::fit<T>(Context(on_device({.n_threads = 2})), rows.view(), options);
  EXPECT_EQ(fit.model.counts, (std::vector<double>{1000, 1000, 1000, 1000, 0}));
  EXPECT_EQ(fit.model.centroids(4, 0), 1e300);
}

// What has no weight sets neither the scale nor the seeds, and spoils no sum.
TYPED_TEST(KmeansOutliers, MayLieAnywhereWithoutWeight) {
  using T = TypeParam;
  const Matrix<T> rows = cast<T>(uniform_rows(5000, 3, 35));
  std::vector<double> weights;
  for (std::int64_t i = 0; i < 5000; ++i) weights.push_back(i % 50 == 7 ? 0.0 : 1.0);
  Matrix<T> far = rows;
  for (std::int64_t i = 7; i < 5000; i += 50) far(i, i % 3) = T{1e30F};
  const Context context(on_device({.n_threads = 2}));
  for (const auto init :
       {kmeans::Init::kmeans_plus, kmeans::Init::kmeans_parallel, kmeans::Init::random}) {
    for (const std::int64_t batch : {0, 500}) {
      kmeans::Options options{.n_clusters = 9, .init = init, .max_iter = 30, .seed = 4};
      options.mini_batch = batch;
      options.weights = weights;
      const kmeans::Fit expected = kmeans::fit<T>(context, rows.view(), options);
      EXPECT_TRUE(kmeans_case::same_bits(kmeans::fit<T>(context, far.view(), options), expected))
          << kmeans::name(init) << ", batches of " << batch;
    }
  }
}

// Light rows are those whose weight leaves no trace in the sums.
TEST(KmeansLight, RowsAreCountedAndLost) {
  for (const double largest : {1.0, 1e200, 3e-200}) {
    std::vector<double> weights(5000, largest);
    EXPECT_EQ(kmeans::count_light_rows(weights, weight_scale(weights, 5000)), 0);
    weights[3] = 0.0;
    weights[4] = largest * 0x1p-75;
    for (std::size_t i = 10; i < 20; ++i) weights[i] = largest * 0x1p-110;
    EXPECT_EQ(kmeans::count_light_rows(weights, weight_scale(weights, 5000)), 10);
  }
  EXPECT_EQ(kmeans::count_light_rows({}, 1.0), 0);
  // A cluster of rows that are light has a count of 0, one of rows just above has one.
  Matrix<double> rows(5000, 1);
  std::vector<double> weights(5000, 1.0);
  for (std::int64_t i = 0; i < 20; ++i) {
    rows(i, 0) = i < 10 ? 50.0 : 100.0;
    weights[at(i)] = i < 10 ? 0x1p-75 : 0x1p-110;
  }
  kmeans::Options options{.n_clusters = 3, .empty = kmeans::Empty::keep};
  options.weights = weights;
  options.start = Matrix<double>(3, 1);
  for (std::int64_t k = 0; k < 3; ++k) options.start(k, 0) = 49.0 * static_cast<double>(k);
  const kmeans::Fit fit =
      kmeans::fit<double>(Context(on_device({.n_threads = 2})), rows.view(), options);
  EXPECT_EQ(fit.model.counts, (std::vector<double>{4980.0, 0x1.4p-72, 0.0}));
  EXPECT_NEAR(fit.model.centroids(1, 0), 50.0, 50.0 * 0x1p-15);
  EXPECT_EQ(fit.model.centroids(2, 0), 98.0);
}

// Directions do not depend on lengths, though squares of the shortest vanish.
TYPED_TEST(KmeansOutliers, CosineOfRowsOfAnyLength) {
  using T = TypeParam;
  const double shortest = sizeof(T) == sizeof(float) ? 1e-29 : 1e-200;
  const Matrix<double> directions = uniform_rows(3000, 5, 34);
  const Matrix<T> plain = cast<T>(directions);
  Matrix<T> scaled(3000, 5);
  for (std::int64_t i = 0; i < 3000; ++i) {
    // A power of two, which takes no digits.
    const double length =
        std::exp2(std::round(std::log2(shortest) * static_cast<double>(i * 7 % 3000) / 2999.0));
    for (std::int64_t j = 0; j < 5; ++j) {
      scaled(i, j) = static_cast<T>(static_cast<double>(plain(i, j)) * length);
    }
  }
  kmeans::Options options{.n_clusters = 6, .tol = 0.0, .metric = kmeans::Metric::cosine};
  options.start = Matrix<double>(6, 5);
  std::copy_n(directions.data(), 30, options.start.data());
  const Context context(on_device({.n_threads = 2}));
  const kmeans::Fit expected = kmeans::fit<T>(context, plain.view(), options);
  const kmeans::Fit fit = kmeans::fit<T>(context, scaled.view(), options);
  EXPECT_TRUE(kmeans_case::same_bits(fit, expected));
  std::vector<std::int32_t> labels(3000), expected_labels(3000);
  kmeans::predict<T>(context, fit.model, scaled.view(), labels);
  kmeans::predict<T>(context, fit.model, plain.view(), expected_labels);
  EXPECT_EQ(labels, expected_labels);
  const kmeans::Fit in_double = kmeans::fit<double>(context, directions.view(), options);
  EXPECT_NEAR(fit.inertia, in_double.inertia,
              32 * static_cast<double>(std::numeric_limits<T>::epsilon()) * in_double.inertia);
}

}  // namespace
}  // namespace culatent
