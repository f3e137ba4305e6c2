#include <algorithm>
#include <bit>

#include "host/fixed_sums.hpp"
#include "tests/cuda/kmeans_case.hpp"

namespace culatent {
namespace {

template <class T>
std::vector<std::int32_t> some_labels(const KMeansCase<T>& c) {
  Draws draws(11);
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < c.n; ++i) {
    labels.push_back(static_cast<std::int32_t>(draws.below(c.k)));
  }
  return labels;
}

class KMeansMembers : public KMeansSteps {
 protected:
  template <class T>
  static FixedPoint fixed_point(const KMeansCase<T>& c, int n_limbs) {
    std::vector<double> reach;
    for (std::int64_t j = 0; j < c.d; ++j) {
      double most = 1.0;
      for (std::int64_t i = 0; i < c.n; ++i) {
        const auto x = static_cast<double>(c.framed(i, j));
        if (std::isfinite(x)) most = std::max(most, std::abs(x));
      }
      reach.push_back(std::exp2(std::ceil(std::log2(2.0 * most))));
    }
    reach.push_back(2.0);
    return FixedPoint(reach, 4 * c.n, n_limbs);
  }

  template <class T>
  std::vector<std::int64_t> add(const KMeansCase<T>& c, const std::vector<std::int32_t>& labels,
                                const FixedPoint& fixed, const std::vector<std::int64_t>& before) {
    const PlacedCase<T> p = place(c);
    std::vector<std::int64_t> padded = before;
    padded.insert(padded.end(), at(kMargin), -1);
    const auto on_device = to_device(labels);
    const auto units = to_device(fixed.units);
    const auto sums = to_device(padded);
    kmeans::add_members(backend(), p.rows, on_device.data(),
                        {units.data(), fixed.fine, fixed.n_limbs}, c.k, sums.data());
    return inside(sums);
  }

  // Sums that were there before, plus what a plain loop makes of the rows.
  template <class T>
  void expect_sums(const KMeansCase<T>& c, int n_limbs) {
    SCOPED_TRACE(c.name() + ", limbs " + std::to_string(n_limbs));
    const FixedPoint fixed = fixed_point(c, n_limbs);
    const std::vector<std::int32_t> labels = some_labels(c);
    const std::int64_t limb = c.k * (c.d + 1);
    std::vector<std::int64_t> sums(at(n_limbs * limb));
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] = static_cast<std::int64_t>(i) * 17 - 99;
    const std::vector<std::int64_t> found = add(c, labels, fixed, sums);
    for (std::int64_t i = 0; i < c.n; ++i) {
      if (c.weight(i) == 0.0) continue;
      for (std::int64_t j = 0; j <= c.d; ++j) {
        const double x = j < c.d ? static_cast<double>(c.framed(i, j)) : 1.0;
        const volatile double unit = fixed.units[at(j)] * c.weight(i);
        const volatile double value = x * unit;  // rounded, whatever the compiler would fuse
        const std::int64_t where = labels[at(i)] * (c.d + 1) + j;
        const std::int64_t coarse = to_integer(value);
        sums[at(where)] += coarse;
        if (n_limbs == 1) continue;
        sums[at(limb + where)] += to_integer((value - static_cast<double>(coarse)) * fixed.fine);
      }
    }
    EXPECT_EQ(found, sums);
  }

  // The block's sum in double of distances that are right to a few units of T.
  template <class T>
  void expect_distances(const KMeansCase<T>& c) {
    SCOPED_TRACE(c.name());
    const PlacedCase<T> p = place(c);
    const std::vector<std::int32_t> labels = some_labels(c);
    const std::int64_t n_blocks = (c.n + kBlockRows - 1) / kBlockRows;
    const auto on_device = to_device(labels);
    const auto distances = blank<T>(c.n + kMargin);
    const auto partials = blank<double>(n_blocks + kMargin);
    kmeans::own_distances<T>(backend(), p.rows, p.centroids.data(), 8.0, on_device.data(),
                             distances.data(), partials.data());
    const std::vector<T> found = inside(distances);
    const std::vector<double> sums = inside(partials);
    // Difference, square and three additions in T, a rounding of the result; the rest in double.
    const Real unit = 8 * std::numeric_limits<T>::epsilon() / Real{2} +
                      static_cast<Real>(c.d + kBlockRows) * std::numeric_limits<double>::epsilon();
    for (std::int64_t block = 0; block < n_blocks; ++block) {
      Real sum = 0;
      for (std::int64_t i = block * kBlockRows; i < std::min(c.n, (block + 1) * kBlockRows); ++i) {
        const Real distance = 64 * c.distance(i, labels[at(i)]);
        if (c.weight(i) != 0.0) sum += c.weight(i) * distance;
        if (!std::isfinite(found[at(i)])) continue;
        ASSERT_LE(std::abs(static_cast<Real>(found[at(i)]) - distance), unit * distance) << i;
      }
      ASSERT_LE(std::abs(sums[at(block)] - sum), unit * sum) << block;
    }
    const auto again = blank<double>(n_blocks + kMargin);
    kmeans::own_distances<T>(backend(), p.rows, p.centroids.data(), 8.0, on_device.data(), nullptr,
                             again.data());
    EXPECT_EQ(inside(again), sums);
  }
};

