#include "tests/cuda/normalise_case.hpp"

// Rows whose densities leave T: normalise() does them again in double.
namespace culatent::gaussian_mixture {
namespace {

template <class T>
class GaussianMixtureFarRows : public GaussianMixtureNormalise<T> {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(GaussianMixtureFarRows, Types);

// The exact log p(x, k) of the case, by the formula.
template <class T>
std::vector<long double> exact_logs(const EStepCase<T>& c, std::int64_t row) {
  std::vector<long double> logs;
  for (std::int64_t k = 0; k < c.shape.n_components; ++k) {
    logs.push_back(exact_log_joint(c, row, k).value);
  }
  return logs;
}

// Some rows are thrown `far` away, where |y|² overflows T. The rest must not notice.
TYPED_TEST(GaussianMixtureFarRows, TakesFarRowsInDouble) {
  using T = TypeParam;
  const double far = sizeof(T) == 4 ? 1e21 : 1e160;
  for (const Covariance covariance :
       {Covariance::full, Covariance::tied, Covariance::diagonal, Covariance::spherical}) {
    for (const std::int64_t d : {1, 3, 35}) {
      EStepCase<T> c({covariance, 70, d, 5}, 4, 0.0);
      SCOPED_TRACE(testing::Message() << c.shape);
      const std::vector<std::int64_t> moved = {0, 3, 31, 32, 69};
      for (const std::int64_t row : moved) {
        for (std::int64_t j = 0; j < d; ++j) c.rows[at(row * c.row_stride + j)] *= T(far);
      }
      c.log_constants[1] = -std::numeric_limits<T>::infinity();
      std::vector<T> logs(at(5 * c.out_stride), kNaN<T>);
      for (std::int64_t row = 0; row < 70; ++row) {
        const auto exact = exact_logs(c, row);
        for (std::int64_t k = 0; k < 5; ++k) {
          logs[at(k * c.out_stride + row)] = static_cast<T>(exact[at(k)]);  // far: −∞
        }
      }
      const Normalised<T> got = this->compute(c, logs, {});
      for (std::int64_t row = 0; row < 70; ++row) {
        const auto exact = exact_logs(c, row);
        const auto best = std::max_element(exact.begin(), exact.end()) - exact.begin();
        T total = 0;
        for (std::int64_t k = 0; k < 5; ++k) total += got.q[at(k * c.out_stride + row)];
        EXPECT_NEAR(static_cast<double>(total), 1.0,
                    8 * static_cast<double>(std::numeric_limits<T>::epsilon()));
        EXPECT_EQ(got.q[at(c.out_stride + row)], T{0}) << "no weight, row " << row;
        if (std::find(moved.begin(), moved.end(), row) == moved.end()) continue;
        // So far out double tells components apart by W, by means (all that tied ones differ in)
        // only where |y|² leaves them digits.
        const long double resolved =
            std::abs(exact[at(best)]) * static_cast<long double>(d + 4) * 0x1p-50L;
        for (std::int64_t k = 0; k < 5; ++k) {
          if (exact[at(best)] - exact[at(k)] <= resolved) continue;
          EXPECT_EQ(got.q[at(k * c.out_stride + row)], T{0}) << "row " << row;
        }
        const auto log_prob = static_cast<double>(exact[at(best)]);  // −∞ beyond double
        if (std::isinf(log_prob)) {
          EXPECT_EQ(got.log_prob[at(row)], log_prob);
        } else {
          EXPECT_NEAR(got.log_prob[at(row)], log_prob,
                      static_cast<double>(d + 4) * 0x1p-50 * std::abs(log_prob));
        }
      }
      EXPECT_EQ(got.heads[Layout::kWeight], 70.0);
      for (std::int64_t k = 0; k < 5; ++k) EXPECT_TRUE(std::isfinite(got.heads[at(kHeads + k)]));
      EXPECT_FALSE(std::isnan(got.heads[Layout::kLogLikelihood]));
      EXPECT_FALSE(std::isnan(got.heads[Layout::kJoint]));
      EXPECT_TRUE(std::isfinite(got.heads[Layout::kEntropy]));
    }
  }
}

TYPED_TEST(GaussianMixtureFarRows, NeverGivesNaNWhateverTheRowHolds) {
  using T = TypeParam;
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  constexpr T kMost = std::numeric_limits<T>::max();
  for (const Covariance covariance : {Covariance::full, Covariance::diagonal}) {
    EStepCase<T> c({covariance, 5, 2, 3});
    const T values[5][2] = {
        {kInfinity, 0}, {kInfinity, -kInfinity}, {kNaN<T>, 1}, {kNaN<T>, kNaN<T>}, {kMost, -kMost}};
    for (std::int64_t row = 0; row < 5; ++row) {
      c.rows[at(row * c.row_stride)] = values[row][0];
      c.rows[at(row * c.row_stride + 1)] = values[row][1];
    }
    const std::vector<T> logs(at(3 * c.out_stride), kNaN<T>);
    const Normalised<T> got = this->compute(c, logs, {});
    for (std::int64_t row = 0; row < 5; ++row) {
      T total = 0;
      for (std::int64_t k = 0; k < 3; ++k) total += got.q[at(k * c.out_stride + row)];
      EXPECT_NEAR(static_cast<double>(total), 1.0, 1e-6) << "row " << row;
      EXPECT_FALSE(std::isnan(got.log_prob[at(row)])) << "row " << row;
    }
    for (std::int64_t i = 0; i < kHeads + 3; ++i) EXPECT_FALSE(std::isnan(got.heads[at(i)])) << i;
  }
}

TYPED_TEST(GaussianMixtureFarRows, LeavesARowWithoutWeightOutOfTheSums) {
  using T = TypeParam;
  EStepCase<T> c({Covariance::diagonal, 2, 1, 2}, 1, 0.0);
  c.rows[0] = std::numeric_limits<T>::infinity();  // log p = −∞, but its weight is 0
  std::vector<T> logs(at(2 * c.out_stride), T{-1});
  logs[0] = logs[at(c.out_stride)] = -std::numeric_limits<T>::infinity();
  const Normalised<T> got = this->compute(c, logs, {T{0}, T{2}});
  EXPECT_EQ(got.q[0], T{0});
  EXPECT_EQ(got.heads[Layout::kWeight], 2.0);
  EXPECT_NEAR(got.heads[Layout::kLogLikelihood], 2.0 * (std::log(2.0) - 1.0), 1e-6);
  EXPECT_NEAR(got.heads[Layout::kEntropy], 2.0 * std::log(2.0), 1e-6);
  EXPECT_EQ(got.heads[kHeads], 1.0);
}

}  // namespace
}  // namespace culatent::gaussian_mixture
