#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "host/affinities_cuda.hpp"
#include "host/random.hpp"
#include "kernels/cuda/prefix_sums.hpp"
#include "tests/cuda/cuda_test.hpp"

// Affinities on a device against their definition in long double, and the graph's bits.
namespace culatent::affinities {
namespace {

using Real = long double;

constexpr Real kUnit = std::numeric_limits<float>::epsilon() / 2.0L;   // of one rounding
constexpr Real kWide = std::numeric_limits<double>::epsilon() / 2.0L;  // and in double

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

double uniform(std::uint64_t seed, std::int64_t row, std::int64_t column) {
  return random::uniform(seed, random::Stream::positions, static_cast<std::uint64_t>(row),
                         static_cast<std::uint32_t>(column));
}

// Rows of ascending squares, [N, k].
struct Squares {
  Squares(std::int64_t n_rows, std::int64_t n_neighbors, double unit)
      : n(n_rows), k(n_neighbors), values(at(n * k)) {
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < k; ++j)
        values[at(i * k + j)] = unit * (1.0 + 3.0 * uniform(5, i, j));
      std::sort(row(i), row(i) + k);
    }
  }
  double* row(std::int64_t i) { return values.data() + i * k; }
  const double* row(std::int64_t i) const { return values.data() + i * k; }

  std::int64_t n, k;
  std::vector<double> values;
};

// exp(−β x) / sum of one row by its definition, and the entropy.
struct Row {
  Row(const double* squares, std::int64_t k, Real beta) {
    Real sum = 0.0L;
    for (std::int64_t j = 0; j < k; ++j) {
      const Real excess = static_cast<Real>(squares[j]) - static_cast<Real>(squares[0]);
      p.push_back(excess == 0.0L ? 1.0L : std::exp(-beta * excess));
      sum += p.back();
    }
    for (Real& value : p) {
      value /= sum;
      if (value > 0.0L) entropy -= value * std::log(value);
    }
  }
  std::vector<Real> p;
  Real entropy = 0.0L;
};

class AffinitiesOnDevice : public CudaTest {
 protected:
  struct Found {
    std::vector<float> p;
    std::vector<double> beta;
    RowCounts counts;
  };
  Found find(const Squares& squares, const Bandwidth& bandwidth) {
    const auto input = to_device(squares.values);
    auto p = blank<float>(squares.n * squares.k);
    const auto beta = blank<double>(squares.n);
    const RowCounts counts = conditional(backend(), input, squares.k, bandwidth, p,
                                         bandwidth.sigma ? nullptr : beta.data());
    return {to_host(p), to_host(beta), counts};
  }

  // p is what its β makes of the squares, and that β has the entropy.
  void expect_entropy(const Squares& squares, double perplexity) {
    SCOPED_TRACE(testing::Message() << squares.n << " x " << squares.k << ", perplexity "
                                    << perplexity << ", from " << squares.values[0]);
    const Found found = find(squares, {{perplexity}, {}});
    EXPECT_EQ(found.counts.n_unreached, 0u);
    for (std::int64_t i = 0; i < squares.n; ++i) {
      const Row row(squares.row(i), squares.k, found.beta[at(i)]);
      // The search ends within kEntropyTolerance by sums of k terms in double.
      const Real tolerance = 1e-10L + static_cast<Real>(squares.k + 64) * kWide;
      ASSERT_LE(std::abs(row.entropy - std::log(static_cast<Real>(perplexity))), tolerance) << i;
      for (std::int64_t j = 0; j < squares.k; ++j) {
        const Real p = row.p[at(j)];
        // β x is rounded thrice, and p changes by as much of itself.
        const Real of_exponent = -std::log(std::max(p, 1e-300L)) * 8.0L * kWide;
        // Numbers of float below 1e-38 are coarser.
        ASSERT_LE(std::abs(static_cast<Real>(found.p[at(i * squares.k + j)]) - p),
                  (1.01L * kUnit + of_exponent) * p + 1e-45L)
            << i << " " << j;
      }
    }
  }
};

