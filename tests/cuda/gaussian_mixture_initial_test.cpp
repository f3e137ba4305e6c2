#include <cstring>

#include "host/random.hpp"
#include "tests/cuda/estep_case.hpp"

namespace culatent::gaussian_mixture {
namespace {

constexpr std::int64_t kHeads = Layout::kEntropy + 1;

template <class T>
struct InitialResult {
  std::vector<T> q;
  std::vector<double> heads;
};

template <class T>
class GaussianMixtureInitial : public CudaTest {
 protected:
  InitialResult<T> nearest(const EStepCase<T>& c, const std::vector<T>& centroids,
                           const std::vector<T>& metric, const std::vector<T>& weights) {
    const auto device_centroids = to_device(centroids);
    const auto device_metric = to_device(metric);
    return run(
        c, weights,
        [&](const EStepOnDevice<T>& data, const auto& resp, const DevicePartials<T>& partials) {
          nearest_responsibilities(backend(), data.device_rows, data.frame, device_centroids.data(),
                                   device_metric.data(), c.shape.n_components, resp, partials);
        });
  }
  InitialResult<T> random(const EStepCase<T>& c, std::uint64_t seed, std::int64_t first,
                          const std::vector<T>& weights) {
    return run(
        c, weights,
        [&](const EStepOnDevice<T>& data, const auto& resp, const DevicePartials<T>& partials) {
          random_responsibilities(backend(), data.device_rows, seed, first, c.shape.n_components,
                                  resp, partials);
        });
  }

