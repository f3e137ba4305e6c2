#include "host/affinities.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <vector>

#include "host/random.hpp"
#include "kernels/affinities.hpp"

namespace culatent::affinities {
namespace {

double entropy(const std::vector<double>& p) {
  double sum = 0.0;
  for (const double value : p) sum -= value > 0.0 ? value * std::log(value) : 0.0;
  return sum;
}

std::vector<double> squares(std::int64_t n, double unit, std::uint64_t seed) {
  std::vector<double> d;
  for (std::int64_t j = 0; j < n; ++j) {
    const double x =
        random::uniform(seed, random::Stream::positions, static_cast<std::uint64_t>(j), 0);
    d.push_back(unit * (1.0 + 3.0 * x));
  }
  std::sort(d.begin(), d.end());
  return d;
}

TEST(Affinities, HaveTheEntropyThatWasAsked) {
  for (const double unit : {1e-60, 1e-20, 1.0, 1e30, 1e75}) {
    for (const double perplexity : {1.01, 2.0, 5.0, 30.0, 80.0, 89.0}) {
      const std::vector<double> d = squares(90, unit, 11);
      std::vector<double> p(90);
      const RowAffinities row = affinities_of_entropy(d, std::log(perplexity), p);
      EXPECT_TRUE(row.reached) << unit << " " << perplexity;
      EXPECT_NEAR(entropy(p), std::log(perplexity), 1e-5) << unit << " " << perplexity;
      EXPECT_NEAR(std::accumulate(p.begin(), p.end(), 0.0), 1.0, 1e-14);
      // They are what their β makes of the distances.
      EXPECT_NEAR(std::log(p[0] / p[1]), row.beta * (d[1] - d[0]),
                  1e-9 * (1.0 + row.beta * (d[1] - d[0])));
    }
  }
}

TEST(Affinities, OfDistancesOfVeryDifferentSizeHaveTheirEntropy) {
  std::vector<double> d;
  for (int j = 0; j < 60; ++j) d.push_back(std::pow(10.0, j - 30));
  std::vector<double> p(d.size());
  for (const double perplexity : {1.5, 10.0, 40.0}) {
    ASSERT_TRUE(affinities_of_entropy(d, std::log(perplexity), p).reached);
    EXPECT_NEAR(entropy(p), std::log(perplexity), 1e-5);
  }
}

// To the ends of what squares of floats can be: exp(400) lies between where the search begins and
// where it ends.
TEST(Affinities, OfTwoDistantGroupsHaveTheirEntropy) {
  std::vector<double> d;
  for (int j = 0; j < 60; ++j) d.push_back((j < 10 ? 1e-88 : 1e82) * (1.0 + j));
  std::vector<double> p(d.size());
  for (const double perplexity : {1.5, 5.0, 9.9, 40.0}) {
    ASSERT_TRUE(affinities_of_entropy(d, std::log(perplexity), p).reached) << perplexity;
    EXPECT_NEAR(entropy(p), std::log(perplexity), 1e-5);
  }
}

TEST(Affinities, OfManyEqualNearestNeighboursAreEven) {
  std::vector<double> d = {4, 4, 4, 4, 4, 9, 16};
  std::vector<double> p(d.size());
  const RowAffinities row = affinities_of_entropy(d, std::log(3.0), p);
  EXPECT_FALSE(row.reached);
  EXPECT_EQ(p, (std::vector<double>{0.2, 0.2, 0.2, 0.2, 0.2, 0, 0}));
  // As many as the perplexity: it is reached in the limit.
  EXPECT_TRUE(affinities_of_entropy(d, std::log(5.0), p).reached);
  EXPECT_EQ(p[4], 0.2);
  EXPECT_TRUE(affinities_of_entropy(d, std::log(6.0), p).reached);
  EXPECT_NEAR(entropy(p), std::log(6.0), 1e-5);
  d.assign(7, 0.0);
  EXPECT_FALSE(affinities_of_entropy(d, std::log(3.0), p).reached);
  EXPECT_EQ(p[6], 1.0 / 7.0);
}

TEST(Affinities, OfABandwidthAreItsGaussian) {
  const std::vector<double> d = {0.5, 1.0, 4.0};
  std::vector<double> p(3);
  affinities_of_beta(d, 0.25, p);
  EXPECT_NEAR(p[0] / p[2], std::exp(0.25 * 3.5), 1e-14);
  EXPECT_NEAR(p[0] + p[1] + p[2], 1.0, 1e-15);
  // Of none, and of all.
  affinities_of_beta(d, std::numeric_limits<double>::infinity(), p);
  EXPECT_EQ(p, (std::vector<double>{1, 0, 0}));
  affinities_of_beta(d, 0.0, p);
  EXPECT_EQ(p, std::vector<double>(3, 1.0 / 3.0));
}

// Neighbours on a ring with one that nobody chose back.
TEST(AffinityGraph, IsTheSumOfBothDirectionsOverTwiceTheRows) {
  ThreadPool threads(2);
  const std::int64_t n = 700, k = 3;
  Matrix<std::int32_t> indices(n, k);
  Matrix<float> p(n, k);
  std::map<std::pair<std::int64_t, std::int64_t>, double> expected;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t others[3] = {(i + 1) % n, (i + n - 1) % n, i == 5 ? 100 : 5};
    for (std::int64_t j = 0; j < k; ++j) {
      indices(i, j) = static_cast<std::int32_t>(others[j]);
      p(i, j) = static_cast<float>(j + 1) / 6.0f;
      const double share = static_cast<double>(p(i, j)) / (2.0 * static_cast<double>(n));
      expected[{i, others[j]}] += share;
      expected[{others[j], i}] += share;
    }
  }
  // Rows 4 and 6 have row 5 twice: once is another neighbour then.
  indices(4, 2) = indices(6, 2) = 300;
  for (const std::int64_t i : {4, 6}) {
    const double share = 0.5 / (2.0 * static_cast<double>(n));
    expected[{i, 5}] -= share;
    expected[{5, i}] -= share;
    expected[{i, 300}] += share;
    expected[{300, i}] += share;
  }
  const Graph graph = symmetric({threads, 2}, indices.view(), p.view());
  ASSERT_EQ(graph.n_rows(), n);
  ASSERT_EQ(graph.size(), static_cast<std::int64_t>(expected.size()));
  auto entry = expected.begin();
  double total = 0.0;
  for (std::int64_t i = 0; i < n; ++i) {
    for (auto e = static_cast<std::size_t>(graph.starts[static_cast<std::size_t>(i)]);
         e < static_cast<std::size_t>(graph.starts[static_cast<std::size_t>(i + 1)]);
         ++e, ++entry) {
      EXPECT_EQ(entry->first, std::make_pair(i, static_cast<std::int64_t>(graph.columns[e])));
      EXPECT_NEAR(graph.values[e], entry->second,
                  2 * std::numeric_limits<float>::epsilon() * entry->second);
      total += static_cast<double>(graph.values[e]);
    }
  }
  EXPECT_NEAR(total, 1.0, 1e-6);
}

TEST(AffinityGraph, OfSeveralPerplexitiesIsTheMeanOfEach) {
  ThreadPool threads(1);
  const std::vector<double> d = squares(60, 1.0, 5);
  Matrix<double> row(1, 60);
  std::copy(d.begin(), d.end(), row.data());
  Matrix<float> both(1, 60), one(1, 60), other(1, 60);
  EXPECT_EQ(conditional({threads, 1}, row.view(), {{5.0, 20.0}, {}}, both.view()), 0);
  conditional({threads, 1}, row.view(), {{5.0}, {}}, one.view());
  conditional({threads, 1}, row.view(), {{20.0}, {}}, other.view());
  for (std::int64_t j = 0; j < 60; ++j) {
    EXPECT_NEAR(both(0, j), 0.5f * (one(0, j) + other(0, j)), 1e-7);
  }
}

TEST(AffinityGraph, TakesThreeTimesTheLargestPerplexity) {
  EXPECT_EQ(neighbors_of({30.0}, 1000), 90);
  EXPECT_EQ(neighbors_of({5.0, 50.0}, 1000), 150);
  EXPECT_EQ(neighbors_of({30.0}, 60), 59);
  EXPECT_EQ(neighbors_of({1.1}, 60), 3);
}

}  // namespace
}  // namespace culatent::affinities
