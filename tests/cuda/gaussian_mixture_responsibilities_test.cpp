#include "tests/cuda/normalise_case.hpp"

namespace culatent::gaussian_mixture {
namespace {

using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(GaussianMixtureNormalise, Types);

TYPED_TEST(GaussianMixtureNormalise, IsTheSoftmaxOverComponents) {
  for (const std::int64_t n : {1, 31, 33, 256, 1023, 1024, 1025}) {
    for (const std::int64_t k : {1, 2, 7, 8, 9, 63, 64, 65}) {
      if (n > 256 && k > 9) continue;
      const EStepCase<TypeParam> c({Covariance::diagonal, n, 1, k});
      const auto logs = draw_logs(c, 10.0);
      expect_exact(c, logs, {}, this->compute(c, logs, {}), 10.0);
    }
  }
}

TYPED_TEST(GaussianMixtureNormalise, IsTheSoftmaxWhereDensitiesLieFarApart) {
  const EStepCase<TypeParam> c({Covariance::diagonal, 300, 1, 40});
  for (const double span : {100.0, 1000.0, 1e5}) {
    const auto logs = draw_logs(c, span);
    expect_exact(c, logs, {}, this->compute(c, logs, {}), span);
  }
}

// Each component greater than those before: the running maximum moves with every chunk.
TYPED_TEST(GaussianMixtureNormalise, IsTheSoftmaxOfRisingDensities) {
  const EStepCase<TypeParam> c({Covariance::diagonal, 70, 1, 67});
  auto logs = draw_logs(c, 1.0);
  for (std::int64_t k = 0; k < 67; ++k) {
    for (std::int64_t row = 0; row < 70; ++row) {
      logs[at(k * c.out_stride + row)] += static_cast<TypeParam>(k * (row % 4));
    }
  }
  expect_exact(c, logs, {}, this->compute(c, logs, {}), 201.0);
}

TYPED_TEST(GaussianMixtureNormalise, CarriesTheWeights) {
  for (const std::int64_t n : {5, 1030}) {
    const EStepCase<TypeParam> c({Covariance::diagonal, n, 1, 5});
    const auto logs = draw_logs(c, 6.0);
    std::vector<TypeParam> weights(at(n));
    for (std::int64_t i = 0; i < n; ++i) weights[at(i)] = static_cast<TypeParam>(i % 7) / 4;
    expect_exact(c, logs, weights, this->compute(c, logs, weights), 6.0);
  }
}

TYPED_TEST(GaussianMixtureNormalise, GivesEverythingToTheOnlyComponent) {
  const EStepCase<TypeParam> c({Covariance::diagonal, 40, 1, 1});
  const auto logs = draw_logs(c, 50.0);
  const Normalised<TypeParam> got = this->compute(c, logs, {});
  for (std::int64_t row = 0; row < 40; ++row) EXPECT_EQ(got.q[at(row)], TypeParam{1});
  EXPECT_EQ(got.heads[Layout::kEntropy], 0.0);
  EXPECT_EQ(got.heads[Layout::kJoint], got.heads[Layout::kLogLikelihood]);
  EXPECT_EQ(got.heads[kHeads], 40.0);
}

// A NaN beside finite densities (∞ − ∞ within a distance) and −∞ (a weight of 0) are no density.
TYPED_TEST(GaussianMixtureNormalise, TakesWhatIsNoDensityForNothing) {
  const EStepCase<TypeParam> c({Covariance::diagonal, 3, 1, 10});
  auto logs = draw_logs(c, 3.0);
  for (std::int64_t row = 0; row < 3; ++row) {
    logs[at(2 * c.out_stride + row)] = kNaN<TypeParam>;
    logs[at(9 * c.out_stride + row)] = -std::numeric_limits<TypeParam>::infinity();
  }
  auto known = logs;
  for (std::int64_t row = 0; row < 3; ++row) {
    known[at(2 * c.out_stride + row)] = -std::numeric_limits<TypeParam>::infinity();
  }
  expect_exact(c, known, {}, this->compute(c, logs, {}), 3.0);
}

TYPED_TEST(GaussianMixtureNormalise, GivesABlockTheSameBitsInAnyWave) {
  const EStepCase<TypeParam> all({Covariance::diagonal, kBlockRows + 100, 1, 11});
  const auto logs = draw_logs(all, 9.0);
  const auto first = this->compute(all, logs, {});
  const auto again = this->compute(all, logs, {});
  EXPECT_EQ(std::memcmp(first.heads.data(), again.heads.data(), 8 * first.heads.size() - 8), 0);
  EStepCase<TypeParam> last({Covariance::diagonal, 100, 1, 11});
  std::vector<TypeParam> tail(at(11 * last.out_stride), kNaN<TypeParam>);
  for (std::int64_t k = 0; k < 11; ++k) {
    for (std::int64_t row = 0; row < 100; ++row) {
      tail[at(k * last.out_stride + row)] = logs[at(k * all.out_stride + kBlockRows + row)];
    }
  }
  const auto alone = this->compute(last, tail, {});
  EXPECT_EQ(std::memcmp(alone.heads.data(), first.heads.data() + kHeads + 11, 8 * (kHeads + 11)),
            0);
}

}  // namespace
}  // namespace culatent::gaussian_mixture
