#include "host/exact_sums.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cfloat>
#include <cmath>
#include <limits>
#include <thread>

#include "tests/core/oracle.hpp"

namespace culatent {
namespace {

using oracle::Draws;

/// An exact sum of doubles: fixed point with 32 bits a limb, from 2^-1152 up. Limbs are 64 bits, so
/// 2^31 additions need no carry.
class FixedPoint {
 public:
  void add(double value) {
    int exponent = 0;
    const double mantissa = std::frexp(value, &exponent);  // |mantissa| in [1/2, 1)
    const auto whole = static_cast<std::int64_t>(std::ldexp(mantissa, 53));
    const int lowest = exponent - 53 + kBelow;  // bit of the last digit
    const auto limb = static_cast<std::size_t>(lowest / 32);
    const __int128 wide = static_cast<__int128>(std::abs(whole)) << (lowest % 32);
    const int sign = whole < 0 ? -1 : 1;
    for (std::size_t i = 0; i < 3; ++i) {
      limbs_[limb + i] += sign * static_cast<std::int64_t>((wide >> (32 * i)) & 0xFFFFFFFF);
    }
  }
  /// To long double: exact but for one rounding of each of the first limbs.
  long double value() const {
    std::array<std::int64_t, kLimbs> carried = limbs_;
    for (std::size_t i = 0; i + 1 < kLimbs; ++i) {
      const std::int64_t carry = carried[i] >> 32;
      carried[i] -= carry * (std::int64_t{1} << 32);
      carried[i + 1] += carry;
    }
    long double sum = 0;
    for (std::size_t i = kLimbs; i-- > 0;) {
      sum += std::ldexp(static_cast<long double>(carried[i]), 32 * static_cast<int>(i) - kBelow);
    }
    return sum;
  }

 private:
  static constexpr int kBelow = 1152;
  static constexpr std::size_t kLimbs = 72;
  std::array<std::int64_t, kLimbs> limbs_{};
};

double sum_of(const std::vector<double>& addends) {
  ExactSums sums(1);
  for (const double a : addends) sums.add(std::span(&a, 1));
  return sums.value(0);
}

// What the sum is off by, in exact arithmetic.
long double error_of(const std::vector<double>& addends, double sum) {
  FixedPoint exact;
  for (const double a : addends) exact.add(a);
  exact.add(-sum);
  return std::abs(exact.value());
}

double greatest(const std::vector<double>& addends) {
  double result = 0;
  for (const double a : addends) result = std::max(result, std::abs(a));
  return result;
}

// Signs and magnitudes at random: 10^low … 10^high.
std::vector<double> wild(std::int64_t n, double low, double high, std::uint64_t seed) {
  Draws draws(seed);
  std::vector<double> result;
  for (std::int64_t i = 0; i < n; ++i) {
    const double size = std::pow(10.0, draws.uniform(low, high));
    result.push_back(draws.uniform() < 0.5 ? -size : size);
  }
  return result;
}

struct Range {
  double low, high;
};
std::ostream& operator<<(std::ostream& out, const Range& range) {
  return out << "1e" << range.low << " to 1e" << range.high;
}
class ExactSumsOf : public testing::TestWithParam<Range> {};

TEST_P(ExactSumsOf, ErrAtMostAsDocumented) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const auto addends = wild(3000, GetParam().low, GetParam().high, seed);
    const double sum = sum_of(addends);
    const auto n = static_cast<long double>(addends.size());
    const long double ulp = std::nextafter(std::abs(sum), HUGE_VAL) - std::abs(sum);
    EXPECT_LE(error_of(addends, sum), n * 0x1p-64L * greatest(addends) + ulp / 2) << seed;
  }
}

TEST_P(ExactSumsOf, DoNotDependOnTheOrder) {
  auto addends = wild(2000, GetParam().low, GetParam().high, 7);
  const double sum = sum_of(addends);
  Draws draws(8);
  for (int round = 0; round < 30; ++round) {
    for (std::size_t i = addends.size() - 1; i > 0; --i) {
      std::swap(addends[i],
                addends[static_cast<std::size_t>(draws.below(static_cast<int>(i) + 1))]);
    }
    EXPECT_EQ(std::bit_cast<std::uint64_t>(sum_of(addends)), std::bit_cast<std::uint64_t>(sum));
  }
}

TEST_P(ExactSumsOf, DoNotDependOnSplitsAndMerges) {
  const auto addends = wild(2000, GetParam().low, GetParam().high, 9);
  const double sum = sum_of(addends);
  Draws draws(10);
  for (int round = 0; round < 20; ++round) {
    const std::int64_t n_parts = 1 + draws.below(7);
    std::vector<ExactSums> parts;
    for (std::int64_t p = 0; p < n_parts; ++p) parts.emplace_back(1);
    for (const double a : addends) {
      parts[static_cast<std::size_t>(draws.below(n_parts))].add(std::span(&a, 1));
    }
    while (parts.size() > 1) {  // merged in any order, and in both directions
      const auto i = static_cast<std::size_t>(draws.below(static_cast<int>(parts.size()) - 1));
      parts[i].merge(parts.back());
      parts.pop_back();
    }
    EXPECT_EQ(std::bit_cast<std::uint64_t>(parts[0].value(0)), std::bit_cast<std::uint64_t>(sum));
  }
}

