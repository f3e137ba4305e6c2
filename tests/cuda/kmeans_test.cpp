#include "kernels/cuda/kmeans.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "tests/core/oracle.hpp"
#include "tests/cuda/cuda_test.hpp"

namespace culatent {
namespace {

using oracle::at;
using oracle::Draws;
using oracle::Real;

constexpr std::int64_t kMargin = 5;

// Rows about centroids in badly scaled units; the frame brings them to ±10. The row behind the
// last and the cells behind the last feature are NaN.
template <class T>
struct Problem {
  Problem(std::int64_t rows, std::int64_t features, std::int64_t clusters)
      : n(rows), d(features), k(clusters), stride(features + 2) {
    Draws draws(static_cast<std::uint64_t>(100000 * n + 1000 * d + k));
    for (std::int64_t j = 0; j < d; ++j) {
      const int exponent = static_cast<int>(j * 7 % 31) - 15;
      scale.push_back(static_cast<T>(std::ldexp(1.0, exponent)));
      offset.push_back(static_cast<T>(draws.uniform(-5.0, 5.0)));
      metric.push_back(static_cast<T>(draws.uniform(0.5, 2.0)));
    }
    for (std::int64_t i = 0; i < k * d; ++i) {
      centroids.push_back(static_cast<T>(draws.uniform(-5.0, 5.0)));
    }
    values.assign(at((n + 1) * stride), std::numeric_limits<T>::quiet_NaN());
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t own = draws.below(k);
      for (std::int64_t j = 0; j < d; ++j) {
        const double framed = static_cast<double>(centroids[at(own * d + j)]) + draws.normal();
        values[at(i * stride + j)] = static_cast<T>((framed - static_cast<double>(offset[at(j)])) /
                                                    static_cast<double>(scale[at(j)]));
      }
    }
  }
  T framed(std::int64_t i, std::int64_t j) const {
    return std::fma(values[at(i * stride + j)], scale[at(j)], offset[at(j)]);
  }
  Real distance(std::int64_t i, std::int64_t c) const {
    Real sum = 0;
    for (std::int64_t j = 0; j < d; ++j) {
      const Real z =
          static_cast<Real>(metric[at(j)]) *
          (static_cast<Real>(framed(i, j)) - static_cast<Real>(centroids[at(c * d + j)]));
      sum += z * z;
    }
    return sum;
  }
  Real weight(std::int64_t i) const {
    return weights.empty() ? Real{1} : static_cast<Real>(weights[at(i)]);
  }

  std::int64_t n, d, k, stride;
  std::vector<T> values, weights, scale, offset, metric, centroids;
};

template <class T>
struct Assigned {
  std::vector<std::int32_t> labels;
  std::vector<T> distances;
  std::vector<double> partials;
};

class KMeansAssign : public CudaTest {
 protected:
  template <class T>
  Assigned<T> assign(const Problem<T>& p) {
    const std::int64_t blocks = (p.n + kBlockRows - 1) / kBlockRows;
    const std::int64_t size = blocks * kmeans::Layout(p.k, p.d).size;
    const auto values = to_device(p.values), weights = to_device(p.weights);
    const auto scale = to_device(p.scale), offset = to_device(p.offset);
    const auto metric = to_device(p.metric), centroids = to_device(p.centroids);
    auto labels = blank<std::int32_t>(p.n + kMargin);
    auto distances = blank<T>(p.n + kMargin);
    auto partials = blank<double>(size + kMargin);
    kmeans::assign<T>(
        backend(),
        {values.data(), p.weights.empty() ? nullptr : weights.data(), p.n, p.d, p.stride},
        {scale.data(), offset.data()}, centroids.data(), metric.data(), p.k, labels.data(),
        distances.data(), partials.data());
    Assigned<T> found{to_host(labels), to_host(distances), to_host(partials)};
    for (std::int64_t i = 0; i < kMargin; ++i) {
      EXPECT_EQ(found.labels.back(), -1);
      EXPECT_TRUE(std::isnan(found.distances.back()));
      EXPECT_TRUE(std::isnan(found.partials.back()));
      found.labels.pop_back();
      found.distances.pop_back();
      found.partials.pop_back();
    }
    return found;
  }

  // Distances are sums of D squares, each of which rounds a few times.
  template <class T>
  static void expect_nearest(const Problem<T>& p, const Assigned<T>& found) {
    const Real unit = static_cast<Real>(p.d + 8) * std::numeric_limits<T>::epsilon();
    for (std::int64_t i = 0; i < p.n; ++i) {
      Real least = p.distance(i, 0);
      for (std::int64_t c = 1; c < p.k; ++c) least = std::min(least, p.distance(i, c));
      const std::int64_t label = found.labels[at(i)];
      ASSERT_TRUE(label >= 0 && label < p.k) << i;
      ASSERT_LE(p.distance(i, label), least * (1 + unit)) << i;
      ASSERT_LE(std::abs(static_cast<Real>(found.distances[at(i)]) - least), least * unit) << i;
    }
  }

