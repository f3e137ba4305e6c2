#include "kernels/cuda/kmeans_screen.hpp"

#include <algorithm>
#include <array>

#include "tests/cuda/kmeans_case.hpp"

namespace culatent {
namespace {

struct Screened {
  std::vector<std::int32_t> labels;
  kmeans::PassCounters counters;
  std::uint32_t n_first = 0;  // in doubt after the first look
};

class KMeansScreen : public KMeansSteps {
 protected:
  void SetUp() override {
    KMeansSteps::SetUp();
    if (!IsSkipped() && !kmeans::can_screen(backend(), 1)) {
      GTEST_SKIP() << "no tensor cores for bf16";
    }
  }

  // `before` empty: nobody counts.
  Screened screen(const KMeansCase<float>& c, int n_products,
                  const std::vector<std::int32_t>& before = {}) {
    const PlacedCase<float> p = place(c);
    const std::int64_t padded = kmeans::packed_clusters(c.k);
    const auto fragments = blank<std::uint32_t>(kmeans::screen_elements(c.k, c.d) + kMargin);
    const auto starts = blank<float>(padded + kMargin), lengths = blank<float>(padded + kMargin);
    const auto spreads = blank<float>(2 + kMargin);
    const auto first_rows = blank<std::uint32_t>(c.n + kMargin), first = blank<std::uint32_t>(1);
    const auto rows = blank<std::uint32_t>(c.n + kMargin), count = blank<std::uint32_t>(1);
    auto labels = blank<std::int32_t>(c.n + kMargin);
    labels.upload(before.data(), static_cast<std::int64_t>(before.size()));
    const auto counters = to_device(std::vector<kmeans::PassCounters>(1));
    const kmeans::DeviceScreen memory{fragments.data(),
                                      starts.data(),
                                      lengths.data(),
                                      spreads.data(),
                                      {first_rows.data(), first.data()}};
    kmeans::prepare_screen(backend(), c.d, p.centres, memory);
    kmeans::screen_nearest(backend(), p.rows, p.centres, memory, n_products,
                           {rows.data(), count.data()}, labels.data(),
                           before.empty() ? nullptr : counters.data());
    inside(fragments);
    inside(starts);
    inside(lengths);
    inside(spreads);
    inside(first_rows);
    inside(rows);
    return {inside(labels), to_host(counters).front(), c.n == 0 ? 0 : to_host(first).front()};
  }

  std::vector<std::int32_t> nearest(const KMeansCase<float>& c) {
    const PlacedCase<float> p = place(c);
    const auto rows = blank<std::uint32_t>(c.n), count = blank<std::uint32_t>(1);
    const auto labels = blank<std::int32_t>(c.n);
    kmeans::nearest(backend(), p.rows, p.centres, {rows.data(), count.data()}, labels.data(),
                    nullptr);
    return to_host(labels);
  }

  // The exact answer, the lowest of ties, wherever double can tell; and always that of nearest().
  // With one product, then with three.
  std::array<Screened, 2> expect_nearest(const KMeansCase<float>& c) {
    SCOPED_TRACE(c.name());
    std::vector<std::int32_t> exact;
    std::vector<bool> sure;
    const Real unit = static_cast<Real>(c.d + 2) * std::numeric_limits<double>::epsilon();
    unsigned long long n_moved = 0;
    const std::vector<std::int32_t> labels = nearest(c);
    for (std::int64_t i = 0; i < c.n; ++i) {
      Real least = c.distance(i, 0), second = std::numeric_limits<Real>::max();
      std::int32_t label = 0;
      for (std::int32_t k = 1; k < c.k; ++k) {
        const Real distance = c.distance(i, k);
        second = std::min(second, std::max(distance, least));
        if (distance < least) label = k;
        least = std::min(least, distance);
      }
      exact.push_back(label);
      sure.push_back(second == least || second > least * (1 + unit));
      n_moved += labels[at(i)] != 0 && c.weight(i) != 0.0 ? 1U : 0U;
    }
    std::array<Screened, 2> results;
    for (const int n_products : {1, 3}) {
      SCOPED_TRACE(n_products);
      Screened found = screen(c, n_products, std::vector<std::int32_t>(at(c.n), 0));
      EXPECT_EQ(found.labels, labels);
      for (std::int64_t i = 0; i < c.n; ++i) {
        if (sure[at(i)] && found.labels[at(i)] != exact[at(i)]) {
          ADD_FAILURE() << "row " << i << ": " << found.labels[at(i)] << ", not " << exact[at(i)];
          break;
        }
      }
      EXPECT_EQ(found.counters.n_moved, n_moved);
      EXPECT_LE(found.counters.n_refined, found.n_first);
      EXPECT_EQ(screen(c, n_products).labels, labels);
      results[n_products == 1 ? 0 : 1] = std::move(found);
    }
    return results;
  }