TEST_F(KMeansMembers, AddsUpAnyRows) {
  for (const std::int64_t n : {1, 15, 16, 1023, 1024, 1025, 2100}) {
    expect_sums(KMeansCase<float>(n, 3, 4), 1);
    expect_sums(KMeansCase<double>(n, 2, 3).weigh(), 2);
  }
}

TEST_F(KMeansMembers, AddsUpAnyFeatures) {
  for (const std::int64_t d : {1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 70}) {
    expect_sums(KMeansCase<float>(100, d, 5).weigh(), 2);
    expect_sums(KMeansCase<double>(100, d, 5), 2);
    expect_sums(KMeansCase<float>(100, d, 5), 1);
  }
}

TEST_F(KMeansMembers, AddsUpInPartsOfTheColumnsAndInGlobalMemory) {
  // Of 400 clusters 35 columns fit shared memory at a time (two limbs: 17), of 1800 not even 8.
  for (const std::int64_t k : {400, 1800}) {
    expect_sums(KMeansCase<float>(300, 40, k), 1);
    expect_sums(KMeansCase<double>(200, 40, k).weigh(), 2);
  }
}

TEST_F(KMeansMembers, RoundsTheWeightedValueFirst) {
  KMeansCase<float> c(1500, 6, 3);
  Draws draws(5);
  for (std::int64_t i = 0; i < c.n; ++i) c.weights.push_back(draws.uniform());
  expect_sums(c, 2);
}

TEST_F(KMeansMembers, TakesRowsOfLengthOne) {
  KMeansCase<float> c(1100, 5, 3);
  Draws draws(9);
  for (std::int64_t i = 0; i < c.n; ++i) c.factors.push_back(static_cast<float>(draws.uniform()));
  expect_sums(c, 1);
  expect_distances(c);
}

TEST_F(KMeansMembers, LetsRowsWithoutWeightLieAnywhere) {
  KMeansCase<float> c(100, 2, 3);
  c.weigh();
  c.scale = 4.0F;
  c.values[at(3 * c.stride)] = 3e38F;  // overflows in the coordinates
  expect_sums(c, 2);
  expect_distances(c);
}

TEST_F(KMeansMembers, MeasuresAnyRows) {
  for (const std::int64_t n : {1, 255, 1023, 1024, 1025, 2100}) {
    expect_distances(KMeansCase<float>(n, 3, 4));
    expect_distances(KMeansCase<double>(n, 2, 3).weigh());
  }
}

TEST_F(KMeansMembers, MeasuresAnyFeatures) {
  for (const std::int64_t d : {1, 3, 4, 5, 8, 64, 128, 129, 300}) {
    expect_distances(KMeansCase<float>(40, d, 5).weigh());
    KMeansCase<double> whole(40, d, 5);  // rows that can be loaded in pieces
    std::vector<double> packed;
    for (std::int64_t i = 0; i < whole.n; ++i) {
      const auto row = whole.values.begin() + i * whole.stride;
      packed.insert(packed.end(), row, row + d);
    }
    packed.insert(packed.end(), at(d), std::numeric_limits<double>::quiet_NaN());
    whole.values = packed;
    whole.stride = d;
    expect_distances(whole);
  }
}

TEST_F(KMeansMembers, TakesNoRows) {
  expect_sums(KMeansCase<float>(0, 2, 3), 1);
  expect_distances(KMeansCase<float>(0, 2, 3));
}

}  // namespace
}  // namespace culatent