INSTANTIATE_TEST_SUITE_P(Magnitudes, ExactSumsOf,
                         testing::Values(Range{0, 1}, Range{-5, 5}, Range{-300, 300},
                                         Range{290, 300}, Range{-320, -300}, Range{-323.3, -300}),
                         [](const auto& test) { return "Range" + std::to_string(test.index); });

TEST(ExactSums, CancelExactly) {
  EXPECT_EQ(sum_of({1e16, 1.0, -1e16}), 1.0);
  EXPECT_EQ(sum_of({0.1, 0.2, -0.3}), 0x1p-55);  // their exact values leave this
  std::vector<double> addends = wild(1000, -4, 4, 3);
  const std::size_t half = addends.size();
  for (std::size_t i = 0; i < half; ++i) addends.push_back(-addends[i]);
  EXPECT_EQ(sum_of(addends), 0.0);
}

TEST(ExactSums, RoundToNearest) {
  EXPECT_EQ(sum_of({1.0, DBL_EPSILON / 2}), 1.0);                         // a tie, to even
  EXPECT_EQ(sum_of({1.0, DBL_EPSILON / 2, 0x1p-60}), 1.0 + DBL_EPSILON);  // just above it
  EXPECT_EQ(sum_of({1.0 + DBL_EPSILON, DBL_EPSILON / 2}), 1.0 + 2 * DBL_EPSILON);
  EXPECT_EQ(sum_of({-1.0, -DBL_EPSILON / 2, -0x1p-60}), -1.0 - DBL_EPSILON);
}

TEST(ExactSums, AddSubnormals) {
  const double least = std::numeric_limits<double>::denorm_min();
  EXPECT_EQ(sum_of({least}), least);
  EXPECT_EQ(sum_of({least, least, least}), 3 * least);
  EXPECT_EQ(sum_of({DBL_MIN, -least}), DBL_MIN - least);
  EXPECT_EQ(sum_of({least, -least}), 0.0);
  EXPECT_EQ(sum_of({}), 0.0);
  EXPECT_EQ(sum_of({0.0, -0.0}), 0.0);
}

TEST(ExactSums, ReachTheLargestDouble) {
  EXPECT_EQ(sum_of({DBL_MAX, DBL_MAX, -DBL_MAX}), DBL_MAX);  // the way there is above the range
  EXPECT_EQ(sum_of({DBL_MAX}), DBL_MAX);
  EXPECT_EQ(sum_of({DBL_MAX, DBL_MAX}), HUGE_VAL);
}

TEST(ExactSums, CarryNaNAndInfinity) {
  const double nan = std::nan(""), inf = HUGE_VAL;
  // What the first two addends and the rest come to, however they are split.
  const std::vector<std::vector<double>> cases = {
      {nan, 1.0, 2.0},  {1.0, nan, -inf}, {inf, 1.0, -1e308}, {inf, inf, 0.0}, {-inf, 5.0, 1e308},
      {1.0, -inf, 3.0}, {inf, -inf, 1.0}, {-inf, 1.0, inf},   {1.0, 2.0, -inf}};
  for (const auto& addends : cases) {
    double plain = 0.0;
    for (const double a : addends) plain += a;
    ExactSums one(1), first(1), second(1);
    for (std::size_t i = 0; i < addends.size(); ++i) {
      one.add(std::span(&addends[i], 1));
      (i < 2 ? first : second).add(std::span(&addends[i], 1));
    }
    ExactSums other = std::move(second);
    other.merge(first);
    for (const double actual : {one.value(0), other.value(0)}) {
      EXPECT_TRUE(actual == plain || (std::isnan(actual) && std::isnan(plain))) << actual;
    }
    other.clear();
    const double five = 5.0;
    other.add(std::span(&five, 1));
    EXPECT_EQ(other.value(0), 5.0);
  }
}

TEST(ExactSums, TakeVectorsAtAnOffset) {
  ExactSums sums(5000);  // more than one lock's worth
  std::vector<double> part(2100);
  for (std::size_t i = 0; i < part.size(); ++i) part[i] = static_cast<double>(i);
  sums.add(part, 2000);
  sums.add(part, 2900);
  std::vector<double> out(5000);
  sums.round(out);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double first = i >= 2000 && i < 4100 ? static_cast<double>(i - 2000) : 0.0;
    const double second = i >= 2900 ? static_cast<double>(i - 2900) : 0.0;
    ASSERT_EQ(out[i], first + second) << i;
  }
}

TEST(ExactSums, TakeManyThreadsAtOnce) {
  constexpr std::size_t kSize = 5000;
  constexpr int kThreads = 4, kRounds = 50;
  std::vector<std::vector<double>> addends;
  for (int t = 0; t < kThreads; ++t) {
    addends.push_back(wild(kSize, -8, 8, static_cast<std::uint64_t>(t)));
  }
  ExactSums together(kSize), alone(kSize);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) together.add(addends[static_cast<std::size_t>(t)]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& a : addends) {
    for (int i = 0; i < kRounds; ++i) alone.add(a);
  }
  std::vector<double> actual(kSize), expected(kSize);
  together.round(actual);
  alone.round(expected);
  EXPECT_EQ(actual, expected);
}

}  // namespace
}  // namespace culatent