TEST_F(AffinitiesOnDevice, HaveTheEntropyThatWasAskedForAnyNumberOfNeighbours) {
  for (const std::int64_t k : {2, 31, 32, 33, 90, 129, 300}) {
    for (const double part : {0.02, 0.3, 0.95}) {
      const double perplexity = std::max(1.01, part * static_cast<double>(k));
      expect_entropy(Squares(19, k, 1.0), perplexity);
    }
  }
}

TEST_F(AffinitiesOnDevice, HaveTheEntropyThatWasAskedForDistancesOfAnySize) {
  for (const double unit : {1e-80, 1e-20, 1e30, 1e75}) {
    for (const double perplexity : {2.0, 30.0}) expect_entropy(Squares(3, 40, unit), perplexity);
  }
  // Of very different size in one row, to the ends of what squares of floats can be.
  Squares wide(2, 60, 1.0);
  for (std::int64_t j = 0; j < 60; ++j) {
    wide.row(0)[j] = std::pow(10.0, static_cast<double>(j - 30));
    wide.row(1)[j] = (j < 10 ? 1e-88 : 1e82) * (1.0 + static_cast<double>(j));
  }
  for (const double perplexity : {1.5, 5.0, 40.0}) expect_entropy(wide, perplexity);
}

// Those that equal the nearest share evenly where they are more than the perplexity.
TEST_F(AffinitiesOnDevice, OfManyEqualNearestNeighboursAreEven) {
  Squares squares(4, 7, 1.0);
  const double rows[4][7] = {
      {4, 4, 4, 4, 4, 9, 16}, {0, 0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0, 1}, {0, 1, 2, 3, 4, 5, 6}};
  for (std::int64_t i = 0; i < 4; ++i) std::copy_n(rows[i], 7, squares.row(i));
  const Found found = find(squares, {{3.0}, {}});
  EXPECT_EQ(found.counts.n_unreached, 3u);
  EXPECT_EQ(found.counts.n_equal, 1u);
  const int n_least[3] = {5, 7, 6};
  for (std::int64_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(std::isinf(found.beta[at(i)]));
    for (std::int64_t j = 0; j < 7; ++j) {
      EXPECT_EQ(found.p[at(7 * i + j)],
                j < n_least[i] ? 1.0f / static_cast<float>(n_least[i]) : 0.0f);
    }
  }
  EXPECT_NEAR(static_cast<double>(Row(rows[3], 7, found.beta[3]).entropy), std::log(3.0), 1e-9);
  // A row counts once, and where any of its perplexities is out of reach.
  EXPECT_EQ(find(squares, {{3.0, 6.0}, {}}).counts.n_unreached, 3u);
  // As many as the perplexity: it is reached in the limit. One neighbour has no entropy.
  EXPECT_EQ(find(squares, {{5.0}, {}}).counts.n_unreached, 2u);
  const Found one = find(Squares(3, 1, 2.0), {{1.5}, {}});
  EXPECT_EQ(one.counts.n_unreached, 3u);
  EXPECT_EQ(one.p, (std::vector<float>{1, 1, 1}));
  // More than there are neighbours is out of reach, and nothing that is no number.
  const Found beyond = find(Squares(2, 5, 1.0), {{6.0}, {}});
  EXPECT_EQ(beyond.counts.n_unreached, 2u);
  for (const float p : beyond.p) EXPECT_NEAR(p, 0.2f, 1e-6f);
}

TEST_F(AffinitiesOnDevice, OfABandwidthAreItsGaussian) {
  const Squares squares(9, 50, 3.0);
  for (const double sigma : {1e-200, 0.3, 2.0, 1e200}) {
    const Found found = find(squares, {{}, sigma});
    EXPECT_EQ(found.counts.n_unreached, 0u);
    for (std::int64_t i = 0; i < squares.n; ++i) {
      const Row row(squares.row(i), squares.k,
                    0.5L / (static_cast<Real>(sigma) * static_cast<Real>(sigma)));
      for (std::int64_t j = 0; j < squares.k; ++j) {
        const Real p = row.p[at(j)];
        ASSERT_LE(std::abs(static_cast<Real>(found.p[at(i * squares.k + j)]) - p),
                  (1.01L * kUnit - std::log(std::max(p, 1e-300L)) * 8.0L * kWide) * p + 1e-45L);
      }
    }
  }
}

