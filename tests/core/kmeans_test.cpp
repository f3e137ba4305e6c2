#include "host/kmeans.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <set>

#include "tests/core/planted.hpp"

namespace culatent::kmeans {
namespace {

using oracle::Draws;

// K blobs of unit variance on a grid 20 apart.
Matrix<double> blobs(std::int64_t n, std::int64_t n_clusters, std::uint64_t seed) {
  Draws draws(seed);
  Matrix<double> rows(n, 2);
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t k = i % n_clusters;
    rows(i, 0) = 20.0 * static_cast<double>(k % 3) + draws.normal();
    rows(i, 1) = 20.0 * static_cast<double>(k / 3) + draws.normal();
  }
  return rows;
}

struct Problem {
  explicit Problem(Matrix<double> data, std::vector<double> w = {}, int n_threads = 2)
      : rows(std::move(data)),
        weights(std::move(w)),
        source(rows.view()),
        context({.n_threads = n_threads}),
        backend{context.threads(), n_threads},
        frame{std::vector<double>(planted::at(rows.cols()), 0.0),
              std::vector<double>(planted::at(rows.cols()), 1.0)},
        metric(planted::at(rows.cols()), 1.0),
        fit_rows{source, weights} {}

  Matrix<double> seeds(std::uint64_t seed, std::int64_t n_clusters) {
    const auto sample = sample_rows(backend, fit_rows, frame, seed, rows.rows());
    return choose_seeds<double>(backend, sample, metric, seed, n_clusters);
  }
  LloydRows<double> lloyd_rows(std::int64_t n_clusters) {
    return cpu_lloyd_rows<double>(context, backend, fit_rows, frame, metric, n_clusters);
  }
  LloydResult run(Matrix<double>& centroids, const LloydOptions& options,
                  std::vector<double>* inertias = nullptr) {
    return lloyd<double>(lloyd_rows(centroids.rows()), options, centroids, [&](double inertia) {
      if (inertias != nullptr) inertias->push_back(inertia);
      return true;
    });
  }

  Matrix<double> rows;
  std::vector<double> weights;
  MatrixRows<double> source;
  Context context;
  CpuBackend backend;
  Frame frame;
  std::vector<double> metric;
  FitRows<double> fit_rows;
};

double inertia_of(const Problem& p, const Matrix<double>& centroids) {
  long double total = 0;
  for (std::int64_t i = 0; i < p.rows.rows(); ++i) {
    long double least = HUGE_VALL;
    for (std::int64_t k = 0; k < centroids.rows(); ++k) {
      long double distance = 0;
      for (std::int64_t j = 0; j < p.rows.cols(); ++j) {
        const long double delta = static_cast<long double>(p.rows(i, j)) - centroids(k, j);
        distance += delta * delta;
      }
      least = std::min(least, distance);
    }
    total += (p.weights.empty() ? 1.0 : p.weights[planted::at(i)]) * least;
  }
  return static_cast<double>(total);
}

TEST(Lloyd, InertiaIsTheSumOfSquaresAndNeverRises) {
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    Draws draws(seed);
    Matrix<double> rows(2500, 3);
    for (std::int64_t i = 0; i < rows.size(); ++i) rows.data()[i] = draws.normal();
    Problem p(rows);
    Matrix<double> centroids = p.seeds(seed, 12);
    const double start = inertia_of(p, centroids);
    std::vector<double> inertias;
    const LloydResult result = p.run(centroids, {.max_iter = 40, .tol = 0.0}, &inertias);
    EXPECT_NEAR(inertias.front(), start, 2500 * DBL_EPSILON * start);
    EXPECT_EQ(result.n_iter, static_cast<int>(inertias.size()));
    for (std::size_t t = 1; t < inertias.size(); ++t) {
      EXPECT_LE(inertias[t], inertias[t - 1] * (1.0 + 2500 * DBL_EPSILON)) << t;
    }
    EXPECT_LE(inertia_of(p, centroids), inertias.back() * (1.0 + 2500 * DBL_EPSILON));
  }
}

TEST(Lloyd, RecoversSeparatedBlobs) {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Problem p(blobs(3000, 6, seed));
    Matrix<double> centroids = p.seeds(seed, 6);
    p.run(centroids, {});
    for (std::int64_t k = 0; k < 6; ++k) {
      double nearest = HUGE_VAL;
      for (std::int64_t c = 0; c < 6; ++c) {
        nearest =
            std::min(nearest, std::hypot(centroids(c, 0) - 20.0 * static_cast<double>(k % 3),
                                         centroids(c, 1) - 20.0 * static_cast<double>(k / 3)));
      }
      EXPECT_LT(nearest, 5.0 * std::sqrt(2.0 / 500)) << "blob " << k << ", seed " << seed;
    }
  }
}

TEST(Lloyd, MovesEmptyClustersToFarRows) {
  Problem p(blobs(900, 3, 4));
  Matrix<double> centroids(3, 2);
  centroids(1, 0) = centroids(2, 0) = 1e6;  // two that no row is nearest to
  centroids(2, 1) = 1e6;
  const LloydResult result = p.run(centroids, {});
  EXPECT_GE(result.n_relocated, 2);
  EXPECT_LT(inertia_of(p, centroids), 2.5 * 900);  // 2 a row when every blob has its own
}

