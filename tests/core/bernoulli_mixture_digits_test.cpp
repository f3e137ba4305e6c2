#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>

#include "culatent/bernoulli_mixture.hpp"
#include "culatent/clustering_quality.hpp"
#include "tests/core/golden.hpp"
#include "tests/device.hpp"

/// The lecture's example: handwritten 3, 5 and 8 in black and white, three components.
namespace culatent {
namespace {

namespace bm = bernoulli_mixture;

struct Digits {
  Matrix<double> images;  // [N, 64], 1 where a pixel is at least half black
  std::vector<std::int64_t> digits;
};

Digits digits_3_5_8() {
  const Matrix<double> all = golden::read_matrix(CULATENT_TEST_DATA "/data/digits.npy");
  const Matrix<double> labels = golden::read_matrix(CULATENT_TEST_DATA "/data/digits_labels.npy");
  std::vector<std::int64_t> rows;
  Digits result;
  for (std::int64_t i = 0; i < all.rows(); ++i) {
    const auto digit = static_cast<std::int64_t>(labels.data()[i]);
    if (digit != 3 && digit != 5 && digit != 8) continue;
    rows.push_back(i);
    result.digits.push_back(digit);
  }
  result.images = Matrix<double>(static_cast<std::int64_t>(rows.size()), all.cols());
  for (std::int64_t i = 0; i < result.images.rows(); ++i) {
    for (std::int64_t j = 0; j < all.cols(); ++j) {
      result.images(i, j) = all(rows[static_cast<std::size_t>(i)], j) >= 8.0 ? 1.0 : 0.0;
    }
  }
  return result;
}

// EM as the method has it, with this smoothing, written in numpy and run from 200 random starts
// (responsibilities of Dirichlet(1, 1, 1), until the log-likelihood rises by less than 1e-9): 95
// end at -19.410608 a row with an adjusted Rand index of 0.7442 (scikit-learn's), 85 at -19.4294
// with 0.5639, the others below -19.77 with less than 0.38. None ends higher.
constexpr double kLogLikelihood = -19.410608;
constexpr double kAdjustedRand = 0.7442;

TEST(BernoulliMixtureDigits, FindsTheThreeDigits) {
  const Digits data = digits_3_5_8();
  ASSERT_EQ(data.images.rows(), 539);
  const Context context(on_device({.n_threads = 2}));
  for (const auto init : {bm::Init::kmeans, bm::Init::random, bm::Init::random_rows}) {
    const bm::Fit fit = bm::fit<double>(
        context, data.images.view(),
        {.n_components = 3, .max_iter = 1000, .tol = 1e-10, .init = init, .n_init = 20, .seed = 1});
    EXPECT_NEAR(fit.trace.back().log_likelihood, kLogLikelihood, 2e-6);
    std::vector<std::int32_t> labels(data.digits.size());
    bm::predict<double>(context, fit.model, data.images.view(), labels);
    const std::vector<std::int64_t> found(labels.begin(), labels.end());
    EXPECT_NEAR(clustering_quality::adjusted_rand(data.digits, found), kAdjustedRand, 1e-4);
    // What most images of a component show is a digit of its own.
    std::set<std::int64_t> shown;
    for (std::int64_t k = 0; k < 3; ++k) {
      std::array<std::int64_t, 10> counts{};
      for (std::size_t i = 0; i < found.size(); ++i) {
        if (found[i] == k) ++counts[static_cast<std::size_t>(data.digits[i])];
      }
      shown.insert(std::max_element(counts.begin(), counts.end()) - counts.begin());
    }
    EXPECT_EQ(shown, (std::set<std::int64_t>{3, 5, 8}));
  }
}

}  // namespace
}  // namespace culatent
