#include "kernels/cpu/fft.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <limits>
#include <numbers>
#include <vector>

#include "culatent/matrix.hpp"
#include "host/random.hpp"

namespace culatent::cpu {
namespace {

using Long = std::complex<long double>;

// The definition, in long double.
std::vector<Long> transform(const std::vector<Long>& x) {
  const auto n = static_cast<std::int64_t>(x.size());
  std::vector<Long> out;
  for (std::int64_t k = 0; k < n; ++k) {
    Long sum = 0.0L;
    for (std::int64_t t = 0; t < n; ++t) {
      const auto turn = static_cast<long double>(k * t % n) / static_cast<long double>(n);
      sum += x[static_cast<std::size_t>(t)] *
             std::polar(1.0L, -2.0L * std::numbers::pi_v<long double> * turn);
    }
    out.push_back(sum);
  }
  return out;
}

template <class T>
class FourierTransform : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(FourierTransform, Types);

TYPED_TEST(FourierTransform, IsTheSumOfItsDefinitionInEveryLane) {
  using T = TypeParam;
  using S = Simd<T>;
  // Every radix, every pair of radices, odd and even numbers of passes.
  for (const std::int64_t n : {2, 4, 6, 8, 10, 12, 16, 18, 20, 30, 50, 60, 90, 96, 120, 128, 300}) {
    const Fft<T> fft(n);
    Matrix<T> re(n, S::kLanes), im(n, S::kLanes), scratch(2 * n, S::kLanes);
    for (std::int64_t t = 0; t < n; ++t) {
      for (int lane = 0; lane < S::kLanes; ++lane) {
        const auto draw =
            random::normals(7, random::Stream::positions, static_cast<std::uint64_t>(t),
                            static_cast<std::uint32_t>(lane));
        re(t, lane) = static_cast<T>(draw[0]);
        im(t, lane) = static_cast<T>(draw[1]);
      }
    }
    std::vector<std::vector<Long>> expected;
    for (int lane = 0; lane < S::kLanes; ++lane) {
      std::vector<Long> x;
      for (std::int64_t t = 0; t < n; ++t) x.emplace_back(re(t, lane), im(t, lane));
      expected.push_back(transform(x));
    }
    const auto vectors = [](Matrix<T>& m) { return reinterpret_cast<typename S::Vec*>(m.data()); };
    const Matrix<T> before = re;
    fft.transform(vectors(re), vectors(im), vectors(scratch));
    // Each of log2 n passes rounds values whose root mean square is sqrt(2 n).
    const double size = std::sqrt(2.0 * static_cast<double>(n));
    const double tolerance =
        4.0 * std::numeric_limits<T>::epsilon() * size * (1.0 + std::log2(static_cast<double>(n)));
    for (std::int64_t k = 0; k < n; ++k) {
      for (int lane = 0; lane < S::kLanes; ++lane) {
        const Long value = expected[static_cast<std::size_t>(lane)][static_cast<std::size_t>(k)];
        ASSERT_NEAR(re(k, lane), static_cast<double>(value.real()), tolerance) << n << " " << k;
        ASSERT_NEAR(im(k, lane), static_cast<double>(value.imag()), tolerance) << n << " " << k;
      }
    }
    // With the parts exchanged: back again, times n.
    fft.transform(vectors(im), vectors(re), vectors(scratch));
    for (std::int64_t t = 0; t < n; ++t) {
      const auto scale = static_cast<double>(n);
      ASSERT_NEAR(re(t, 0) / scale, before(t, 0), 2.0 * tolerance / std::sqrt(scale)) << n;
    }
  }
}

TEST(FourierSize, IsTheNextEvenProductOfTwosThreesAndFives) {
  EXPECT_EQ(fft_size(1), 2);
  EXPECT_EQ(fft_size(7), 8);
  EXPECT_EQ(fft_size(13), 16);  // 15 is odd
  EXPECT_EQ(fft_size(98), 100);
  EXPECT_EQ(fft_size(1025), 1080);
  EXPECT_EQ(fft_size(4097), 4320);
}

}  // namespace
}  // namespace culatent::cpu