TEST_F(AffinitiesOnDevice, OfSeveralPerplexitiesAreTheMeanOfEach) {
  const Squares squares(6, 60, 1.0);
  const std::vector<double> perplexities = {5.0, 20.0, 45.0};
  const Found found = find(squares, {perplexities, {}});
  std::vector<Real> mean(found.p.size());
  for (const double perplexity : perplexities) {
    const Found one = find(squares, {{perplexity}, {}});
    if (perplexity == 5.0) {
      EXPECT_EQ(found.beta, one.beta);
    }
    for (std::size_t e = 0; e < mean.size(); ++e) mean[e] += static_cast<Real>(one.p[e]) / 3.0L;
  }
  for (std::size_t e = 0; e < mean.size(); ++e) {
    EXPECT_LE(std::abs(static_cast<Real>(found.p[e]) - mean[e]), 6.0L * kUnit * mean[e]);
  }
}

// ---- graphs -------------------------------------------------------------------------------------

// Neighbours [N, k] and p_j|i > 0 of them.
struct Directed {
  Directed(std::int64_t n_rows, std::int64_t n_neighbors)
      : n(n_rows), k(n_neighbors), indices(n, k), p(n, k) {
    for (std::int64_t at = 0; at < p.size(); ++at) {
      p.data()[at] = static_cast<float>(0.01 + uniform(8, at, 1));
    }
  }
  std::int64_t n, k;
  Matrix<std::int32_t> indices;
  Matrix<float> p;
};

// Rows take neighbours anywhere, no one twice, and `hub` first where that is a row.
Directed scattered_neighbors(std::int64_t n, std::int64_t k, std::int64_t hub) {
  Directed graph(n, k);
  for (std::int64_t i = 0; i < n; ++i) {
    std::vector<std::int32_t> others;
    if (hub >= 0 && hub != i) others.push_back(static_cast<std::int32_t>(hub));
    for (std::int64_t draw = 0; static_cast<std::int64_t>(others.size()) < k; ++draw) {
      // All of them in turn where chance takes too long.
      const auto other = static_cast<std::int32_t>(
          draw < 4 * k ? static_cast<std::int64_t>(uniform(3, i, draw) * static_cast<double>(n))
                       : draw - 4 * k);
      if (other != i && std::find(others.begin(), others.end(), other) == others.end()) {
        others.push_back(other);
      }
    }
    std::copy(others.begin(), others.end(), graph.indices.view().row(i));
  }
  return graph;
}

