#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <random>
#include <string>
#include <vector>

#include "culatent/gaussian_mixture.hpp"
#include "tests/cuda/cuda_test.hpp"

// `fast` where it may be taken and where it may not (Options::precision).
namespace culatent {
namespace {

namespace gm = gaussian_mixture;

constexpr std::int64_t kRows = 1500;    // two blocks
constexpr std::int64_t kFeatures = 26;  // wide enough for tensor cores in both steps

// Standard normals about 0.5; every other row `distance` farther away in all features.
Matrix<float> two_clouds(float distance) {
  std::mt19937_64 engine(3);
  std::normal_distribution<float> normal(0.5f, 1.0f);
  Matrix<float> rows(kRows, kFeatures);
  for (std::int64_t i = 0; i < kRows; ++i) {
    for (std::int64_t j = 0; j < kFeatures; ++j) {
      rows(i, j) = normal(engine) + (i % 2 == 0 ? 0.0f : distance);
    }
  }
  return rows;
}

// One update from spherical components at the clouds.
gm::Fit fit_on_device(const Matrix<float>& rows, int n_components, float distance,
                      Precision precision, double sigma = 1.0) {
  gm::Options options{.n_components = n_components, .max_iter = 1, .tol = 0.0, .reg_covar = 0.0};
  options.seed = 1;
  options.precision = precision;
  options.start.weights.assign(static_cast<std::size_t>(n_components), 1.0 / n_components);
  options.start.means = Matrix<double>(n_components, kFeatures);
  for (int k = 0; k < n_components; ++k) {
    std::fill_n(&options.start.means(k, 0), kFeatures, k * static_cast<double>(distance));
    for (std::int64_t i = 0; i < kFeatures * kFeatures; ++i) {
      options.start.covariances.push_back(i % (kFeatures + 1) == 0 ? sigma * sigma : 0.0);
    }
  }
  return gm::fit<float>(Context({.device = "cuda"}), rows.view(), options);
}

bool same_bits(const gm::Fit& a, const gm::Fit& b) {
  const auto size = a.model.covariances.size();
  return a.trace.back().log_likelihood == b.trace.back().log_likelihood &&
         std::memcmp(a.model.covariances.data(), b.model.covariances.data(), 8 * size) == 0 &&
         std::memcmp(a.model.means.data(), b.model.means.data(),
                     8 * static_cast<std::size_t>(a.model.means.size())) == 0;
}

// What a fit says of its precision; empty: nothing.
std::string warning(const gm::Fit& fit) {
  for (const Warning& warning : fit.warnings) {
    if (warning.code == "precision") return warning.text;
  }
  return "";
}

class GaussianMixturePrecision : public CudaTest {};

// One component takes every row whole, so the bounds of both steps are known in closed form.
TEST_F(GaussianMixturePrecision, KeepsToTheStatedBoundsOfFp64) {
  const Matrix<float> rows = two_clouds(0.0f);
  std::vector<double> centre(kFeatures), mean_absolute(kFeatures);
  std::vector<double> products(kFeatures * kFeatures), absolute(kFeatures * kFeatures);
  const auto at = [](std::int64_t i, std::int64_t j) {
    return static_cast<std::size_t>(i * kFeatures + j);
  };
  double log_likelihood = 0.0;
  for (std::int64_t n = 0; n < kRows; ++n) {
    double squares = 0.0;
    for (std::int64_t i = 0; i < kFeatures; ++i) {
      const double x = static_cast<double>(rows(n, i));
      centre[at(0, i)] += x / kRows;
      mean_absolute[at(0, i)] += std::abs(x) / kRows;
      squares += x * x;
      for (std::int64_t j = 0; j < kFeatures; ++j) {
        const double product = x * static_cast<double>(rows(n, j));
        products[at(i, j)] += product / kRows;
        absolute[at(i, j)] += std::abs(product) / kRows;
      }
    }
    log_likelihood -= 0.5 * (squares + kFeatures * std::log(2 * std::numbers::pi)) / kRows;
  }
  for (const Precision precision : {Precision::fp32, Precision::fast}) {
    const bool fast = precision == Precision::fast;
    const double split = fast ? 3 * 0x1p-16 : 5 * 0x1p-22;
    const gm::Fit fit = fit_on_device(rows, 1, 0.0f, precision);
    EXPECT_EQ(warning(fit), "");

    // y = W x' - W mu with W = 1: x' errs by its rounding, W mu by its own, the sum over features
    // by what log_joint() states; a row's density sums the squares in float.
    const double adding = (3 * ((kFeatures + 7) / 8) + 4) * 0x1p-23;
    double bound = 0.0;
    for (std::int64_t n = 0; n < kRows; ++n) {
      double density = 0.0;
      for (std::int64_t i = 0; i < kFeatures; ++i) {
        const double x = static_cast<double>(rows(n, i));
        const double reach = std::abs(x - centre[at(0, i)]) + std::abs(centre[at(0, i)]);
        const double error = (split + adding) * reach;
        bound += (std::abs(x) * error + 0.5 * error * error) / kRows;
        density += 0.5 * x * x;
      }
      bound += kFeatures * 0x1p-23 * density / kRows + 0x1p-23 * std::abs(log_likelihood) / kRows;
    }
    EXPECT_NEAR(fit.trace.front().log_likelihood, log_likelihood, bound);

    // The mean's sums are FMA of a block's rows; its square leaves the second moments.
    const double sums = kBlockRows * 0x1p-24;
    const double share = split + (fast ? 3 * kBlockRows / 16 : kBlockRows / 8 + 3) * 0x1p-23;
    double worst = 0.0;
    for (std::int64_t i = 0; i < kFeatures; ++i) {
      for (std::int64_t j = 0; j < kFeatures; ++j) {
        const double expected = products[at(i, j)] - centre[at(0, i)] * centre[at(0, j)];
        const double found = fit.model.covariances[at(i, j)];
        const double mean_error = sums * (mean_absolute[at(0, i)] * std::abs(centre[at(0, j)]) +
                                          mean_absolute[at(0, j)] * std::abs(centre[at(0, i)]));
        ASSERT_NEAR(found, expected, share * absolute[at(i, j)] + mean_error) << i << " " << j;
        worst = std::max(worst, std::abs(found - expected) / absolute[at(i, j)]);
      }
    }
    // It is bfloat16 that was taken: no fp32-grade product errs so much.
    EXPECT_EQ(worst > 5 * 0x1p-22, fast);
  }
}

TEST_F(GaussianMixturePrecision, TakesFastWhereItIsAffordable) {
  const Matrix<float> rows = two_clouds(4.0f);
  const gm::Fit fast = fit_on_device(rows, 2, 4.0f, Precision::fast);
  EXPECT_FALSE(same_bits(fit_on_device(rows, 2, 4.0f, Precision::fp32), fast));
  EXPECT_EQ(warning(fast), "");
}

// The scale of the frame follows the outlier, what y loses does not.
TEST_F(GaussianMixturePrecision, TakesFastInSpiteOfAnOutlier) {
  Matrix<float> rows = two_clouds(4.0f);
  std::fill_n(&rows(0, 0), kFeatures, 1000.0f);
  const gm::Fit fast = fit_on_device(rows, 2, 4.0f, Precision::fast);
  EXPECT_FALSE(same_bits(fit_on_device(rows, 2, 4.0f, Precision::fp32), fast));
  EXPECT_EQ(warning(fast), "");
}

// Clouds a standard deviation wide, 1000 apart: 2⁻¹⁷ of √26 · 700 is above 2⁻⁷.
TEST_F(GaussianMixturePrecision, TakesFp32WhereFastIsTooCoarse) {
  const Matrix<float> rows = two_clouds(1000.0f);
  const gm::Fit exact = fit_on_device(rows, 2, 1000.0f, Precision::fp32);
  const gm::Fit fast = fit_on_device(rows, 2, 1000.0f, Precision::fast);
  EXPECT_TRUE(same_bits(exact, fast));
  EXPECT_NE(warning(fast).find("2 of 2 passes took fp32"), std::string::npos) << warning(fast);
  EXPECT_EQ(warning(exact), "");
}

// Of components as wide as the data the first pass is fast; the second is of what it found.
TEST_F(GaussianMixturePrecision, LooksAtThePrecisionOfEveryPass) {
  const Matrix<float> rows = two_clouds(1000.0f);
  const gm::Fit fast = fit_on_device(rows, 2, 1000.0f, Precision::fast, 500.0);
  EXPECT_NE(warning(fast).find("1 of 2 passes took fp32"), std::string::npos) << warning(fast);
}

}  // namespace
}  // namespace culatent
