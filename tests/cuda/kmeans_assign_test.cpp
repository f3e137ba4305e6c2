#include "kernels/cuda/kmeans_assign.hpp"

#include <algorithm>
#include <functional>

#include "tests/cuda/kmeans_case.hpp"

namespace culatent {
namespace {

struct Assigned {
  std::vector<std::int32_t> labels;
  kmeans::PassCounters counters;
};

class KMeansNearest : public KMeansSteps {
 protected:
  // `before` empty: nobody counts.
  template <class T>
  Assigned assign(const KMeansCase<T>& c, const std::vector<std::int32_t>& before = {}) {
    const PlacedCase<T> p = place(c);
    const auto rows = blank<std::uint32_t>(c.n + kMargin), count = blank<std::uint32_t>(1);
    auto labels = blank<std::int32_t>(c.n + kMargin);
    labels.upload(before.data(), static_cast<std::int64_t>(before.size()));
    const auto counters = to_device(std::vector<kmeans::PassCounters>(1));
    kmeans::nearest(backend(), p.rows, p.centres, {rows.data(), count.data()}, labels.data(),
                    before.empty() ? nullptr : counters.data());
    inside(rows);
    return {inside(labels), to_host(counters).front()};
  }

  // Where two centroids are as near as double can tell, either will do.
  template <class T>
  Assigned expect_nearest(const KMeansCase<T>& c) {
    SCOPED_TRACE(c.name());
    const std::vector<std::int32_t> before(at(c.n), 0);
    const Assigned found = assign(c, before);
    const Real unit = static_cast<Real>(c.d + 2) * std::numeric_limits<double>::epsilon();
    unsigned long long n_moved = 0;
    for (std::int64_t i = 0; i < c.n; ++i) {
      const std::int64_t label = found.labels[at(i)];
      EXPECT_TRUE(label >= 0 && label < c.k) << i;
      if (label < 0 || label >= c.k) break;
      EXPECT_LE(c.distance(i, label), c.least(i) * (1 + unit)) << i;
      n_moved += label != 0 && c.weight(i) != 0.0 ? 1U : 0U;
    }
    EXPECT_EQ(found.counters.n_moved, n_moved);
    EXPECT_EQ(found.counters.n_refined, n_doubted(c));
    EXPECT_EQ(assign(c).labels, found.labels);
    return found;
  }

  // Rows whose best two scores, rounded after every feature, are closer than their errors may be,
  // and those that a centroid which was left out may be near.
  template <class T>
  static unsigned long long n_doubted(const KMeansCase<T>& c) {
    std::vector<T> halves;
    T longest{};
    for (std::int64_t k = 0; k < c.k; ++k) {
      Real square = 0;
      for (std::int64_t j = 0; j < c.d; ++j) {
        square += static_cast<Real>(c.centroids[at(k * c.d + j)]) * c.centroids[at(k * c.d + j)];
      }
      const bool screened = std::sqrt(square) <= static_cast<Real>(c.beyond);
      halves.push_back(screened ? static_cast<T>(-square / 2) : std::numeric_limits<T>::lowest());
      if (screened) longest = std::max(longest, static_cast<T>(std::sqrt(square)));
    }
    unsigned long long count = 0;
    for (std::int64_t i = 0; i < c.n && c.k > 1; ++i) {
      T square{};
      for (std::int64_t j = 0; j < c.d; ++j)
        square = std::fma(c.framed(i, j), c.framed(i, j), square);
      const T norm = c.factors.empty() ? std::sqrt(square) : T{1};
      std::vector<T> scores = halves;
      for (std::int64_t k = 0; k < c.k; ++k) {
        for (std::int64_t j = 0; j < c.d; ++j) {
          scores[at(k)] = std::fma(c.framed(i, j), c.centroids[at(k * c.d + j)], scores[at(k)]);
        }
      }
      std::partial_sort(scores.begin(), scores.begin() + 2, scores.end(), std::greater<>());
      const T slack = kmeans::score_slack<T>(c.d);
      const bool apart = kmeans::truly_apart(scores[0], scores[1], norm, longest, slack);
      const bool none_far = std::isinf(c.beyond);
      const bool nearer = none_far || kmeans::beats_far(scores[0], norm, c.beyond, slack);
      count += apart && nearer ? 0U : 1U;
    }
    return count;
  }