  // Rows whose two nearest differ by no more than `share` of |x'| |c| for the longest c.
  static std::uint32_t n_close(const KMeansCase<float>& c, Real share) {
    Real longest = 0;
    const auto square = [&](auto&& value) {
      Real sum = 0;
      for (std::int64_t j = 0; j < c.d; ++j) sum += value(j) * value(j);
      return sum;
    };
    for (std::int64_t k = 0; k < c.k; ++k) {
      longest = std::max(longest, square([&](std::int64_t j) {
                           return static_cast<Real>(c.centroids[at(k * c.d + j)]);
                         }));
    }
    longest = std::sqrt(longest);
    std::uint32_t count = 0;
    for (std::int64_t i = 0; i < c.n; ++i) {
      std::vector<Real> scores;
      for (std::int64_t k = 0; k < c.k; ++k) scores.push_back(c.distance(i, k) / 2);
      std::partial_sort(scores.begin(), scores.begin() + 2, scores.end());
      const Real norm =
          std::sqrt(square([&](std::int64_t j) { return static_cast<Real>(c.framed(i, j)); }));
      count += scores[1] - scores[0] <= share * norm * longest ? 1U : 0U;
    }
    return count;
  }
};

TEST_F(KMeansScreen, FindsTheNearestOfAnyRows) {
  for (const std::int64_t n : {1, 127, 128, 129, 1025}) {
    expect_nearest(KMeansCase<float>(n, 5, 9).weigh());
  }
}

TEST_F(KMeansScreen, FindsTheNearestForAnyFeatures) {
  for (const std::int64_t d : {1, 2, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 128, 300}) {
    expect_nearest(KMeansCase<float>(130, d, 11));
  }
}

TEST_F(KMeansScreen, FindsTheNearestOfAnyCentroids) {
  for (const std::int64_t k : {1, 2, 5, 63, 64, 65, 127, 128, 129, 300}) {
    expect_nearest(KMeansCase<float>(140, 4, k));
    expect_nearest(KMeansCase<float>(129, 40, k));
  }
}

TEST_F(KMeansScreen, StagesRowsThatDoNotFitBesideEachPanel) {
  expect_nearest(KMeansCase<float>(130, 900, 130));
  expect_nearest(KMeansCase<float>(129, 901, 3));
}

TEST_F(KMeansScreen, TakesPiecesOfFourWhereTheyAreAligned) {
  for (const std::int64_t d : {4, 36, 64}) {
    KMeansCase<float> c(150, d, 20);
    std::vector<float> wider(at((c.n + 1) * (d + 4)), std::numeric_limits<float>::quiet_NaN());
    for (std::int64_t i = 0; i < c.n; ++i) {
      for (std::int64_t j = 0; j < d; ++j)
        wider[at(i * (d + 4) + j)] = c.values[at(i * c.stride + j)];
    }
    c.values = wider;
    c.stride = d + 4;
    expect_nearest(c);
  }
}

TEST_F(KMeansScreen, TakesTheLowestOfTies) {
  // Rows and centroids on a grid: distances are exact, and many are the same.
  for (const std::int64_t k : {5, 40, 200}) {
    KMeansCase<float> c(300, 3, k);
    Draws draws(7);
    std::fill(c.offset.begin(), c.offset.end(), 0.0F);
    for (float& value : c.centroids) value = static_cast<float>(draws.below(3) - 1);
    for (std::int64_t i = 0; i < c.n; ++i) {
      for (std::int64_t j = 0; j < c.d; ++j) {
        c.put(i, j, 0.5 * static_cast<double>(draws.below(5) - 2));
      }
    }
    const std::uint32_t n_ties = n_close(c, 0);
    for (const Screened& found : expect_nearest(c)) {
      EXPECT_GT(n_ties, 0U);
      EXPECT_GE(found.counters.n_refined, n_ties);
    }
  }
}

TEST_F(KMeansScreen, TakesTheLowestOfCopies) {
  KMeansCase<float> c(200, 3, 150);
  for (std::int64_t i = 64 * c.d; i < 150 * c.d; ++i) c.centroids[at(i)] = c.centroids[at(i % 192)];
  for (const Screened& found : expect_nearest(c)) {
    for (const std::int32_t label : found.labels) EXPECT_LT(label, 64);
  }
  std::fill(c.centroids.begin(), c.centroids.end(), 0.5F);
  for (const Screened& found : expect_nearest(c)) {
    EXPECT_EQ(found.labels, std::vector<std::int32_t>(200, 0));
    EXPECT_EQ(found.counters.n_refined, 200U);
  }
}

// The worst that rounding can do: with one feature it is as large as the bound allows.
//
// All numbers have about the digits of `worst`, of which one part of bf16 leaves nearly 2⁻⁸, and
// two nearly 2⁻¹⁷. One centroid is negative, so that both scores are off in opposite directions;
// rows pass the middle in small steps, the second time through every float.
TEST_F(KMeansScreen, HoldsTheBoundWhereRoundingIsWorst) {
  constexpr double kWorst = 1 + 0x1p-8 - 0x1p-17 - 0x1p-23;
  for (const double reach : {0x1p-6, 0x1p-13}) {
    for (const double sign : {1.0, -1.0}) {
      KMeansCase<float> c(8192, 1, 2);
      c.scale = 1.0F;
      c.offset[0] = 0.0F;
      c.centroids = {static_cast<float>(sign * kWorst), static_cast<float>(-0.5 * sign * kWorst)};
      for (std::int64_t i = 0; i < c.n; ++i) {
        const double share = static_cast<double>(i - c.n / 2) / static_cast<double>(c.n / 2);
        c.put(i, 0, 0.25 * sign * kWorst * (1 + reach * share));
      }
      const std::array<Screened, 2> found = expect_nearest(c);
      EXPECT_GT(found[0].n_first, 2000U);
      EXPECT_LT(found[1].n_first, 6000U);
    }
  }
}

// Many features, each rounded as badly as can be, in the direction that hurts.
TEST_F(KMeansScreen, HoldsTheBoundWhereErrorsAddUp) {
  for (const std::int64_t d : {16, 128}) {
    KMeansCase<float> c(2000, d, 2);
    c.scale = 1.0F;
    std::fill(c.offset.begin(), c.offset.end(), 0.0F);
    for (std::int64_t j = 0; j < d; ++j) {
      c.centroids[at(j)] = 1.25F + 0x1p-8F - 0x1p-20F;
      c.centroids[at(d + j)] = -0.75F - 0x1p-9F + 0x1p-20F;
    }
    const double middle = 0.5 * (static_cast<double>(c.centroids[0]) + c.centroids[at(d)]);
    for (std::int64_t i = 0; i < c.n; ++i) {
      const double share = static_cast<double>(i - c.n / 2) / static_cast<double>(c.n / 2);
      for (std::int64_t j = 0; j < d; ++j) c.put(i, j, middle * (1 + 0x1p-4 * share));
    }
    expect_nearest(c);
  }
}

TEST_F(KMeansScreen, TellsScoresApartThatAreTheSameInBf16) {
  KMeansCase<float> c(400, 24, 60);
  Draws draws(5);
  for (std::int64_t k = 0; k < c.k; ++k) {
    for (std::int64_t j = 0; j < c.d; ++j) {
      c.centroids[at(k * c.d + j)] =
          c.centroids[at(k % 3 * c.d + j)] * static_cast<float>(1 + draws.uniform(0, 0x1p-12));
    }
  }
  const std::array<Screened, 2> found = expect_nearest(c);
  EXPECT_GT(found[0].n_first, 390U);
}

TEST_F(KMeansScreen, LooksAgainBetweenCentroids) {
  KMeansCase<float> c(300, 20, 30);
  Draws draws(6);
  for (std::int64_t i = 0; i < c.n; ++i) {
    const std::int64_t a = draws.below(c.k), b = draws.below(c.k);
    for (std::int64_t j = 0; j < c.d; ++j) {
      c.put(i, j,
            0.5 * (static_cast<double>(c.centroids[at(a * c.d + j)]) +
                   static_cast<double>(c.centroids[at(b * c.d + j)])));
    }
  }
  expect_nearest(c);
}

// Between what must be in doubt and what the documented bounds allow to be.
TEST_F(KMeansScreen, LeavesFewRowsInDoubt) {
  for (const std::int64_t d : {8, 64}) {
    const KMeansCase<float> c(1500, d, 40);
    const std::array<Screened, 2> found = expect_nearest(c);
    // 2 (e |c| + κ |c|² / 2) of both, e at most (2⁻⁷ + 2⁻¹⁶) |x'|.
    EXPECT_LE(found[0].n_first, n_close(c, 4 * 1.02 * 0x1p-7));
    EXPECT_LE(found[1].n_first, n_close(c, 4 * 1.5 * 0x1p-12));
    EXPECT_LT(found[0].n_first, 300U);
    EXPECT_LT(found[1].n_first, 20U);
    EXPECT_LE(found[1].counters.n_refined, found[1].n_first);
  }
}

TEST_F(KMeansScreen, IsNotPutOffByFarCentroids) {
  for (const double length : {300.0, 1e6, 1e15}) {
    KMeansCase<float> c(600, 8, 40);
    for (std::int64_t j = 0; j < c.d; ++j) {
      c.centroids[at(3 * c.d + j)] = static_cast<float>(length);
      c.centroids[at(7 * c.d + j)] = static_cast<float>(-2 * length);
      for (std::int64_t i = 0; i < 40; ++i) {
        c.put(i, j, 0.04 * length * static_cast<double>(i));
        c.put(40 + i, j, length * (0.5 + 1e-6 * static_cast<double>(i - 20)));
      }
    }
    const std::array<Screened, 2> all = expect_nearest(c);
    EXPECT_LT(all[0].n_first, 200U);
    EXPECT_LT(all[1].n_first, 100U);
    c.beyond = static_cast<float>(length);
    const std::array<Screened, 2> most = expect_nearest(c);
    EXPECT_GT(most[1].counters.n_refined, 40U);
    EXPECT_LT(most[1].counters.n_refined, 200U);
  }
}

TEST_F(KMeansScreen, LooksAgainWhereScoresAreOfNoUse) {
  KMeansCase<float> c(200, 4, 7);
  Draws draws(3);
  c.scale = 1.0F;
  std::fill(c.offset.begin(), c.offset.end(), 0.0F);
  for (const double size : {1e30, 1e-30, 1000.0}) {
    for (float& value : c.centroids) {
      value = static_cast<float>(size * (1.0 + draws.uniform(0.0, 1e-6)));
    }
    for (std::int64_t i = 0; i < c.n; ++i) {
      for (std::int64_t j = 0; j < c.d; ++j) c.put(i, j, size * (1 + draws.uniform(0.0, 1e-6)));
    }
    for (const Screened& found : expect_nearest(c)) EXPECT_EQ(found.counters.n_refined, 200U);
  }
  c.beyond = 1e-3F;  // all left out
  for (const Screened& found : expect_nearest(c)) EXPECT_EQ(found.counters.n_refined, 200U);
}

TEST_F(KMeansScreen, TakesRowsOfLengthOne) {
  KMeansCase<float> c(131, 33, 5);
  for (std::int64_t j = 0; j < c.d; ++j)
    c.values[at(8 * c.stride + j)] = -c.offset[at(j)] / c.scale;
  const PlacedCase<float> p = place(c);
  const auto factors = blank<float>(c.n + kMargin);
  kmeans::unit_factors(backend(), p.rows, 0, factors.data(), nullptr);
  c.factors = inside(factors);
  for (float& value : c.centroids) value *= 0.06F;
  expect_nearest(c.weigh());
}

TEST_F(KMeansScreen, CountsWhatMovedAmongTheRefinedToo) {
  KMeansCase<float> c(130, 2, 4);
  std::fill(c.centroids.begin(), c.centroids.end(), 0.5F);
  c.weigh();
  std::vector<std::int32_t> before(at(c.n), 0);
  before[4] = 1;
  before[8] = 2;  // without weight
  before[129] = 3;
  for (const int n_products : {1, 3}) {
    const Screened found = screen(c, n_products, before);
    EXPECT_EQ(found.counters.n_moved, 2U);
    EXPECT_EQ(found.labels, std::vector<std::int32_t>(at(c.n), 0));
  }
}

TEST_F(KMeansScreen, TakesNoRows) {
  EXPECT_TRUE(screen(KMeansCase<float>(0, 2, 3), 1).labels.empty());
}

}  // namespace
}  // namespace culatent
