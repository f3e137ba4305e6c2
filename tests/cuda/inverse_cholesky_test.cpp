#include "kernels/cuda/inverse_cholesky.hpp"

#include <cmath>
#include <cstring>
#include <string>

#include "tests/core/oracle.hpp"
#include "tests/cuda/cuda_test.hpp"

namespace culatent {
namespace {

using oracle::at;
using oracle::Draws;
using oracle::Real;
using oracle::Square;

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();

// A = L Lᵀ for a planted L with diagonal 1 … 2.
Square planted(std::int64_t d, std::uint64_t seed) {
  Draws draws(seed);
  Square factor(d), a(d);
  for (std::int64_t i = 0; i < d; ++i) {
    for (std::int64_t j = 0; j < i; ++j) {
      factor(i, j) = draws.normal() / std::sqrt(static_cast<double>(d));
    }
    factor(i, i) = draws.uniform(1.0, 2.0);
  }
  for (std::int64_t i = 0; i < d; ++i) {
    for (std::int64_t j = 0; j < d; ++j) {
      for (std::int64_t m = 0; m < d; ++m) a(i, j) += factor(i, m) * factor(j, m);
    }
  }
  return a;
}

Square hilbert(std::int64_t d) {
  Square a(d);
  for (std::int64_t i = 0; i < d; ++i) {
    for (std::int64_t j = 0; j < d; ++j) a(i, j) = Real{1} / static_cast<Real>(i + j + 1);
  }
  return a;
}

// W as a matrix, from its stored transpose.
template <class T>
Square untransposed(const std::vector<T>& inverse, std::int64_t m, std::int64_t d) {
  Square w(d);
  for (std::int64_t i = 0; i < d; ++i) {
    for (std::int64_t j = 0; j < d; ++j) w(i, j) = inverse[at((m * d + j) * d + i)];
  }
  return w;
}

Real norm(const Square& a) {
  Real sum = 0;
  for (const Real value : a.values) sum += value * value;
  return std::sqrt(sum);
}

// |W A Wᵀ − I|, W lower.
Real residual(const Square& w, const Square& a) {
  Square half(a.n), whole(a.n);
  for (std::int64_t i = 0; i < a.n; ++i) {
    for (std::int64_t m = 0; m <= i; ++m) {
      for (std::int64_t j = 0; j < a.n; ++j) half(i, j) += w(i, m) * a(m, j);
    }
  }
  for (std::int64_t i = 0; i < a.n; ++i) {
    for (std::int64_t j = 0; j < a.n; ++j) {
      for (std::int64_t m = 0; m <= j; ++m) whole(i, j) += half(i, m) * w(j, m);
    }
    whole(i, i) -= 1;
  }
  return norm(whole);
}

// |A| |A⁻¹| in the Frobenius norm, from A's own factor.
Real condition(const Square& a) {
  const Square factor = oracle::cholesky(a);
  Square inverse(a.n);
  for (std::int64_t c = 0; c < a.n; ++c) {
    std::vector<Real> y(at(a.n), 0);
    for (std::int64_t i = c; i < a.n; ++i) {
      Real sum = i == c ? 1 : 0;
      for (std::int64_t m = c; m < i; ++m) sum -= factor(i, m) * y[at(m)];
      y[at(i)] = sum / factor(i, i);
    }
    for (std::int64_t i = a.n - 1; i >= 0; --i) {
      Real sum = y[at(i)];
      for (std::int64_t m = i + 1; m < a.n; ++m) sum -= factor(m, i) * inverse(m, c);
      inverse(i, c) = sum / factor(i, i);
    }
  }
  return norm(a) * norm(inverse);
}

class InverseCholesky : public CudaTest {
 protected:
  template <class T>
  struct Result {
    std::vector<T> inverse;
    std::vector<double> log_determinants;
  };

