#include <algorithm>

#include "tests/cuda/bernoulli_case.hpp"

namespace culatent::bernoulli_mixture {
namespace {

class BernoulliMixtureUpdate : public CudaTest {
 protected:
  struct Result {
    Model model;
    UpdateStatus status;
    std::vector<double> factors, constants;
  };

  // maximise(), prepare() and finish_update() of given sums.
  Result update(const std::vector<double>& sums, const Model& before, const UpdateOptions& options,
                bool missing) {
    const std::int64_t k = before.n_components(), d = before.n_features();
    const auto device_sums = to_device(sums);
    const Prepared<double> old(backend(), before, missing);
    Prepared<double> next(backend(), before, missing);
    auto empty = blank<std::int64_t>(k);
    auto status = to_device(std::vector<UpdateStatus>(1));
    const DeviceModel model{next.weights.data(), next.means.data()};
    maximise(backend(), device_sums.data(), k, d, options, {old.weights.data(), old.means.data()},
             model, empty.data());
    prepare(backend(), model, d, next.parameters, next.priors.data());
    finish_update(backend(), device_sums.data(), k, next.priors.data(), empty.data(),
                  status.data());
    Result result;
    result.model.weights = to_host(next.weights);
    result.model.means = Matrix<double>(k, d);
    const std::vector<double> means = to_host(next.means);
    std::copy(means.begin(), means.end(), result.model.means.data());
    result.status = to_host(status).front();
    result.factors = to_host(next.factors);
    result.constants = to_host(next.constants);
    return result;
  }

  // weight, log-likelihood, joint, entropy, counts [K], then for each component ones and zeros.
  static std::vector<double> draw_sums(std::int64_t k, std::int64_t d, bool zeros) {
    std::mt19937 engine(9);
    std::uniform_real_distribution<double> unit(0.0, 1.0);
    std::vector<double> sums = {100.0, -250.0, -260.0, 10.0};
    for (std::int64_t c = 0; c < k; ++c) sums.push_back(100.0 / static_cast<double>(k));
    for (std::int64_t i = 0; i < k * d * (zeros ? 2 : 1); ++i) {
      sums.push_back(50.0 / static_cast<double>(k) * unit(engine));
    }
    return sums;
  }
};

TEST_F(BernoulliMixtureUpdate, MeansAreTheSmoothedSharesOfOnes) {
  constexpr std::int64_t kFeatures = 300;
  for (const std::int64_t k : {1, 5, 33}) {
    for (const bool zeros : {true, false}) {
      const Case<double> c({1, kFeatures, k}, false, 0);
      const std::vector<double> sums = draw_sums(k, kFeatures, zeros);
      const UpdateOptions options{zeros ? 2 * kFeatures : kFeatures, 0.25, 0.0};
      const Result got = update(sums, c.model, options, false);
      long double prior = 0.0L;
      for (std::int64_t m = 0; m < k; ++m) {
        EXPECT_DOUBLE_EQ(got.model.weights[at(m)], 1.0 / static_cast<double>(k));
        const double* ones = sums.data() + kHeads + k + m * options.n_products;
        long double all_zeros = std::log(static_cast<long double>(got.model.weights[at(m)]));
        long double magnitude = -all_zeros;
        for (std::int64_t j = 0; j < kFeatures; ++j) {
          const long double n = zeros ? static_cast<long double>(ones[j]) + ones[kFeatures + j]
                                      : sums[at(kHeads + m)];
          const long double mean = (ones[j] + 0.25L) / (n + 0.5L);
          // Three operations.
          EXPECT_NEAR(got.model.means(m, j), static_cast<double>(mean), 0x1p-51);
          const long double value = got.model.means(m, j);
          prior += std::log(value) + std::log1p(-value);
          all_zeros += std::log1p(-value);
          magnitude -= std::log1p(-value);
          // Two logarithms of an ulp each and a subtraction.
          const long double logit = std::log(value) - std::log1p(-value);
          EXPECT_NEAR(got.factors[at(j * padded_components(k) + m)], static_cast<double>(logit),
                      0x1p-50 * static_cast<double>(-std::log(value) - std::log1p(-value)));
        }
        EXPECT_NEAR(got.constants[at(m)], static_cast<double>(all_zeros),
                    kFeatures * 0x1p-52 * static_cast<double>(magnitude));
      }
      EXPECT_NEAR(got.status.prior, static_cast<double>(prior),
                  static_cast<double>(k) * kFeatures * 0x1p-52 * static_cast<double>(-prior));
      EXPECT_EQ(got.status.weight, 100.0);
      EXPECT_EQ(got.status.log_likelihood, -250.0);
      EXPECT_EQ(got.status.entropy, 10.0);
      EXPECT_EQ(got.status.n_empty, 0);
    }
  }
}

TEST_F(BernoulliMixtureUpdate, WhatNoRowTellsStaysAsItWas) {
  const Case<double> c({1, 4, 3}, true, 0);
  std::vector<double> sums = draw_sums(3, 4, true);
  sums[at(kHeads + 1)] = 0.0;  // a component without rows
  for (const std::size_t j : {0u, 4u}) sums[at(kHeads + 3 + 2 * 8) + j] = 0.0;  // and a feature
  const Result got = update(sums, c.model, {8, 0.0, 0.0}, true);
  EXPECT_EQ(got.status.n_empty, 1);
  EXPECT_EQ(got.model.weights[1], 0.0);
  for (std::int64_t j = 0; j < 4; ++j) EXPECT_EQ(got.model.means(1, j), c.model.means(1, j));
  EXPECT_EQ(got.model.means(2, 0), c.model.means(2, 0));
  EXPECT_NE(got.model.means(2, 1), c.model.means(2, 1));
  EXPECT_EQ(got.constants[1], -1e30);
}

TEST_F(BernoulliMixtureUpdate, MeansAreKeptFromZeroAndOne) {
  const Case<double> c({1, 2, 1}, false, 0);
  const std::vector<double> sums = {8.0, -1.0, -1.0, 0.0, 8.0, 0.0, 8.0, 8.0, 0.0};
  const Result clipped = update(sums, c.model, {4, 0.0, 1e-6}, false);
  EXPECT_EQ(clipped.model.means(0, 0), 1e-6);
  EXPECT_EQ(clipped.model.means(0, 1), 1.0 - 1e-6);
  const Result free = update(sums, c.model, {4, 0.0, 0.0}, false);
  EXPECT_EQ(free.model.means(0, 0), 0.0);
  EXPECT_EQ(free.model.means(0, 1), 1.0);
  for (const double factor : free.factors) EXPECT_TRUE(std::isfinite(factor));
  EXPECT_EQ(free.factors[0], -free.factors[at(padded_components(1))]);
  EXPECT_TRUE(std::isfinite(free.status.prior));
}

}  // namespace
}  // namespace culatent::bernoulli_mixture
