#include <algorithm>

#include "tests/cuda/kmeans_case.hpp"

namespace culatent {
namespace {

class KMeansSeeding : public KMeansSteps {
 protected:
  // Distances so far: some far, some nearer than any candidate.
  template <class T>
  static std::vector<T> so_far(const KMeansCase<T>& c) {
    std::vector<T> least;
    for (std::int64_t i = 0; i < c.n; ++i) {
      least.push_back(i % 3 == 0 ? T{0x1p-20} : i % 3 == 1 ? T{30} : std::numeric_limits<T>::max());
    }
    return least;
  }
  // A distance is D differences, squares and additions in T; sums of rows are in double.
  template <class T>
  static Real unit(const KMeansCase<T>& c) {
    return static_cast<Real>(c.d + 3) * std::numeric_limits<T>::epsilon() / 2 +
           static_cast<Real>(kBlockRows) * std::numeric_limits<double>::epsilon();
  }

  template <class T>
  void expect_lower(const KMeansCase<T>& c) {
    SCOPED_TRACE(c.name());
    const PlacedCase<T> p = place(c);
    const std::vector<T> before = so_far(c);
    const std::int64_t n_blocks = (c.n + kBlockRows - 1) / kBlockRows;
    auto least = blank<T>(c.n + kMargin);
    least.upload(before.data(), c.n);
    const auto potentials = blank<double>(n_blocks + kMargin);
    kmeans::lower_distances(backend(), p.rows, p.centres, least.data(), potentials.data());
    const std::vector<T> found = inside(least);
    const std::vector<double> sums = inside(potentials);
    for (std::int64_t block = 0; block < n_blocks; ++block) {
      Real sum = 0;
      for (std::int64_t i = block * kBlockRows; i < std::min(c.n, (block + 1) * kBlockRows); ++i) {
        if (c.weight(i) == 0.0) continue;
        const Real expected = std::min(static_cast<Real>(before[at(i)]), c.least(i));
        ASSERT_LE(std::abs(static_cast<Real>(found[at(i)]) - expected), unit(c) * expected) << i;
        sum += c.weight(i) * expected;
      }
      ASSERT_LE(std::abs(sums[at(block)] - sum), unit(c) * sum) << block;
    }
    // Nothing is nearer the second time.
    const auto again = blank<double>(n_blocks + kMargin);
    kmeans::lower_distances(backend(), p.rows, p.centres, least.data(), again.data());
    EXPECT_EQ(inside(least), found);
    EXPECT_EQ(inside(again), sums);
  }