  // The exact answer, ties to the lowest: for cases whose distances double can hold.
  template <class T>
  static std::vector<std::int32_t> exact_labels(const KMeansCase<T>& c) {
    std::vector<std::int32_t> labels;
    for (std::int64_t i = 0; i < c.n; ++i) {
      std::int32_t best = 0;
      for (std::int32_t k = 1; k < c.k; ++k) {
        if (c.distance(i, k) < c.distance(i, best)) best = k;
      }
      labels.push_back(best);
    }
    return labels;
  }
};

TEST_F(KMeansNearest, FindsTheNearestOfAnyRows) {
  for (const std::int64_t n : {1, 127, 128, 129, 1025}) {
    expect_nearest(KMeansCase<float>(n, 5, 9));
    expect_nearest(KMeansCase<double>(n, 3, 4).weigh());
  }
}

TEST_F(KMeansNearest, FindsTheNearestForAnyFeatures) {
  for (const std::int64_t d : {1, 2, 7, 8, 9, 15, 16, 17, 33, 70}) {
    expect_nearest(KMeansCase<float>(130, d, 11).weigh());
    expect_nearest(KMeansCase<double>(65, d, 6));
  }
}

TEST_F(KMeansNearest, FindsTheNearestOfAnyCentroids) {
  for (const std::int64_t k : {1, 2, 31, 32, 33, 64, 65, 127, 128, 129, 300}) {
    expect_nearest(KMeansCase<float>(140, 4, k));
    expect_nearest(KMeansCase<double>(70, 3, k));
  }
}

TEST_F(KMeansNearest, TakesTheLowestOfTies) {
  // Rows and centroids on a grid: distances are exact, and many are the same.
  const auto on_grid = [](auto c) {
    Draws draws(7);
    using T = typename decltype(c.values)::value_type;
    std::fill(c.offset.begin(), c.offset.end(), T{0});
    for (T& value : c.centroids) value = static_cast<T>(draws.below(3) - 1);
    for (std::int64_t i = 0; i < c.n; ++i) {
      for (std::int64_t j = 0; j < c.d; ++j) {
        c.put(i, j, 0.5 * static_cast<double>(draws.below(5) - 2));
      }
    }
    return c;
  };
  for (const std::int64_t k : {5, 40, 200}) {
    const auto narrow = on_grid(KMeansCase<float>(300, 3, k));
    const auto wide = on_grid(KMeansCase<double>(150, 3, k));
    const Assigned found = expect_nearest(narrow);
    EXPECT_EQ(found.labels, exact_labels(narrow));
    EXPECT_GT(found.counters.n_refined, 0U);
    EXPECT_EQ(expect_nearest(wide).labels, exact_labels(wide));
  }
}

TEST_F(KMeansNearest, TakesTheLowestOfCopies) {
  KMeansCase<float> c(200, 3, 150);
  for (std::int64_t i = 64 * c.d; i < 150 * c.d; ++i) c.centroids[at(i)] = c.centroids[at(i % 192)];
  const Assigned found = expect_nearest(c);
  for (const std::int32_t label : found.labels) EXPECT_LT(label, 64);
  EXPECT_GE(found.counters.n_refined, 100U);
  std::fill(c.centroids.begin(), c.centroids.end(), 0.5F);
  const Assigned same = expect_nearest(c);
  for (const std::int32_t label : same.labels) EXPECT_EQ(label, 0);
  EXPECT_EQ(same.counters.n_refined, 200U);
}

TEST_F(KMeansNearest, LooksAgainWhereScoresCancel) {
  // A thousand away from the origin, centroids a thousandth apart: scores of 1e6 in float are
  // rounded to a 16th, what separates them is about 1e-6.
  KMeansCase<float> c(200, 4, 7);
  Draws draws(3);
  std::fill(c.offset.begin(), c.offset.end(), 0.0F);
  for (float& value : c.centroids) value = static_cast<float>(1000.0 + draws.uniform(0.0, 1e-3));
  for (std::int64_t i = 0; i < c.n; ++i) {
    for (std::int64_t j = 0; j < c.d; ++j) c.put(i, j, 1000.0 + draws.uniform(0.0, 1e-3));
  }
  EXPECT_EQ(expect_nearest(c).counters.n_refined, 200U);
}

TEST_F(KMeansNearest, LooksAgainAtRowsThatAreFarAway) {
  // 1e4 lengths of a centroid away: the products, not the centroids, are what rounds.
  KMeansCase<float> c(200, 4, 7);
  Draws draws(4);
  std::fill(c.offset.begin(), c.offset.end(), 0.0F);
  for (float& value : c.centroids) value = static_cast<float>(1.0 + draws.uniform(0.0, 2e-6));
  for (std::int64_t i = 0; i < c.n; ++i) {
    for (std::int64_t j = 0; j < c.d; ++j) c.put(i, j, draws.uniform(-1e4, 1e4));
  }
  EXPECT_GE(expect_nearest(c).counters.n_refined, 50U);
}

TEST_F(KMeansNearest, LeavesFewRowsInDoubt) {
  EXPECT_LE(expect_nearest(KMeansCase<float>(1000, 8, 16)).counters.n_refined, 10U);
}

// Two centroids far out, 7 opposite to 3. Rows lie along the way to both.
template <class T>
KMeansCase<T> with_far_centroids(std::int64_t n, std::int64_t d, std::int64_t k, double length) {
  KMeansCase<T> c(n, d, k);
  const auto far = static_cast<T>(length / std::sqrt(static_cast<double>(d)));
  for (std::int64_t j = 0; j < d; ++j) {
    c.centroids[at(3 * d + j)] = far;
    c.centroids[at(7 * d + j)] = -2 * far;
    for (std::int64_t i = 0; i < 40; ++i) {
      c.put(i, j, static_cast<double>(far) * 0.05 * static_cast<double>(i));
      c.put(40 + i, j, -static_cast<double>(far) * 0.05 * static_cast<double>(i));
    }
    // About as near to either: the bisector with the others, and to one side of it.
    for (std::int64_t i = 80; i < 100; ++i) {
      c.put(i, j, static_cast<double>(far) * (0.5 + 1e-6 * static_cast<double>(i - 90)));
    }
  }
  c.beyond = static_cast<T>(0.99 * length);
  return c;
}

TEST_F(KMeansNearest, LeavesFarCentroidsOutWithoutMissingOne) {
  for (const double length : {300.0, 1e6}) {
    for (const std::int64_t k : {16, 130}) {
      const Assigned narrow = expect_nearest(with_far_centroids<float>(1000, 8, k, length));
      EXPECT_GE(narrow.counters.n_refined, 20U);
      EXPECT_LE(narrow.counters.n_refined, 150U);
      const Assigned wide = expect_nearest(with_far_centroids<double>(300, 5, k, length));
      EXPECT_LE(wide.counters.n_refined, 100U);
    }
  }
  // All in the screen: there the long ones put nearly all rows in doubt.
  KMeansCase<float> c = with_far_centroids<float>(1000, 8, 16, 1e6);
  c.beyond = std::numeric_limits<float>::infinity();
  EXPECT_GE(expect_nearest(c).counters.n_refined, 900U);
}

TEST_F(KMeansNearest, MayLeaveAllCentroidsOut) {
  KMeansCase<float> c(200, 3, 9);
  c.beyond = 1e-3F;
  EXPECT_EQ(expect_nearest(c).counters.n_refined, 200U);
}

TEST_F(KMeansNearest, CountsWhatMovedAmongTheRefinedToo) {
  KMeansCase<float> c(130, 2, 4);
  std::fill(c.centroids.begin(), c.centroids.end(), 0.5F);
  c.weigh();
  std::vector<std::int32_t> before(at(c.n), 0);
  before[4] = 1;
  before[8] = 2;  // without weight
  before[129] = 3;
  const Assigned found = assign(c, before);
  EXPECT_EQ(found.counters.n_moved, 2U);
  EXPECT_EQ(found.labels, std::vector<std::int32_t>(at(c.n), 0));
}

TEST_F(KMeansNearest, TakesRowsOfLengthOne) {
  for (const std::int64_t d : {1, 3, 32, 33, 70}) {
    KMeansCase<float> c(131, d, 5);
    c.weigh();
    const std::int64_t zero[] = {8, 40, 100};  // 8 has no weight
    for (const std::int64_t i : zero) {
      for (std::int64_t j = 0; j < d; ++j) {
        c.values[at(i * c.stride + j)] = -c.offset[at(j)] / c.scale;
      }
    }
    PlacedCase<float> p = place(c);
    const auto factors = blank<float>(c.n + kMargin);
    const auto counters = to_device(std::vector<kmeans::PassCounters>(1));
    kmeans::unit_factors(backend(), p.rows, 1000, factors.data(), counters.data());
    EXPECT_EQ(to_host(counters).front().zero_row, 1040U);
    const std::vector<float> found = inside(factors);
    const Real unit = static_cast<Real>(d + 4) * std::numeric_limits<float>::epsilon() / 2;
    for (std::int64_t i = 0; i < c.n; ++i) {
      Real square = 0;
      for (std::int64_t j = 0; j < d; ++j) {
        square += static_cast<Real>(c.framed(i, j)) * static_cast<Real>(c.framed(i, j));
      }
      const Real factor = square > 0 ? 1 / std::sqrt(square) : 0;
      ASSERT_LE(std::abs(static_cast<Real>(found[at(i)]) - factor), unit * factor) << i;
    }
    c.factors = found;
    expect_nearest(c);
    for (float& value : c.centroids) value = 0.5F + value * 0x1p-22F;  // so that some are in doubt
    expect_nearest(c);
  }
}

// Squares of what is shorter than 1e-23 vanish in float.
TEST_F(KMeansNearest, MeasuresRowsOfAnyLength) {
  KMeansCase<float> c(300, 7, 5);
  c.scale = 1.0F;
  std::fill(c.offset.begin(), c.offset.end(), 0.0F);
  Draws draws(12);
  for (std::int64_t i = 0; i < c.n; ++i) {
    const double length = std::pow(10.0, -37.0 * static_cast<double>(i) / 299.0);
    for (std::int64_t j = 0; j < c.d; ++j) {
      c.values[at(i * c.stride + j)] = static_cast<float>(length * draws.uniform(0.5, 1.0));
    }
  }
  for (std::int64_t j = 0; j < c.d; ++j) c.values[at(5 * c.stride + j)] = 0x1p-127F;  // subnormal
  PlacedCase<float> p = place(c);
  const auto factors = blank<float>(c.n + kMargin);
  const auto counters = to_device(std::vector<kmeans::PassCounters>(1));
  kmeans::unit_factors(backend(), p.rows, 0, factors.data(), counters.data());
  const std::vector<float> found = inside(factors);
  EXPECT_EQ(found[5], 0.0F);
  EXPECT_EQ(to_host(counters).front().zero_row, 5U);
  const Real unit = static_cast<Real>(c.d + 4) * std::numeric_limits<float>::epsilon() / 2;
  for (std::int64_t i = 0; i < c.n; ++i) {
    if (i == 5) continue;
    Real square = 0;
    for (std::int64_t j = 0; j < c.d; ++j) {
      square += static_cast<Real>(c.framed(i, j)) * static_cast<Real>(c.framed(i, j));
    }
    ASSERT_LE(std::abs(static_cast<Real>(found[at(i)]) * std::sqrt(square) - 1), unit) << i;
  }
}

TEST_F(KMeansNearest, TakesNoRows) {
  EXPECT_TRUE(assign(KMeansCase<float>(0, 2, 3)).labels.empty());
}

}  // namespace
}  // namespace culatent
