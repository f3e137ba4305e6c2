#include "host/random.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

namespace culatent::random {
namespace {

using Words = std::array<std::uint32_t, 4>;

// Vectors published with Random123 (kat_vectors, philox4x32 10). The counter's words are the
// element (low, high), the index and the stream; the key's are the seed (low, high).
TEST(Philox, GivesThePublishedVectors) {
  EXPECT_EQ(words(0, Stream{0}, 0, 0), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(words(~0ull, Stream{0xffffffff}, ~0ull, 0xffffffff),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  // counter 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0: digits of pi
  EXPECT_EQ(words(0x299f31d0a4093822, Stream{0x03707344}, 0x85a308d3243f6a88, 0x13198a2e),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Uniform, LiesStrictlyInsideTheUnitInterval) {
  EXPECT_GT(to_uniform(0, 0), 0.0);
  EXPECT_LT(to_uniform(0xffffffff, 0xffffffff), 1.0);
  EXPECT_LT(to_uniform(0, 0xffffffff), to_uniform(1, 0));
}

constexpr int kDraws = 200000;

// Means of kDraws values are tested at 5 standard errors: a false alarm in 2 million.
void expect_mean(double sum, double mean, double variance, const char* what) {
  EXPECT_NEAR(sum / kDraws, mean, 5.0 * std::sqrt(variance / kDraws)) << what;
}

TEST(Uniform, HasTheMomentsOfTheUniformDistribution) {
  double first = 0.0, second = 0.0, serial = 0.0, last = 0.5;
  for (int i = 0; i < kDraws; ++i) {
    const double u = uniform(42, Stream::seed_rows, static_cast<std::uint64_t>(i), 0);
    ASSERT_GT(u, 0.0);
    ASSERT_LT(u, 1.0);
    first += u;
    second += u * u;
    serial += (u - 0.5) * (last - 0.5);
    last = u;
  }
  expect_mean(first, 1.0 / 2, 1.0 / 12, "mean");
  expect_mean(second, 1.0 / 3, 1.0 / 5 - 1.0 / 9, "square");
  expect_mean(serial, 0.0, 1.0 / 144, "product with the one before");
}

TEST(Normals, HaveTheMomentsOfTheNormalDistribution) {
  double moment[5] = {}, product = 0.0;
  for (int i = 0; i < kDraws / 2; ++i) {
    const auto pair = normals(7, Stream::sample_normal, static_cast<std::uint64_t>(i), 3);
    for (const double z : pair) {
      double power = 1.0;
      for (double& m : moment) {
        m += power;
        power *= z;
      }
    }
    product += 2.0 * pair[0] * pair[1];
  }
  expect_mean(moment[1], 0.0, 1.0, "mean");
  expect_mean(moment[2], 1.0, 2.0, "second moment");
  expect_mean(moment[3], 0.0, 15.0, "third moment");
  expect_mean(moment[4], 3.0, 96.0, "fourth moment");
  expect_mean(product, 0.0, 2.0, "product of a pair");
}

TEST(Normals, HaveTheTailsOfTheNormalDistribution) {
  int beyond = 0;
  for (int i = 0; i < kDraws / 2; ++i) {
    for (const double z : normals(8, Stream::sample_normal, static_cast<std::uint64_t>(i), 0)) {
      beyond += std::abs(z) > 3.0;
    }
  }
  const double p = std::erfc(3.0 / std::sqrt(2.0));
  expect_mean(beyond, p, p * (1.0 - p), "share beyond 3");
}

TEST(Streams, ShareNoWords) {
  std::set<Words> seen;
  int n = 0;
  for (const std::uint64_t seed : {0ull, 1ull, 1ull << 32, ~0ull}) {
    for (const Stream stream : {Stream::seed_rows, Stream::seed_choice, Stream::responsibilities,
                                Stream::sample_component, Stream::sample_normal}) {
      for (const std::uint64_t element : {0ull, 1ull, 2ull, 1ull << 32, 1ull << 63}) {
        for (const std::uint32_t index : {0u, 1u, 1u << 31}) {
          seen.insert(words(seed, stream, element, index));
          ++n;
        }
      }
    }
  }
  EXPECT_EQ(static_cast<int>(seen.size()), n);
}

TEST(Streams, AreUncorrelated) {
  double between_streams = 0.0, between_seeds = 0.0, between_restarts = 0.0;
  for (int i = 0; i < kDraws; ++i) {
    const auto element = static_cast<std::uint64_t>(i);
    const double u = uniform(5, Stream::seed_rows, element, 0) - 0.5;
    between_streams += u * (uniform(5, Stream::seed_choice, element, 0) - 0.5);
    between_seeds += u * (uniform(6, Stream::seed_rows, element, 0) - 0.5);
    between_restarts += u * (uniform(restart_seed(5, 1), Stream::seed_rows, element, 0) - 0.5);
  }
  expect_mean(between_streams, 0.0, 1.0 / 144, "streams");
  expect_mean(between_seeds, 0.0, 1.0 / 144, "seeds");
  expect_mean(between_restarts, 0.0, 1.0 / 144, "restarts");
}

TEST(RestartSeed, IsTheSeedForTheFirstRestart) {
  EXPECT_EQ(restart_seed(11, 0), 11u);
  EXPECT_NE(restart_seed(11, 1), restart_seed(12, 0));
}

}  // namespace
}  // namespace culatent::random