 private:
  template <class Step>
  InitialResult<T> run(const EStepCase<T>& c, const std::vector<T>& weights, Step&& step) {
    EStepOnDevice<T> data(c, [&](const std::vector<T>& v) { return to_device(v); });
    const auto device_weights = to_device(weights.empty() ? std::vector<T>{T{0}} : weights);
    if (!weights.empty()) data.device_rows.weights = device_weights.data();
    const std::int64_t n_blocks = (c.shape.n_rows + kBlockRows - 1) / kBlockRows;
    auto q = blank<T>(c.shape.n_components * c.out_stride);
    auto heads = blank<double>(n_blocks * (kHeads + c.shape.n_components) + 1);
    DevicePartials<T> partials;
    partials.heads = heads.data();
    step(data, DeviceResponsibilities<T>{q.data(), c.out_stride}, partials);
    return {to_host(q), to_host(heads)};
  }
};

using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(GaussianMixtureInitial, Types);

// The heads of every block are those of the stored q: weight and counts, zeros between; rows beyond
// the last have none, margins stay NaN.
template <class T>
void expect_heads(const EStepCase<T>& c, const std::vector<T>& weights,
                  const InitialResult<T>& got) {
  const std::int64_t n = c.shape.n_rows, n_components = c.shape.n_components;
  const std::int64_t n_blocks = (n + kBlockRows - 1) / kBlockRows;
  for (std::int64_t block = 0; block < n_blocks; ++block) {
    const double* record = got.heads.data() + block * (kHeads + n_components);
    long double weight = 0.0L;
    std::vector<long double> counts(at(n_components), 0.0L);
    for (std::int64_t row = block * kBlockRows; row < (block + 1) * kBlockRows; ++row) {
      if (row < n) weight += weights.empty() ? 1.0L : static_cast<long double>(weights[at(row)]);
      for (std::int64_t k = 0; k < n_components; ++k) {
        const T q = got.q[at(k * c.out_stride + row)];
        if (row >= n) {
          ASSERT_EQ(q, T{0}) << "row " << row;
        }
        counts[at(k)] += static_cast<long double>(q);
      }
    }
    const double lost = static_cast<double>(kBlockRows) * 0x1p-53;
    EXPECT_NEAR(record[Layout::kWeight], static_cast<double>(weight),
                lost * static_cast<double>(weight));
    EXPECT_EQ(record[Layout::kLogLikelihood], 0.0);
    EXPECT_EQ(record[Layout::kJoint], 0.0);
    EXPECT_EQ(record[Layout::kEntropy], 0.0);
    for (std::int64_t k = 0; k < n_components; ++k) {
      const auto count = static_cast<double>(counts[at(k)]);
      EXPECT_NEAR(record[kHeads + k], count, lost * count);
    }
  }
  EXPECT_TRUE(std::isnan(got.heads.back()));
  for (std::int64_t k = 0; k < n_components; ++k) {
    for (std::int64_t row = n_blocks * kBlockRows; row < c.out_stride; ++row) {
      ASSERT_TRUE(std::isnan(got.q[at(k * c.out_stride + row)])) << "wrote row " << row;
    }
  }
}

template <class T>
std::vector<T> some_weights(std::int64_t n) {
  std::vector<T> weights(at(n));
  for (std::int64_t i = 0; i < n; ++i) weights[at(i)] = static_cast<T>(i % 5) / 3;
  return weights;
}

TYPED_TEST(GaussianMixtureInitial, NearestTakesAllOfARow) {
  using T = TypeParam;
  for (const EStepShape shape : {EStepShape{Covariance::full, 1, 1, 1},
                                 {Covariance::full, 127, 4, 3},
                                 {Covariance::full, 129, 33, 8},
                                 {Covariance::full, 300, 64, 9},
                                 {Covariance::full, 1025, 3, 70}}) {
    SCOPED_TRACE(testing::Message() << shape);
    const EStepCase<T> c(shape);
    const std::int64_t d = shape.n_features, n_components = shape.n_components;
    std::mt19937 engine(3);
    std::uniform_real_distribution<double> unit(-3.0, 3.0);
    std::vector<T> centroids, metric;
    for (std::int64_t i = 0; i < n_components * d; ++i) {
      centroids.push_back(static_cast<T>(unit(engine)));
    }
    for (std::int64_t j = 0; j < d; ++j) metric.push_back(static_cast<T>(0.5 + double(j % 3)));
    const auto weights = shape.n_rows > 200 ? some_weights<T>(shape.n_rows) : std::vector<T>{};
    const InitialResult<T> got = this->nearest(c, centroids, metric, weights);
    int near_ties = 0;
    for (std::int64_t row = 0; row < shape.n_rows; ++row) {
      std::vector<long double> distances;
      for (std::int64_t k = 0; k < n_components; ++k) {
        long double sum = 0.0L;
        for (std::int64_t j = 0; j < d; ++j) {
          const long double z = static_cast<long double>(metric[at(j)]) *
                                (static_cast<long double>(c.framed(row, j)) -
                                 static_cast<long double>(centroids[at(k * d + j)]));
          sum += z * z;
        }
        distances.push_back(sum);
      }
      const auto best = std::min_element(distances.begin(), distances.end()) - distances.begin();
      // A sum of D squares carries (D + 4) u.
      const long double bound =
          static_cast<long double>(d + 4) * std::numeric_limits<T>::epsilon() * distances[at(best)];
      std::int64_t chosen = -1;
      for (std::int64_t k = 0; k < n_components; ++k) {
        const T q = got.q[at(k * c.out_stride + row)];
        if (q != T{0}) {
          ASSERT_EQ(chosen, -1) << "row " << row << " has two components";
          chosen = k;
          ASSERT_EQ(q, weights.empty() ? T{1} : weights[at(row)]);
        }
      }
      if (!weights.empty() && weights[at(row)] == T{0}) {
        EXPECT_EQ(chosen, -1);
        continue;
      }
      ASSERT_GE(chosen, 0) << "row " << row;
      if (chosen != best) ++near_ties;
      EXPECT_LE(distances[at(chosen)], distances[at(best)] + bound) << "row " << row;
    }
    EXPECT_LE(near_ties, shape.n_rows / 100);
    expect_heads(c, weights, got);
  }
}

TYPED_TEST(GaussianMixtureInitial, NearestIsTheFirstOfEquals) {
  using T = TypeParam;
  EStepCase<T> c({Covariance::full, 2, 1, 12}, 1, 0.0);
  c.rows = {T{0}, 0, 0, 0, T{0}, 0, 0, 0, kNaN<T>, kNaN<T>, kNaN<T>, kNaN<T>};
  std::vector<T> centroids(12, T{1});
  centroids[3] = T{-1};  // as far
  centroids[0] = T{2};
  const InitialResult<T> got = this->nearest(c, centroids, {T{1}}, {});
  EXPECT_EQ(got.q[at(1 * c.out_stride)], T{1});
  EXPECT_EQ(got.heads[at(kHeads + 1)], 2.0);
}

// The same numbers as random::uniform of the host, which tests hold to the published values of
// Philox: row by row, whatever wave a row comes in.
TYPED_TEST(GaussianMixtureInitial, RandomSharesAreTheHostsDraws) {
  using T = TypeParam;
  const std::uint64_t seed = 0x123456789abcdef0u;
  for (const std::int64_t first : {std::int64_t{0}, 3 * kBlockRows, std::int64_t{5} << 32}) {
    for (const std::int64_t n_components : {1, 2, 9, 66}) {
      const std::int64_t n = n_components < 10 ? 1025 : 40;
      SCOPED_TRACE(testing::Message() << "first " << first << " K " << n_components);
      const EStepCase<T> c({Covariance::full, n, 1, n_components});
      const auto weights = n_components == 9 ? some_weights<T>(n) : std::vector<T>{};
      const InitialResult<T> got = this->random(c, seed, first, weights);
      for (std::int64_t row = 0; row < n; ++row) {
        double total = 0.0;
        std::vector<double> draws;
        for (std::int64_t k = 0; k < n_components; ++k) {
          draws.push_back(random::uniform(seed, random::Stream::responsibilities,
                                          static_cast<std::uint64_t>(first + row),
                                          static_cast<std::uint32_t>(k)));
          total += draws.back();
        }
        for (std::int64_t k = 0; k < n_components; ++k) {
          const T share = static_cast<T>(draws[at(k)]) / static_cast<T>(total);
          const T weight = weights.empty() ? T{1} : weights[at(row)];
          ASSERT_EQ(got.q[at(k * c.out_stride + row)], share * weight) << row << ", " << k;
        }
      }
      expect_heads(c, weights, got);
    }
  }
}

TYPED_TEST(GaussianMixtureInitial, DoesNothingWithoutRows) {
  using T = TypeParam;
  const EStepCase<T> c({Covariance::full, 0, 2, 3});
  EXPECT_TRUE(std::isnan(this->random(c, 1, 0, {}).heads[0]));
  EXPECT_TRUE(std::isnan(this->nearest(c, std::vector<T>(6), std::vector<T>(2), {}).heads[0]));
}

}  // namespace
}  // namespace culatent::gaussian_mixture