  // The record of a block, by the labels and distances found: sums of at most kBlockRows in double.
  template <class T>
  static void expect_record(const Problem<T>& p, const Assigned<T>& found, std::int64_t block) {
    const kmeans::Layout layout(p.k, p.d);
    std::vector<Real> sums(at(layout.size), 0), sizes(at(layout.size), 0);
    const auto add = [&](std::int64_t where, Real value) {
      sums[at(where)] += value;
      sizes[at(where)] += std::abs(value);
    };
    for (std::int64_t i = block * kBlockRows; i < std::min(p.n, (block + 1) * kBlockRows); ++i) {
      const std::int64_t label = found.labels[at(i)];
      if (p.weight(i) == 0) continue;
      add(0, p.weight(i));
      add(1, p.weight(i) * found.distances[at(i)]);
      add(layout.counts + label, p.weight(i));
      for (std::int64_t j = 0; j < p.d; ++j) {
        add(layout.sums + label * p.d + j, p.weight(i) * p.framed(i, j));
      }
    }
    const Real unit = static_cast<Real>(kBlockRows) * std::numeric_limits<double>::epsilon();
    for (std::int64_t at_sum = 0; at_sum < layout.size; ++at_sum) {
      const double value = found.partials[at(block * layout.size + at_sum)];
      ASSERT_LE(std::abs(value - sums[at(at_sum)]), unit * sizes[at(at_sum)]) << at_sum;
    }
  }

  template <class T>
  void expect_all(const Problem<T>& p) {
    SCOPED_TRACE("N " + std::to_string(p.n) + ", D " + std::to_string(p.d) + ", K " +
                 std::to_string(p.k));
    const Assigned<T> found = assign(p);
    expect_nearest(p, found);
    for (std::int64_t block = 0; block * kBlockRows < p.n; ++block) expect_record(p, found, block);
  }
};

template <class T>
Problem<T> weighted(std::int64_t n, std::int64_t d, std::int64_t k) {
  Problem<T> p(n, d, k);
  for (std::int64_t i = 0; i < n; ++i) {
    p.weights.push_back(i % 4 == 1 ? T{0} : static_cast<T>(0.25 * static_cast<double>(1 + i % 7)));
  }
  return p;
}

TEST_F(KMeansAssign, FindsTheNearestAndAddsUpForAnyRows) {
  for (const std::int64_t n : {1, 63, 64, 65, 1023, 1024, 1025, 2100}) {
    expect_all(Problem<float>(n, 3, 5));
    expect_all(weighted<double>(n, 2, 3));
  }
}

TEST_F(KMeansAssign, FindsTheNearestAndAddsUpForAnyFeatures) {
  for (const std::int64_t d : {1, 2, 15, 16, 17, 31, 32, 33, 70}) {
    expect_all(weighted<float>(130, d, 4));
    expect_all(Problem<double>(70, d, 9));
  }
}

TEST_F(KMeansAssign, FindsTheNearestAndAddsUpForAnyClusters) {
  for (const std::int64_t k : {1, 2, 63, 64, 65, 200}) {
    expect_all(Problem<float>(130, 4, k));
    expect_all(weighted<double>(70, 33, k));
  }
}

TEST_F(KMeansAssign, TakesTheLowestOfEqualCentroids) {
  Problem<float> p(200, 3, 150);
  // Copies of centroids 2 and 70, and of all of the first 64.
  for (std::int64_t c = 0; c < 150; ++c) {
    for (std::int64_t j = 0; j < 3; ++j)
      p.centroids[at(c * 3 + j)] = p.centroids[at(c % 64 * 3 + j)];
  }
  const Assigned<float> found = assign(p);
  expect_nearest(p, found);
  for (const std::int32_t label : found.labels) EXPECT_LT(label, 64);
  for (float& value : p.centroids) value = 0.5F;
  for (const std::int32_t label : assign(p).labels) EXPECT_EQ(label, 0);
}

TEST_F(KMeansAssign, LetsRowsWithoutWeightLieAnywhere) {
  Problem<float> p = weighted<float>(100, 2, 3);
  p.values[at(p.stride)] = 3e38F;  // row 1, which overflows in the frame
  p.scale[0] = 4.0F;
  const Assigned<float> found = assign(p);
  expect_record(p, found, 0);
  for (const double value : found.partials) EXPECT_TRUE(std::isfinite(value));
}

TEST_F(KMeansAssign, TakesNoRows) { EXPECT_TRUE(assign(Problem<float>(0, 2, 3)).labels.empty()); }

TEST_F(KMeansAssign, IsTheSameBitsTwiceAndInAnyWave) {
  const Problem<float> p = weighted<float>(1500, 33, 7);
  const Assigned<float> first = assign(p), second = assign(p);
  EXPECT_EQ(first.labels, second.labels);
  EXPECT_EQ(first.distances, second.distances);
  EXPECT_EQ(first.partials, second.partials);
  Problem<float> half = p;
  half.n = kBlockRows;
  const Assigned<float> begin = assign(half);
  EXPECT_TRUE(std::equal(begin.partials.begin(), begin.partials.end(), first.partials.begin()));
}

}  // namespace
}  // namespace culatent
