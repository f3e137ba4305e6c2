#include <gtest/gtest.h>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "culatent/error.hpp"
#include "culatent/kmeans.hpp"
#include "tests/core/kmeans_case.hpp"
#include "tests/device.hpp"
#include "tests/io/files.hpp"

namespace culatent {
namespace {

using io::testing::Folder;
using kmeans_case::at;
using kmeans_case::blobs;
using kmeans_case::cast;
using kmeans_case::Draws;
using kmeans_case::inertia_of;
using kmeans_case::same_bits;
using kmeans_case::uniform_rows;

Context context(int n_threads = 2, std::int64_t chunk_rows = 0) {
  return Context(on_device({.n_threads = n_threads, .chunk_rows = chunk_rows}));
}

template <class T>
class Kmeans : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(Kmeans, Types);

TYPED_TEST(Kmeans, TraceIsTheInertiaAndNeverRises) {
  using T = TypeParam;
  const Matrix<T> rows = cast<T>(uniform_rows(3000, 7, 1));
  const Context here = context();
  for (const auto init :
       {kmeans::Init::kmeans_plus, kmeans::Init::kmeans_parallel, kmeans::Init::random}) {
    const kmeans::Fit fit =
        kmeans::fit<T>(here, rows.view(), {.n_clusters = 13, .init = init, .tol = 0.0, .seed = 3});
    ASSERT_EQ(fit.trace.size(), static_cast<std::size_t>(fit.n_iter) + 1);
    EXPECT_TRUE(fit.converged);
    // A sum of squares of differences that are rounded once each.
    const double relative = 8 * static_cast<double>(std::numeric_limits<T>::epsilon());
    EXPECT_NEAR(fit.inertia, inertia_of(rows, fit.model.centroids), relative * fit.inertia);
    for (std::size_t t = 1; t < fit.trace.size(); ++t) {
      EXPECT_LE(fit.trace[t].inertia, fit.trace[t - 1].inertia * (1 + relative)) << t;
    }
    EXPECT_EQ(fit.trace.front().moved, -1);
    EXPECT_EQ(fit.trace.back().moved, 0);
    double total = 0;
    for (const double count : fit.model.counts) total += count;
    EXPECT_EQ(total, 3000);
  }
}

// At convergence every centroid is the mean of the rows nearest to it.
TYPED_TEST(Kmeans, CentroidsAreMeansOfTheirRows) {
  using T = TypeParam;
  const Matrix<T> rows = cast<T>(uniform_rows(2500, 5, 2));
  const Context here = context();
  const kmeans::Fit fit =
      kmeans::fit<T>(here, rows.view(), {.n_clusters = 9, .tol = 0.0, .seed = 1});
  std::vector<std::int32_t> labels(2500);
  kmeans::predict<T>(here, fit.model, rows.view(), labels);
  std::vector<long double> sums(45);
  std::vector<double> counts(9);
  for (std::int64_t i = 0; i < 2500; ++i) {
    const auto k = labels[at(i)];
    counts[at(k)] += 1;
    for (std::int64_t j = 0; j < 5; ++j)
      sums[at(5 * k + j)] += static_cast<long double>(rows(i, j));
  }
  EXPECT_EQ(counts, fit.model.counts);
  for (std::int64_t k = 0; k < 9; ++k) {
    for (std::int64_t j = 0; j < 5; ++j) {
      // Rows are rounded once on the way to the coordinates of the fit.
      EXPECT_NEAR(fit.model.centroids(k, j),
                  static_cast<double>(sums[at(5 * k + j)] / counts[at(k)]),
                  2 * static_cast<double>(std::numeric_limits<T>::epsilon()));
    }
  }
}

TYPED_TEST(Kmeans, RecoversPlantedBlobsFromEveryInit) {
  using T = TypeParam;
  const std::int64_t k = 12;
  const Matrix<T> rows = cast<T>(blobs(6000, k, 4));
  const Context here = context();
  for (const auto init : {kmeans::Init::kmeans_plus, kmeans::Init::kmeans_parallel}) {
    const kmeans::Fit fit = kmeans::fit<T>(
        here, rows.view(), {.n_clusters = static_cast<int>(k), .init = init, .seed = 5});
    std::vector<std::int32_t> labels(6000);
    kmeans::predict<T>(here, fit.model, rows.view(), labels);
    std::map<std::int64_t, std::set<std::int32_t>> found;
    for (std::int64_t i = 0; i < 6000; ++i) found[i % k].insert(labels[at(i)]);
    std::set<std::int32_t> all;
    for (const auto& [blob, its] : found) {
      EXPECT_EQ(its.size(), 1u) << "blob " << blob << " is one cluster";
      all.insert(its.begin(), its.end());
    }
    EXPECT_EQ(static_cast<std::int64_t>(all.size()), k);
  }
}

// Labels are those of exact arithmetic, however close two centroids are.
TYPED_TEST(Kmeans, LabelsAreExactAndTiesGoToTheLowestIndex) {
  using T = TypeParam;
  Draws draws(6);
  Matrix<T> rows(2000, 3);
  for (std::int64_t i = 0; i < rows.size(); ++i) {
    rows.data()[i] = static_cast<T>(draws.below(9));  // small integers: many ties
  }
  kmeans::Model model;
  model.centroids = Matrix<double>(20, 3);
  for (std::int64_t i = 0; i < 60; ++i)
    model.centroids.data()[i] = 0.5 * static_cast<double>(draws.below(17));
  for (std::int64_t j = 0; j < 3; ++j) model.centroids(11, j) = model.centroids(4, j);  // twins
  model.counts.assign(20, 0.0);
  std::vector<std::int32_t> labels(2000);
  std::vector<T> squared(2000);
  Matrix<T> distances(2000, 20);
  const Context here = context();
  kmeans::evaluate<T>(
      here, model, MatrixRows<T>(rows.view()),
      {.labels = labels, .squared_distances = squared, .distances = distances.view()});
  for (std::int64_t i = 0; i < 2000; ++i) {
    std::int32_t nearest = 0;
    double least = HUGE_VAL;
    for (std::int32_t k = 0; k < 20; ++k) {
      double d = 0;
      for (std::int64_t j = 0; j < 3; ++j) {
        d += std::pow(static_cast<double>(rows(i, j)) - model.centroids(k, j), 2);
      }
      EXPECT_NEAR(distances(i, k), std::sqrt(d), 8 * std::numeric_limits<T>::epsilon() * 16);
      if (d < least) least = d, nearest = k;
    }
    EXPECT_EQ(labels[at(i)], nearest) << i;
    EXPECT_NE(labels[at(i)], 11);
    EXPECT_NEAR(squared[at(i)], least, 8 * std::numeric_limits<T>::epsilon() * 256);
  }
}

TYPED_TEST(Kmeans, SameBitsForThreadsAndChunksAndSources) {
  using T = TypeParam;
  const std::int64_t n = on_cpu() ? 9000 : 3500;
  const Matrix<T> rows = cast<T>(uniform_rows(n, 5, 7));
  Draws draws(8);
  std::vector<double> weights;
  for (std::int64_t i = 0; i < n; ++i) weights.push_back(draws.uniform(0.0, 3.0));
  const GeneratedRows<T> generated(n, 5, [&rows](std::int64_t first, MatrixView<T> out) {
    for (std::int64_t i = 0; i < out.rows; ++i) std::copy_n(&rows(first + i, 0), 5, out.row(i));
  });
  const MatrixRows<T> plain(rows.view());
  for (const bool weighted : {false, true}) {
    for (const std::int64_t batch : {0, 500}) {
      kmeans::Options o{.n_clusters = 17, .n_init = 2, .max_iter = 6, .tol = 0.0, .seed = 9};
      o.mini_batch = batch;
      if (weighted) o.weights = weights;
      const kmeans::Fit expected = kmeans::fit<T>(context(1), plain, o);
      for (const int threads : on_cpu() ? std::vector{2, 3, 7} : std::vector{2}) {
        for (const std::int64_t chunk : {1024, 3072, 0}) {
          EXPECT_TRUE(same_bits(kmeans::fit<T>(context(threads, chunk), plain, o), expected))
              << threads << " threads, chunks of " << chunk;
        }
      }
      EXPECT_TRUE(same_bits(kmeans::fit<T>(context(2, 2048), generated, o), expected));
    }
  }
}

TYPED_TEST(Kmeans, WeightsCountAsRepetitions) {
  using T = TypeParam;
  const Matrix<T> rows = cast<T>(uniform_rows(600, 4, 10));
  std::vector<double> weights;
  std::vector<std::int64_t> repeated;
  for (std::int64_t i = 0; i < 600; ++i) {
    weights.push_back(static_cast<double>(i % 4));
    for (std::int64_t w = 0; w < i % 4; ++w) repeated.push_back(i);
  }
  Matrix<T> copies(static_cast<std::int64_t>(repeated.size()), 4);
  for (std::int64_t i = 0; i < copies.rows(); ++i) {
    std::copy_n(&rows(repeated[at(i)], 0), 4, &copies(i, 0));
  }
  kmeans::Options o{.n_clusters = 6, .tol = 0.0, .seed = 1};
  o.start = Matrix<double>(6, 4);
  for (std::int64_t k = 0; k < 6; ++k) {
    for (std::int64_t j = 0; j < 4; ++j) o.start(k, j) = static_cast<double>(rows(4 * k + 1, j));
  }
  const kmeans::Fit twice = kmeans::fit<T>(context(), copies.view(), o);
  o.weights = weights;
  const kmeans::Fit weighted = kmeans::fit<T>(context(), rows.view(), o);
  EXPECT_EQ(weighted.n_iter, twice.n_iter);
  EXPECT_EQ(weighted.model.counts, twice.model.counts);
  const double epsilon = static_cast<double>(std::numeric_limits<T>::epsilon());
  EXPECT_NEAR(weighted.inertia, twice.inertia, 8 * epsilon * twice.inertia);
  for (std::int64_t i = 0; i < 24; ++i) {
    EXPECT_NEAR(weighted.model.centroids.data()[i], twice.model.centroids.data()[i], 4 * epsilon);
  }
}

// Where both rows and weights are at the ends of their ranges, few enough rows for the largest
// units.
TYPED_TEST(Kmeans, WeightsAtTheEndOfTheirRange) {
  using T = TypeParam;
  for (const double extreme : {1.9, 1.999}) {
    Matrix<T> rows(1000, 1);
    for (std::int64_t i = 0; i < 1000; ++i)
      rows(i, 0) = static_cast<T>(i % 2 == 0 ? -extreme : extreme);
    const std::vector<double> weights(1000, extreme);
    kmeans::Options o{.n_clusters = 2, .seed = 1};
    o.weights = weights;
    const kmeans::Fit fit = kmeans::fit<T>(context(), rows.view(), o);
    EXPECT_NEAR(std::abs(fit.model.centroids(0, 0)), extreme, 1e-6);
    EXPECT_NEAR(std::abs(fit.model.centroids(1, 0)), extreme, 1e-6);
    EXPECT_NEAR(fit.inertia, 0.0, 1e-9);
    EXPECT_NEAR(fit.model.counts[0], 500 * extreme, 1e-9);
  }
}

TYPED_TEST(Kmeans, AnOutlierCostsTheLabelsOfAModelNothing) {
  using T = TypeParam;
  Matrix<double> wide = blobs(3000, 4, 20);
  wide(7, 0) = 1e7;
  const Matrix<T> rows = cast<T>(wide);
  const kmeans::Fit fit =
      kmeans::fit<T>(context(), rows.view(), {.n_clusters = 5, .n_init = 3, .seed = 1});
  std::vector<std::int32_t> labels(3000);
  kmeans::predict<T>(context(), fit.model, rows.view(), labels);
  std::vector<double> counts(5);
  for (const std::int32_t label : labels) counts[at(label)] += 1;
  EXPECT_EQ(counts, fit.model.counts);
  EXPECT_NEAR(kmeans::score<T>(context(), fit.model, rows.view()), fit.inertia, 1e-4 * fit.inertia);
}

TYPED_TEST(Kmeans, BatchesOfMostlyWeightlessRowsGoOn) {
  using T = TypeParam;
  const Matrix<T> rows = cast<T>(blobs(20000, 4, 21));
  std::vector<double> weights(20000);
  for (std::size_t i = 0; i < weights.size(); i += 97) weights[i] = 1.0;
  kmeans::Options o{.n_clusters = 4, .n_init = 3, .seed = 2};
  o.weights = weights;
  const double lloyd = kmeans::fit<T>(context(), rows.view(), o).inertia;
  o.mini_batch = 32;
  EXPECT_LT(kmeans::fit<T>(context(), rows.view(), o).inertia, 1.2 * lloyd);
}

TYPED_TEST(Kmeans, CosineIsEuclideanOnRowsOfLengthOne) {
  using T = TypeParam;
  Matrix<double> wide = uniform_rows(2000, 6, 11);
  Matrix<double> unit = wide;
  for (std::int64_t i = 0; i < 2000; ++i) {
    double square = 0;
    for (std::int64_t j = 0; j < 6; ++j) square += wide(i, j) * wide(i, j);
    for (std::int64_t j = 0; j < 6; ++j) {
      unit(i, j) = wide(i, j) / std::sqrt(square);
      wide(i, j) *= std::ldexp(1.0, static_cast<int>(i % 40) - 20);  // lengths do not matter
    }
  }
  const Matrix<T> rows = cast<T>(wide);
  const kmeans::Fit fit =
      kmeans::fit<T>(context(), rows.view(),
                     {.n_clusters = 7, .tol = 0.0, .metric = kmeans::Metric::cosine, .seed = 2});
  EXPECT_TRUE(fit.converged);
  std::vector<std::int32_t> labels(2000);
  kmeans::predict<T>(context(), fit.model, rows.view(), labels);
  Matrix<double> sums(7, 6);
  double inertia = 0;
  for (std::int64_t i = 0; i < 2000; ++i) {
    const std::int64_t k = labels[at(i)];
    for (std::int64_t j = 0; j < 6; ++j) {
      sums(k, j) += unit(i, j);
      inertia += std::pow(unit(i, j) - fit.model.centroids(k, j), 2);
    }
  }
  const double epsilon = static_cast<double>(std::numeric_limits<T>::epsilon());
  EXPECT_NEAR(fit.inertia, inertia, 32 * epsilon * inertia);
  for (std::int64_t k = 0; k < 7; ++k) {
    double square = 0, length = 0;
    for (std::int64_t j = 0; j < 6; ++j) {
      square += sums(k, j) * sums(k, j);
      length += fit.model.centroids(k, j) * fit.model.centroids(k, j);
    }
    EXPECT_NEAR(length, 1.0, 1e-14);
    for (std::int64_t j = 0; j < 6; ++j) {
      EXPECT_NEAR(fit.model.centroids(k, j), sums(k, j) / std::sqrt(square), 16 * epsilon);
    }
  }
}

TYPED_TEST(Kmeans, MiniBatchesComeCloseToLloyd) {
  using T = TypeParam;
  const Matrix<T> rows = cast<T>(blobs(20000, 9, 12));
  const kmeans::Fit lloyd =
      kmeans::fit<T>(context(), rows.view(), {.n_clusters = 9, .n_init = 3, .seed = 3});
  const kmeans::Fit batches = kmeans::fit<T>(
      context(), rows.view(), {.n_clusters = 9, .n_init = 3, .mini_batch = 256, .seed = 3});
  EXPECT_TRUE(batches.converged);
  EXPECT_LT(batches.inertia, 1.05 * lloyd.inertia);
  EXPECT_NEAR(batches.inertia, inertia_of(rows, batches.model.centroids), 1e-5 * lloyd.inertia);
  double total = 0;
  for (const double count : batches.model.counts) total += count;
  EXPECT_EQ(total, 20000);
}

TYPED_TEST(Kmeans, KeepsDigitsFarFromTheOrigin) {
  using T = TypeParam;
  // Values that both types hold exactly, so that the shifted rows are the same rows.
  Matrix<double> wide = uniform_rows(3000, 4, 13);
  for (std::int64_t i = 0; i < wide.size(); ++i) wide.data()[i] = std::round(wide.data()[i] * 512);
  Matrix<double> far = wide;
  for (std::int64_t i = 0; i < far.size(); ++i) far.data()[i] += 5e6;
  const kmeans::Options o{.n_clusters = 8, .tol = 0.0, .seed = 5};
  const kmeans::Fit near_fit = kmeans::fit<T>(context(), cast<T>(wide).view(), o);
  const kmeans::Fit far_fit = kmeans::fit<T>(context(), cast<T>(far).view(), o);
  EXPECT_EQ(far_fit.model.counts, near_fit.model.counts);
  EXPECT_NEAR(far_fit.inertia, near_fit.inertia, 1e-5 * near_fit.inertia);
}

TYPED_TEST(Kmeans, RecoversPlantedBlobsFromTheBestOfRandomStarts) {
  using T = TypeParam;
  // A start has one row of each of three stretches, hence of all blobs in 2 of 9 cases: none of 40
  // has in 4e-5 of them.
  const Matrix<T> rows = cast<T>(blobs(3000, 3, 22));
  const kmeans::Fit fit = kmeans::fit<T>(
      context(), rows.view(),
      {.n_clusters = 3, .init = kmeans::Init::random, .n_init = 40, .max_iter = 1, .seed = 1});
  EXPECT_EQ(fit.model.counts, (std::vector<double>{1000, 1000, 1000}));
  EXPECT_LT(fit.inertia, 3000 * 2 * 1.1);  // two features of unit variance
}

// A fit that is interrupted at every third call of its observer, and goes on with other threads.
template <class T>
void expect_resumes(const Matrix<T>& rows, kmeans::Options o, int least_calls) {
  const Folder folder;
  const std::string path = folder.path("fit.checkpoint");
  o.checkpoint = {.path = path, .every_iterations = 1};
  const kmeans::Fit undisturbed = kmeans::fit<T>(context(), rows.view(), o);
  int n = 1;
  for (;; n += 3) {
    std::filesystem::remove(path);
    int calls = 0;
    const Context killing(on_device({.n_threads = 2, .observer = [&](const Progress&) -> bool {
                                       if (++calls == n) throw n;
                                       return true;
                                     }}));
    o.checkpoint.resume = false;
    try {
      kmeans::fit<T>(killing, rows.view(), o);
      break;
    } catch (int) {
      o.checkpoint.resume = true;
      EXPECT_TRUE(same_bits(kmeans::fit<T>(context(3), rows.view(), o), undisturbed)) << n;
    }
  }
  EXPECT_GT(n, least_calls) << "every pass of both restarts was interrupted";
}

TYPED_TEST(Kmeans, ResumesToTheSameBitsFromAnyMoment) {
  using T = TypeParam;
  const Matrix<T> rows = cast<T>(uniform_rows(2100, 3, 14));
  Draws draws(15);
  std::vector<double> weights;
  for (std::int64_t i = 0; i < 2100; ++i) {
    weights.push_back(i % 9 == 4 ? 0.0 : draws.uniform(0.0, 3.0));
  }
  for (const std::int64_t batch : {0, 300}) {
    kmeans::Options o{.n_clusters = 6, .n_init = 2, .max_iter = 5, .tol = 0.0, .seed = 2};
    o.mini_batch = batch;
    expect_resumes(rows, o, 12);
    o.metric = kmeans::Metric::cosine;
    expect_resumes(rows, o, 12);
    o.weights = weights;
    expect_resumes(rows, o, 12);
    o.metric = kmeans::Metric::euclidean;
    expect_resumes(rows, o, 12);
  }
}

}  // namespace
}  // namespace culatent