  // Runs on matrices over scale_i scale_j, with margins that must stay as they are. `at_once`: as
  // many matrices as scratch is made for, 0: as it likes.
  template <class T>
  Result<T> run(const std::vector<Square>& matrices, const std::vector<double>& scale,
                std::int64_t at_once = 0) {
    const auto count = static_cast<std::int64_t>(matrices.size());
    const std::int64_t d = matrices.front().n;
    std::vector<double> values;
    for (const Square& a : matrices) {
      for (std::int64_t i = 0; i < d; ++i) {
        for (std::int64_t j = 0; j < d; ++j) {
          // What lies above the diagonal is not looked at.
          values.push_back(j > i ? std::nan("")
                                 : static_cast<double>(a(i, j)) / scale[at(i)] / scale[at(j)]);
        }
      }
    }
    const std::int64_t margin = 17;
    const std::int64_t scratch_size = inverse_cholesky_scratch(at_once > 0 ? at_once : count, d);
    const auto device_values = to_device(values);
    const auto device_scale = to_device(scale);
    auto scratch = blank<double>(scratch_size + margin);
    auto inverse = blank<T>(count * d * d + margin);
    auto log_determinants = blank<double>(count + margin);
    inverse_cholesky(backend(), device_values.data(), count, d, device_scale.data(), scratch.data(),
                     scratch_size, inverse.data(), log_determinants.data());
    Result<T> result{to_host(inverse), to_host(log_determinants)};
    const std::vector<double> used = to_host(scratch);
    for (std::int64_t i = 0; i < margin; ++i) {
      EXPECT_TRUE(std::isnan(used[at(scratch_size + i)]));
      EXPECT_TRUE(std::isnan(result.inverse[at(count * d * d + i)]));
      EXPECT_TRUE(std::isnan(result.log_determinants[at(count + i)]));
    }
    return result;
  }

  static std::vector<double> powers_of_two(std::int64_t d) {
    std::vector<double> scale;
    for (std::int64_t j = 0; j < d; ++j)
      scale.push_back(std::ldexp(1.0, static_cast<int>(j % 41) - 20));
    return scale;
  }

  // Rounding of the elimination moves W A Wᵀ by D u cond(A) at most, the rounding of W to T by
  // √cond(A) of T's; log |L| by as much as the pivots, D u cond(A).
  template <class T>
  static void expect_factor(const Result<T>& result, std::int64_t m, const Square& exact) {
    const std::int64_t d = exact.n;
    Square a(d);  // as the device has it: rounded
    for (std::size_t i = 0; i < a.values.size(); ++i) {
      a.values[i] = static_cast<double>(exact.values[i]);
    }
    const auto n = static_cast<Real>(d);
    const Real conditioned = condition(a);
    const Real rounding = 4 * n * kEpsilon * conditioned;
    const Square w = untransposed(result.inverse, m, d);
    EXPECT_LE(residual(w, a),
              rounding + 4 * n * std::numeric_limits<T>::epsilon() * std::sqrt(conditioned));
    for (std::int64_t i = 0; i < d; ++i) {
      for (std::int64_t j = i + 1; j < d; ++j) ASSERT_EQ(w(i, j), 0) << i << ' ' << j;
    }
    const Square factor = oracle::cholesky(a);
    Real log_determinant = 0;
    for (std::int64_t i = 0; i < d; ++i) log_determinant += std::log(factor(i, i));
    EXPECT_NEAR(result.log_determinants[at(m)], static_cast<double>(log_determinant),
                static_cast<double>(rounding));
  }