TEST(Lloyd, WeightsCountAsRepetitions) {
  const Matrix<double> rows = blobs(300, 3, 5);
  std::vector<double> weights;
  std::int64_t total = 0;
  for (std::int64_t i = 0; i < 300; ++i) {
    weights.push_back(static_cast<double>(i % 4));
    total += i % 4;
  }
  Matrix<double> repeated(total, 2);
  std::int64_t next = 0;
  for (std::int64_t i = 0; i < 300; ++i) {
    for (std::int64_t r = 0; r < i % 4; ++r, ++next) {
      repeated(next, 0) = rows(i, 0);
      repeated(next, 1) = rows(i, 1);
    }
  }
  Problem weighted(rows, weights), plain(repeated);
  Matrix<double> a(3, 2), b(3, 2);
  for (std::int64_t k = 0; k < 3; ++k) a(k, 0) = b(k, 0) = 18.0 * static_cast<double>(k);
  weighted.run(a, {.max_iter = 5, .tol = 0.0});
  plain.run(b, {.max_iter = 5, .tol = 0.0});
  planted::expect_near(planted::values(a), planted::values(b), 1000 * DBL_EPSILON, "centroids");
}

TEST(Lloyd, StopsWhenTold) {
  Problem p(blobs(300, 3, 6));
  Matrix<double> centroids = p.seeds(0, 3);
  const LloydResult result =
      lloyd<double>(p.lloyd_rows(3), {}, centroids, [](double) { return false; });
  EXPECT_EQ(result.n_iter, 1);
}

TEST(Lloyd, DoesNotDependOnThreads) {
  const Matrix<double> rows = blobs(5000, 6, 7);
  Problem one(rows, {}, 1), three(rows, {}, 3);
  Matrix<double> a = one.seeds(9, 20), b = three.seeds(9, 20);
  EXPECT_TRUE(planted::same_bits(planted::values(a), planted::values(b)));
  one.run(a, {});
  three.run(b, {});
  EXPECT_TRUE(planted::same_bits(planted::values(a), planted::values(b)));
}

TEST(ChooseSeeds, AreDistinctRowsOfTheData) {
  const Matrix<double> rows = blobs(200, 6, 8);
  std::set<std::pair<double, double>> all;
  for (std::int64_t i = 0; i < rows.rows(); ++i) all.emplace(rows(i, 0), rows(i, 1));
  Problem p(rows);
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Matrix<double> seeds = p.seeds(seed, 30);
    std::set<std::pair<double, double>> chosen;
    for (std::int64_t k = 0; k < 30; ++k) {
      EXPECT_TRUE(all.contains({seeds(k, 0), seeds(k, 1)}));
      chosen.emplace(seeds(k, 0), seeds(k, 1));
    }
    EXPECT_EQ(chosen.size(), 30u);
  }
}

TEST(ChooseSeeds, NeverTakeRowsOfWeightZero) {
  const Matrix<double> rows = blobs(200, 6, 9);
  std::vector<double> weights(200, 0.0);
  std::set<std::pair<double, double>> counted;
  for (std::int64_t i = 0; i < 200; i += 20) {
    weights[planted::at(i)] = 1.0;
    counted.emplace(rows(i, 0), rows(i, 1));
  }
  Problem p(rows, weights);
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Matrix<double> seeds = p.seeds(seed, 15);  // more than there are rows with weight
    for (std::int64_t k = 0; k < 15; ++k) {
      EXPECT_TRUE(counted.contains({seeds(k, 0), seeds(k, 1)})) << seed;
    }
  }
}

TEST(ChooseSeeds, TakeEveryBlob) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Problem p(blobs(600, 6, seed));
    const Matrix<double> seeds = p.seeds(seed, 6);
    std::set<std::pair<double, double>> taken;
    for (std::int64_t k = 0; k < 6; ++k) {
      taken.emplace(std::round(seeds(k, 0) / 20.0), std::round(seeds(k, 1) / 20.0));
    }
    EXPECT_EQ(taken.size(), 6u) << seed;
  }
}

TEST(SampleRows, TakesOneOfEachStretch) {
  Matrix<double> rows(5000, 1);
  for (std::int64_t i = 0; i < 5000; ++i) rows(i, 0) = static_cast<double>(i);
  Problem p(rows);
  for (const std::int64_t count : {1, 7, 1000, 4999, 5000}) {
    const auto sample = sample_rows(p.backend, p.fit_rows, p.frame, 3, count);
    for (std::int64_t i = 0; i < count; ++i) {
      EXPECT_GE(sample.rows(i, 0), static_cast<double>(i * 5000 / count));
      EXPECT_LT(sample.rows(i, 0), static_cast<double>((i + 1) * 5000 / count));
    }
  }
}

TEST(SeedingRows, AreEnoughForTheClustersAndNoMoreThanThereAre) {
  EXPECT_EQ(seeding_rows(10, 3, 2), 10);
  EXPECT_GE(seeding_rows(1 << 20, 100000, 2), 100000);
  EXPECT_LE(seeding_rows(std::int64_t{1} << 40, 16, 16), 1 << 17);
  EXPECT_GE(seeding_rows(1 << 20, 16, 1 << 20), 16);
}

}  // namespace
}  // namespace culatent::kmeans
