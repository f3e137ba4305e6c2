#include <gtest/gtest.h>

#include "culatent/kmeans.hpp"
#include "tests/core/kmeans_case.hpp"

namespace culatent {
namespace {

using kmeans_case::same_bits;

// More rows in one cluster than float32 can count, and more rows times clusters than 32 bits hold.
// Row i is i mod 128, but for the last, which lies alone far away.
TEST(KmeansSlow, CountsBeyondWhatFloatsAndIntegersHold) {
  constexpr std::int64_t kRows = (std::int64_t{1} << 24) + 7, kClusters = 130;
  const GeneratedRows<float> rows(kRows, 1, [](std::int64_t first, MatrixView<float> out) {
    for (std::int64_t i = 0; i < out.rows; ++i) {
      const std::int64_t row = first + i;
      out(i, 0) = row + 1 == kRows ? 1e4f : static_cast<float>(row % 128);
    }
  });
  kmeans::Options options{.n_clusters = 2, .max_iter = 1, .tol = 0.0};
  options.start = Matrix<double>(2, 1);
  options.start(0, 0) = 1.0;
  options.start(1, 0) = 9e3;
  const Context context({.n_threads = 2});
  const kmeans::Fit two = kmeans::fit<float>(context, rows, options);
  EXPECT_EQ(two.model.counts, (std::vector<double>{kRows - 1, 1}));
  // 2^24 + 6 rows: 2^17 times 0 to 127, then 0 to 5.
  const double sum = std::ldexp(127.0 * 64.0, 17) + 15.0;
  EXPECT_NEAR(two.model.centroids(0, 0), sum / static_cast<double>(kRows - 1), 1e-9);
  EXPECT_NEAR(two.model.centroids(1, 0), 1e4, 1e4 * 0x1p-23);

  options.n_clusters = static_cast<int>(kClusters);
  options.max_iter = 1;
  options.start = Matrix<double>(kClusters, 1);
  for (std::int64_t k = 0; k < kClusters; ++k) {
    options.start(k, 0) = k < 128 ? static_cast<double>(k) + 0.25 : 1e4 + static_cast<double>(k);
  }
  const kmeans::Fit many = kmeans::fit<float>(context, rows, options);
  for (std::int64_t k = 0; k < 128; ++k) {
    const double expected = std::ldexp(1.0, 17) + (k < 6 ? 1.0 : 0.0);
    EXPECT_EQ(many.model.counts[static_cast<std::size_t>(k)], expected) << k;
    EXPECT_EQ(many.model.centroids(k, 0), static_cast<double>(k)) << k;
  }
  EXPECT_EQ(many.model.counts[128], 1.0);
  EXPECT_EQ(many.inertia, 0.0);
}

TEST(KmeansSlow, ThousandsOfClustersTwiceTheSame) {
  const Matrix<float> rows = kmeans_case::cast<float>(kmeans_case::uniform_rows(1024 * 128, 8, 1));
  const kmeans::Options options{.n_clusters = 4096, .max_iter = 2, .tol = 0.0, .seed = 1};
  kmeans::Options random = options;
  random.init = kmeans::Init::random;
  const kmeans::Fit once = kmeans::fit<float>(Context({.n_threads = 2}), rows.view(), random);
  const kmeans::Fit twice = kmeans::fit<float>(Context({.n_threads = 1}), rows.view(), random);
  EXPECT_TRUE(same_bits(once, twice));
  EXPECT_EQ(once.n_empty, 0);
}

}  // namespace
}  // namespace culatent