class AffinityGraphOnDevice : public CudaTest {
 protected:
  // By its definition, in long double; and with the bits of the CPU's.
  void expect_graph(const Directed& directed) {
    SCOPED_TRACE(testing::Message() << directed.n << " x " << directed.k);
    const std::int64_t n = directed.n, size = n * directed.k;
    std::map<std::pair<std::int64_t, std::int64_t>, Real> expected;
    for (std::int64_t e = 0; e < size; ++e) {
      const std::int64_t i = e / directed.k, j = directed.indices.data()[e];
      const Real share = static_cast<Real>(directed.p.data()[e]) / (2.0L * static_cast<Real>(n));
      expected[{i, j}] += share;
      expected[{j, i}] += share;
    }
    const std::vector<std::int32_t> indices(directed.indices.data(),
                                            directed.indices.data() + size);
    const std::vector<float> p(directed.p.data(), directed.p.data() + size);
    const DeviceGraph there = symmetric(backend(), to_device(indices), to_device(p), directed.k);
    const Graph graph = download(there);
    ASSERT_EQ(graph.n_rows(), n);
    ASSERT_EQ(graph.size(), static_cast<std::int64_t>(expected.size()));
    auto entry = expected.begin();
    Real total = 0.0L, entropy = 0.0L;
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t e = graph.starts[at(i)]; e < graph.starts[at(i + 1)]; ++e, ++entry) {
        ASSERT_EQ(entry->first, std::make_pair(i, std::int64_t{graph.columns[at(e)]}));
        // The sum, 1 / 2 N and their product are rounded.
        const auto value = static_cast<Real>(graph.values[at(e)]);
        ASSERT_LE(std::abs(value - entry->second), 3.01L * kUnit * entry->second) << i;
        total += value;
        entropy += value * std::log(value);
      }
    }
    ThreadPool threads(1);
    const Graph host = symmetric({threads, 1}, directed.indices.view(), directed.p.view());
    EXPECT_EQ(graph.starts, host.starts);
    EXPECT_EQ(graph.columns, host.columns);
    EXPECT_EQ(graph.values, host.values);
    const GraphSums sums = affinities::sums(backend(), there);
    const auto terms = static_cast<Real>(graph.size() + 16);
    EXPECT_LE(std::abs(static_cast<Real>(sums.total) - total), terms * kWide * total);
    EXPECT_LE(std::abs(static_cast<Real>(sums.entropy) - entropy),
              terms * kWide * std::abs(entropy));
  }
};

TEST_F(AffinityGraphOnDevice, IsTheSumOfBothDirectionsOverTwiceTheRows) {
  for (const std::int64_t k : {1, 2, 31, 32, 33, 90}) {
    for (const std::int64_t n : {k + 1, k + 2, std::int64_t{150}}) {
      expect_graph(scattered_neighbors(n, k, -1));
    }
  }
}

// Rows of up to N − 1 edges that come in, for each of the ways of sorting and around their ends.
TEST_F(AffinityGraphOnDevice, HoldsHubs) {
  expect_graph(scattered_neighbors(200, 3, 7));
  for (const std::int64_t n : {510, 511, 512, 700}) expect_graph(scattered_neighbors(n, 2, n / 2));
  expect_graph(scattered_neighbors(4096, 1, 4095));
  expect_graph(scattered_neighbors(4100, 1, 0));
}

TEST_F(AffinityGraphOnDevice, HoldsAllPairs) { expect_graph(scattered_neighbors(280, 279, -1)); }

// A row that no one chose has its own neighbours alone.
TEST_F(AffinityGraphOnDevice, OfARingHasRowsThatNoOneChose) {
  Directed ring(40, 2);
  for (std::int64_t i = 0; i < 40; ++i) {
    ring.indices(i, 0) = static_cast<std::int32_t>(i < 20 ? (i + 1) % 20 : i - 20);
    ring.indices(i, 1) = static_cast<std::int32_t>(i < 20        ? (i + 19) % 20
                                                   : i - 19 < 20 ? i - 19
                                                                 : 0);
  }
  expect_graph(ring);
}

TEST_F(AffinityGraphOnDevice, CountsAreAddedUpForAnyNumber) {
  for (const std::int64_t n : {1, 255, 1023, 1024, 1025, 5000, 300'000}) {
    std::vector<std::int32_t> counts(at(n));
    for (std::int64_t i = 0; i < n; ++i)
      counts[at(i)] = static_cast<std::int32_t>(i % 7 == 3 ? 0 : 2'000'000'000 - i);
    const auto input = to_device(counts);
    const auto sums = blank<std::int64_t>(n + 2), scratch = blank<std::int64_t>(prefix_scratch(n));
    exclusive_sums(backend(), input.data(), n, sums.data(), scratch.data());
    const std::vector<std::int64_t> found = to_host(sums);
    std::int64_t expected = 0;
    for (std::int64_t i = 0; i <= n; ++i) {
      ASSERT_EQ(found[at(i)], expected) << n << " " << i;
      if (i < n) expected += counts[at(i)];
    }
    EXPECT_EQ(found[at(n + 1)], -1);
  }
}

}  // namespace
}  // namespace culatent::affinities