  template <class T>
  void expect_factors(std::int64_t d, std::int64_t count) {
    SCOPED_TRACE("D " + std::to_string(d) + ", " + std::to_string(count) + " matrices");
    std::vector<Square> matrices;
    for (std::int64_t m = 0; m < count; ++m) {
      matrices.push_back(planted(d, static_cast<std::uint64_t>(100 * d + m)));
    }
    const Result<T> result = run<T>(matrices, powers_of_two(d));
    for (std::int64_t m = 0; m < count; ++m) expect_factor(result, m, matrices[at(m)]);
  }
};

TEST_F(InverseCholesky, WhitensPlantedMatrices) {
  for (const std::int64_t d : {1, 2, 3, 8, 31, 32, 33, 63, 64}) {
    for (const std::int64_t count : {1, 2, 5}) {
      expect_factors<double>(d, count);
      expect_factors<float>(d, count);
    }
  }
}

TEST_F(InverseCholesky, WhitensPlantedMatricesOfSeveralTiles) {
  for (const std::int64_t d : {65, 100, 128, 129, 200}) expect_factors<double>(d, d < 200 ? 2 : 1);
  expect_factors<float>(65, 5);
}

// The Hilbert matrix has a factor in closed form:
// L_ij = √(2 j + 1) i!² / ((i − j)! (i + j + 1)!), so
// log |L| = sum_j log(√(2 j + 1) j!² / (2 j + 1)!).
TEST_F(InverseCholesky, FactorsHilbertMatrices) {
  for (const std::int64_t d : {2, 5, 8}) {
    SCOPED_TRACE(d);
    const Result<double> result = run<double>({hilbert(d)}, std::vector<double>(at(d), 1.0));
    expect_factor(result, 0, hilbert(d));
    Real log_determinant = 0;
    for (std::int64_t j = 0; j < d; ++j) {
      const auto x = static_cast<Real>(j);
      log_determinant += std::log(2 * x + 1) / 2 + 2 * std::lgamma(x + 1) - std::lgamma(2 * x + 2);
    }
    EXPECT_NEAR(result.log_determinants[0], static_cast<double>(log_determinant),
                static_cast<double>(4 * static_cast<Real>(d) * kEpsilon * condition(hilbert(d))));
  }
}

// Pivots that float64 computes without rounding, on either side of the limit.
TEST_F(InverseCholesky, TakesAPivotAboveEpsilonAndNoOther) {
  for (const std::int64_t d : {2, 100}) {
    std::vector<Square> matrices;
    for (const double above : {2.0 * kEpsilon, kEpsilon, 0.0, -1.0}) {
      Square a(d);
      for (std::int64_t i = 0; i < d; ++i) a(i, i) = 1;
      a(d - 1, 0) = a(0, d - 1) = 1;
      a(d - 1, d - 1) = 1.0 + above;
      matrices.push_back(a);
    }
    const Result<double> result = run<double>(matrices, std::vector<double>(at(d), 1.0));
    const double exact = 0.5 * std::log(2.0 * kEpsilon);
    EXPECT_NEAR(result.log_determinants[0], exact, 4.0 * kEpsilon * std::abs(exact)) << d;
    for (std::size_t m = 1; m < matrices.size(); ++m) {
      EXPECT_TRUE(std::isnan(result.log_determinants[m])) << d << ' ' << m;
    }
  }
}

TEST_F(InverseCholesky, LeavesOutWhatCannotBeFactored) {
  for (const std::int64_t d : {1, 33, 100}) {
    SCOPED_TRACE(d);
    const Square good = planted(d, 7);
    std::vector<Square> matrices(6, good);
    matrices[1](d / 2, d / 2) = 0;
    matrices[2](d - 1, d - 1) = std::nan("");
    matrices[3](0, 0) = -1;
    matrices[4](d - 1, d - 1) = std::numeric_limits<double>::infinity();
    const Result<float> result = run<float>(matrices, powers_of_two(d));
    expect_factor(result, 0, good);
    expect_factor(result, 5, good);
    for (std::int64_t m = 1; m < 5; ++m) {
      EXPECT_TRUE(std::isnan(result.log_determinants[at(m)])) << m;
      EXPECT_EQ(norm(untransposed(result.inverse, m, d)), 0) << m;
    }
  }
}

TEST_F(InverseCholesky, KnowsNothingOfTheSizeOfScratchNorOfTheRun) {
  const std::int64_t d = 70;
  const std::vector<Square> matrices = {planted(d, 1), planted(d, 2), planted(d, 3)};
  const Result<double> all = run<double>(matrices, powers_of_two(d));
  for (const std::int64_t at_once : {1, 2, 3}) {
    const Result<double> some = run<double>(matrices, powers_of_two(d), at_once);
    EXPECT_EQ(
        std::memcmp(all.inverse.data(), some.inverse.data(), all.inverse.size() * sizeof(double)),
        0)
        << at_once;
    for (std::size_t m = 0; m < 3; ++m) {
      EXPECT_EQ(all.log_determinants[m], some.log_determinants[m]) << at_once;
    }
  }
}

}  // namespace
}  // namespace culatent