  template <class T>
  void expect_try(const KMeansCase<T>& c) {
    SCOPED_TRACE(c.name());
    const PlacedCase<T> p = place(c);
    const std::vector<T> before = so_far(c);
    const std::int64_t n_blocks = (c.n + kBlockRows - 1) / kBlockRows;
    auto least = blank<T>(c.n + kMargin);
    least.upload(before.data(), c.n);
    const auto partials = blank<double>(n_blocks * c.k + kMargin);
    kmeans::try_candidates(backend(), p.rows, p.centres, least.data(), partials.data());
    EXPECT_EQ(inside(least), before);
    const std::vector<double> found = inside(partials);
    for (std::int64_t block = 0; block < n_blocks; ++block) {
      for (std::int64_t k = 0; k < c.k; ++k) {
        Real sum = 0;
        for (std::int64_t i = block * kBlockRows; i < std::min(c.n, (block + 1) * kBlockRows);
             ++i) {
          if (c.weight(i) == 0.0) continue;
          sum += c.weight(i) * std::min(static_cast<Real>(before[at(i)]), c.distance(i, k));
        }
        ASSERT_LE(std::abs(found[at(block * c.k + k)] - sum), unit(c) * sum) << block << " " << k;
      }
    }
    const auto again = blank<double>(n_blocks * c.k + kMargin);
    kmeans::try_candidates(backend(), p.rows, p.centres, least.data(), again.data());
    EXPECT_EQ(inside(again), found);
  }
};

TEST_F(KMeansSeeding, LowersAnyRows) {
  for (const std::int64_t n : {1, 31, 127, 128, 129, 1023, 1024, 1025, 9000}) {
    expect_lower(KMeansCase<float>(n, 3, 2));
  }
  for (const std::int64_t n : {1, 128, 1025}) expect_lower(KMeansCase<double>(n, 2, 3).weigh());
}

TEST_F(KMeansSeeding, LowersToAnyCandidates) {
  for (const std::int64_t k : {1, 32, 33, 64, 65, 129, 200}) {
    expect_lower(KMeansCase<float>(130, 5, k).weigh());
    expect_lower(KMeansCase<double>(70, 9, k));
  }
}

TEST_F(KMeansSeeding, TriesWithAnyRows) {
  for (const std::int64_t n : {1, 127, 128, 129, 255, 256, 257, 1023, 1024, 1025, 2100}) {
    expect_try(KMeansCase<float>(n, 3, 4));
  }
  for (const std::int64_t n : {1, 257, 1025}) expect_try(KMeansCase<double>(n, 2, 3).weigh());
}

TEST_F(KMeansSeeding, TriesAnyCandidates) {
  for (const std::int64_t k : {1, 16, 17, 32, 33, 70}) {
    expect_try(KMeansCase<float>(130, 17, k).weigh());
    expect_try(KMeansCase<double>(70, 9, k));
  }
}

// As the CPU, so that a fit draws the same seeds: 256 rows at a time, a rounding for each.
TEST_F(KMeansSeeding, AddsUpInOneOrder) {
  KMeansCase<float> c(2300, 7, 5);
  Draws draws(13);
  for (std::int64_t i = 0; i < c.n; ++i) c.weights.push_back(draws.uniform());
  const PlacedCase<float> p = place(c);
  auto least = to_device(so_far(c));
  const auto partials = blank<double>(3 * c.k), potentials = blank<double>(3);
  kmeans::try_candidates(backend(), p.rows, p.centres, least.data(), partials.data());
  kmeans::lower_distances(backend(), p.rows, p.centres, least.data(), potentials.data());
  const std::vector<double> tried = to_host(partials), lowered = to_host(potentials);
  std::vector<double> sums(at(3 * c.k), 0.0), all(3, 0.0);
  const std::vector<float> before = so_far(c);
  std::vector<float> lowest = before;
  for (std::int64_t k = 0; k < c.k; ++k) {
    double tile = 0.0;
    for (std::int64_t i = 0; i < c.n; ++i) {
      float distance = 0.0F;
      for (std::int64_t j = 0; j < c.d; ++j) {
        const float z = c.framed(i, j) - c.centroids[at(k * c.d + j)];
        distance = std::fma(z, z, distance);
      }
      const volatile double product = c.weight(i) * std::min(before[at(i)], distance);
      tile += product;
      lowest[at(i)] = std::min(lowest[at(i)], distance);
      if (i % 256 != 255 && i != c.n - 1) continue;
      sums[at(i / kBlockRows * c.k + k)] += tile;
      tile = 0.0;
    }
  }
  for (std::int64_t i = 0; i < c.n; ++i) {
    double& sum = all[at(i / kBlockRows)];
    const volatile double product = c.weight(i) * lowest[at(i)];
    sum += product;
  }
  EXPECT_EQ(to_host(least), lowest);
  EXPECT_EQ(tried, sums);
  EXPECT_EQ(lowered, all);
}

TEST_F(KMeansSeeding, LetsRowsWithoutWeightLieAnywhere) {
  KMeansCase<float> c(100, 2, 3);
  c.weigh();
  c.scale = 4.0F;
  c.values[at(3 * c.stride)] = 3e38F;  // overflows in the coordinates
  expect_lower(c);
  expect_try(c);
}

TEST_F(KMeansSeeding, TakesNoRows) {
  expect_lower(KMeansCase<float>(0, 2, 3));
  expect_try(KMeansCase<double>(0, 2, 3));
}

}  // namespace
}  // namespace culatent
