#include <string>

#include "tests/cuda/cuda_test.hpp"
#include "tests/cuda/diagonal_case.hpp"

namespace culatent::gaussian_mixture {
namespace {

template <class T>
class CudaDiagonal : public CudaTest {
 protected:
  struct Result {
    std::vector<double> heads;
    std::vector<T> tails;
  };

  Result run(const DiagonalCase<T>& c, bool weighted, bool about_means) {
    const Layout layout(Covariance::diagonal, c.n_components, c.d);
    const std::int64_t record = layout.size - layout.sums;
    const auto x = this->to_device(c.x);
    const auto weights = this->to_device(c.weights);
    const auto scale = this->to_device(c.scale);
    const auto offset = this->to_device(c.offset);
    const auto shifts = this->to_device(c.shifts);
    const auto whitening = this->to_device(c.whitening);
    const auto whitened_means = this->to_device(c.whitened_means);
    const auto log_constants = this->to_device(c.log_constants);
    const auto heads = this->template blank<double>(c.n_blocks() * layout.sums + 1);
    const auto tails = this->template blank<T>(c.n_blocks() * record + 1);
    DeviceParameters<T> parameters;
    parameters.covariance = Covariance::diagonal;
    parameters.n_components = c.n_components;
    parameters.n_features = c.d;
    parameters.shifts = shifts.data();
    parameters.whitening = whitening.data();
    parameters.whitened_means = whitened_means.data();
    parameters.log_constants = log_constants.data();
    EXPECT_TRUE(fused_fits<T>(this->backend(), Covariance::diagonal, c.n_components, c.d));
    expectation_maximisation_diagonal<T>(
        this->backend(),
        {x.data() + c.skip, weighted ? weights.data() : nullptr, c.n, c.d, c.stride},
        {scale.data(), offset.data()}, parameters, about_means,
        {heads.data(), tails.data(), nullptr});
    Result result{this->to_host(heads), this->to_host(tails)};
    EXPECT_TRUE(std::isnan(result.heads.back()));
    EXPECT_TRUE(std::isnan(result.tails.back()));
    return result;
  }

  void check(const Shape& shape, bool weighted, bool about_means, double distance) {
    SCOPED_TRACE(testing::Message() << shape << (weighted ? ", weighted" : "")
                                    << (about_means ? ", about the means" : ""));
    const DiagonalCase<T> c(shape, weighted, distance,
                            static_cast<unsigned>(shape.n_rows * 31 + shape.n_features));
    expect_sums(c, run(c, weighted, about_means), about_means);
  }

  void expect_sums(const DiagonalCase<T>& c, const Result& result, bool about_means) {
    const Layout layout(Covariance::diagonal, c.n_components, c.d);
    const std::int64_t record = layout.size - layout.sums;
    for (std::int64_t b = 0; b < c.n_blocks(); ++b) {
      const double* heads = result.heads.data() + b * layout.sums;
      const T* tails = result.tails.data() + b * record;
      Real weight = 0, likelihood = 0, likelihood_error = 0, entropy = 0, entropy_error = 0;
      std::vector<RowOracle> rows;
      for (std::int64_t row = b * kBlockRows; row < c.end(b); ++row) {
        const auto w = static_cast<Real>(c.weights[c.at(row)]);
        rows.push_back(row_oracle(c, row));
        weight += w;
        likelihood += w * rows.back().log_prob;
        likelihood_error += w * rows.back().log_prob_error;
        entropy += w * rows.back().entropy;
        entropy_error += w * rows.back().entropy_error;
      }
      const auto n = static_cast<Real>(rows.size());
      const Real double_sum = n * 0x1p-53L;
      ASSERT_LE(std::abs(heads[Layout::kWeight] - weight), double_sum * weight);
      ASSERT_LE(std::abs(heads[Layout::kLogLikelihood] - likelihood),
                likelihood_error + double_sum * std::abs(likelihood));
      ASSERT_LE(std::abs(heads[Layout::kEntropy] - entropy), entropy_error + double_sum * entropy);
      ASSERT_LE(std::abs(heads[Layout::kJoint] - (likelihood - entropy)),
                likelihood_error + entropy_error + double_sum * std::abs(likelihood - entropy));
      for (std::int64_t k = 0; k < c.n_components; ++k) {
        for (std::int64_t j = -1; j < c.d; ++j) {
          Real sums[2] = {0, 0}, errors[2] = {0, 0}, sizes[2] = {0, 0};
          for (std::int64_t row = b * kBlockRows; row < c.end(b); ++row) {
            const RowOracle& r = rows[c.at(row - b * kBlockRows)];
            const auto w = static_cast<Real>(c.weights[c.at(row)]);
            // j = −1: the count.
            const Real z = j < 0 ? 1 : c.framed(row, j) - c.shift(k, j);
            const Real size = j < 0 || about_means
                                  ? std::abs(z)
                                  : std::abs(c.framed(row, j)) + std::abs(c.shift(k, j));
            for (int power = 0; power < 2; ++power) {
              const Real factor = power == 0 ? z : z * z;
              const Real magnitude = power == 0 ? size : size * size;
              sums[power] += w * r.share[c.at(k)] * factor;
              errors[power] += w * r.share_error[c.at(k)] * magnitude;
              sizes[power] += w * r.share[c.at(k)] * magnitude;
            }
          }
          const Real rounding = (n + 8) * kUnit<T>;
          const double actual[2] = {
              j < 0 ? heads[layout.counts + k] : static_cast<double>(tails[k * c.d + j]),
              j < 0 ? heads[layout.counts + k]
                    : static_cast<double>(tails[(c.n_components + k) * c.d + j])};
          for (int power = 0; power < 2; ++power) {
            ASSERT_LE(std::abs(actual[power] - sums[power]),
                      errors[power] + rounding * sizes[power])
                << "block " << b << ", component " << k << ", feature " << j << ", power "
                << power + 1;
          }
        }
      }
    }
  }
};

using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaDiagonal, Types);

const Shape kShapes[] = {{1, 1, 1},    {31, 1, 4},      {32, 2, 5},      {33, 3, 17, 1},
                         {63, 4, 129}, {65, 8, 30, 4},  {255, 16, 32},   {257, 5, 3, 0, 1},
                         {1023, 2, 8}, {1024, 7, 3, 3}, {1025, 5, 3, 2}, {2500, 4, 2},
                         {40, 64, 9},  {130, 33, 12, 3}};

TYPED_TEST(CudaDiagonal, SumsAreThoseOfTheFormula) {
  for (const Shape& shape : kShapes) this->check(shape, shape.n_rows % 2 == 0, true, 1.0);
}

TYPED_TEST(CudaDiagonal, SumsAboutTheCentreAreMovedToTheMeans) {
  for (const Shape& shape : kShapes) this->check(shape, shape.n_rows % 2 == 1, false, 1.0);
}

// 1e4 deviations from the centre: a float would have no digit of a variance left.
TYPED_TEST(CudaDiagonal, SumsAboutTheMeansKeepTheirDigits) {
  this->check({500, 6, 3}, false, true, 1e4);
}

TYPED_TEST(CudaDiagonal, AsManyComponentsAsFitAreRight) {
  const CudaBackend backend = this->backend();
  for (const std::int64_t d : {1, 3, 16, 64}) {
    std::int64_t n_components = 1;
    while (fused_fits<TypeParam>(backend, Covariance::diagonal, n_components + 1, d)) {
      ++n_components;
    }
    this->check({35, d, n_components}, true, true, 1.0);
  }
}

TYPED_TEST(CudaDiagonal, StepFitsWhatItIsMadeFor) {
  const CudaBackend backend = this->backend();
  for (const Covariance covariance : {Covariance::diagonal, Covariance::spherical}) {
    EXPECT_TRUE(fused_fits<TypeParam>(backend, covariance, 32, 16));
    EXPECT_TRUE(fused_fits<TypeParam>(backend, covariance, 1, 1));
    EXPECT_FALSE(fused_fits<TypeParam>(backend, covariance, 1, 100000));
    EXPECT_FALSE(fused_fits<TypeParam>(backend, covariance, 100000, 1));
    EXPECT_FALSE(fused_fits<TypeParam>(backend, covariance, std::int64_t{1} << 40, 1000));
  }
  EXPECT_FALSE(fused_fits<TypeParam>(backend, Covariance::full, 2, 2));
  EXPECT_FALSE(fused_fits<TypeParam>(backend, Covariance::tied, 2, 2));
}

// Components so narrow that the squares of all distances leave T.
TYPED_TEST(CudaDiagonal, RowsBeyondTheRangeGoToTheNearest) {
  const double narrow = sizeof(TypeParam) == 4 ? 1e-21 : 1e-165;
  DiagonalCase<TypeParam> c({300, 3, 5}, true, 0.0, 12, narrow);
  const auto result = this->run(c, true, true);
  Real likelihood = 0;
  std::vector<Real> count(5, 0), sum(15, 0), size(15, 0);
  for (std::int64_t row = 0; row < c.n; ++row) {
    const auto w = static_cast<Real>(c.weights[c.at(row)]);
    std::vector<Real> log_joint;
    for (std::int64_t k = 0; k < 5; ++k) {
      Real norm = 0;
      for (std::int64_t j = 0; j < 3; ++j) {
        const Real y =
            (c.framed(row, j) - c.shift(k, j)) * static_cast<Real>(c.whitening[c.at(k * 3 + j)]);
        norm += y * y;
      }
      log_joint.push_back(static_cast<Real>(c.log_constants[c.at(k)]) - norm / 2);
    }
    const auto best = std::max_element(log_joint.begin(), log_joint.end()) - log_joint.begin();
    likelihood += w * log_joint[c.at(best)];
    count[c.at(best)] += w;
    for (std::int64_t j = 0; j < 3; ++j) {
      const Real z = c.framed(row, j) - c.shift(best, j);
      sum[c.at(best * 3 + j)] += w * z;
      size[c.at(best * 3 + j)] += w * std::abs(z);
    }
  }
  const Real tolerance = 308 * kUnit<TypeParam>;
  if (sizeof(TypeParam) == 4) {
    EXPECT_NEAR(static_cast<double>(result.heads[Layout::kLogLikelihood] / likelihood), 1.0,
                0x1p-40);  // in double: nothing of float is in it
  } else {
    EXPECT_EQ(result.heads[Layout::kLogLikelihood], -HUGE_VAL);  // as it is
  }
  EXPECT_EQ(result.heads[Layout::kEntropy], 0.0);
  for (std::int64_t k = 0; k < 5; ++k) {
    EXPECT_LE(std::abs(result.heads[c.at(4 + k)] - count[c.at(k)]), tolerance * count[c.at(k)]);
    for (std::int64_t j = 0; j < 3; ++j) {
      EXPECT_LE(std::abs(result.tails[c.at(k * 3 + j)] - sum[c.at(k * 3 + j)]),
                tolerance * size[c.at(k * 3 + j)]);
    }
  }
}

TYPED_TEST(CudaDiagonal, ComponentsWithoutWeightGetNothing) {
  DiagonalCase<TypeParam> c({100, 4, 3}, false, 0.0, 3);
  c.log_constants[1] = -std::numeric_limits<TypeParam>::infinity();
  const auto result = this->run(c, false, true);
  EXPECT_EQ(result.heads[5], 0.0);
  EXPECT_NEAR(result.heads[4] + result.heads[6], 100.0,
              static_cast<double>(100 * 110 * kUnit<TypeParam>));
  for (std::size_t j = 4; j < 8; ++j) {
    EXPECT_EQ(result.tails[j], TypeParam{0});
    EXPECT_EQ(result.tails[12 + j], TypeParam{0});
  }
}

TYPED_TEST(CudaDiagonal, RecordsDependOnTheirRowsAloneAndHaveTheSameBitsTwice) {
  const DiagonalCase<TypeParam> whole({1500, 5, 6}, true, 1.0, 4);
  DiagonalCase<TypeParam> part = whole;
  part.n -= kBlockRows;
  part.x.erase(part.x.begin(), part.x.begin() + kBlockRows * part.stride);
  part.weights.erase(part.weights.begin(), part.weights.begin() + kBlockRows);
  for (const bool about_means : {false, true}) {
    const auto all = this->run(whole, true, about_means);
    const auto again = this->run(whole, true, about_means);
    const auto second = this->run(part, true, about_means);
    for (std::size_t i = 0; i + 1 < all.heads.size(); ++i) {
      ASSERT_EQ(all.heads[i], again.heads[i]);
    }
    for (std::size_t i = 0; i < 10; ++i) ASSERT_EQ(all.heads[10 + i], second.heads[i]);
    for (std::size_t i = 0; i + 1 < all.tails.size(); ++i) {
      ASSERT_EQ(all.tails[i], again.tails[i]);
    }
    for (std::size_t i = 0; i < 60; ++i) ASSERT_EQ(all.tails[60 + i], second.tails[i]);
  }
}

TYPED_TEST(CudaDiagonal, NoRowsWriteNothing) {
  this->run(DiagonalCase<TypeParam>({0, 3, 2}, false, 0.0, 1), false, true);
}

}  // namespace
}  // namespace culatent::gaussian_mixture
