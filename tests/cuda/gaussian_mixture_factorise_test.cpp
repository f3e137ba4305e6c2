#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "kernels/cuda/gaussian_mixture.hpp"
#include "tests/core/oracle.hpp"
#include "tests/cuda/cuda_test.hpp"

namespace culatent {
namespace {

namespace gm = gaussian_mixture;
using oracle::at;
using oracle::Draws;
using oracle::Real;
using oracle::Square;

constexpr Real kEpsilon = std::numeric_limits<double>::epsilon();
constexpr std::int64_t kMargin = 13;

bool has_matrices(gm::Covariance covariance) {
  return covariance == gm::Covariance::full || covariance == gm::Covariance::tied;
}

// A model in the data's units, and a frame.
struct Mixture {
  gm::Covariance covariance;
  std::int64_t n_components, d;
  std::vector<double> weights, means, covariances, centre, scale;

  std::int64_t n_matrices() const { return covariance == gm::Covariance::full ? n_components : 1; }
  Real mean(std::int64_t k, std::int64_t j) const {  // in the frame
    return (static_cast<Real>(means[at(k * d + j)]) - centre[at(j)]) * scale[at(j)];
  }
  Real deviation(std::int64_t k, std::int64_t j) const {  // diagonal and spherical, in the frame
    const std::int64_t where = covariance == gm::Covariance::diagonal ? k * d + j : k;
    return std::sqrt(static_cast<Real>(covariances[at(where)])) * scale[at(j)];
  }
  Square matrix(std::int64_t k) const {  // full and tied, in the frame
    Square a(d);
    const std::int64_t first = covariance == gm::Covariance::full ? k * d * d : 0;
    for (std::int64_t i = 0; i < d; ++i) {
      for (std::int64_t j = 0; j < d; ++j) {
        a(i, j) =
            static_cast<Real>(covariances[at(first + i * d + j)]) * scale[at(i)] * scale[at(j)];
      }
    }
    return a;
  }
  double log_scale() const {
    double sum = 0.0;
    for (const double factor : scale) sum += std::log(factor);
    return sum;
  }
};

// Covariances with unit diagonal and correlations that fall off as 0.5^|i − j| in the frame: their
// eigenvalues lie within [1/3, 3].
Mixture make_mixture(gm::Covariance covariance, std::int64_t n_components, std::int64_t d) {
  Draws draws(static_cast<std::uint64_t>(1000 * n_components + d));
  Mixture m{covariance, n_components, d, {}, {}, {}, {}, {}};
  for (std::int64_t j = 0; j < d; ++j) {
    const int exponent = static_cast<int>(j * 7 % 31) - 20;
    m.scale.push_back(std::ldexp(1.0, exponent));
    m.centre.push_back(std::ldexp(draws.uniform(-100.0, 100.0), -exponent));
  }
  for (std::int64_t k = 0; k < n_components; ++k) {
    m.weights.push_back(draws.uniform(0.1, 1.0));
    for (std::int64_t j = 0; j < d; ++j) {
      m.means.push_back(m.centre[at(j)] + draws.normal() / m.scale[at(j)]);
    }
  }
  const std::int64_t n = has_matrices(covariance) ? m.n_matrices() : n_components;
  for (std::int64_t k = 0; k < n; ++k) {
    const double variance = std::ldexp(1.0, static_cast<int>(k) - 2);
    if (covariance == gm::Covariance::spherical) m.covariances.push_back(draws.uniform(0.5, 4.0));
    for (std::int64_t i = 0; i < d && covariance != gm::Covariance::spherical; ++i) {
      if (covariance == gm::Covariance::diagonal) {
        m.covariances.push_back(draws.uniform(0.5, 4.0) / m.scale[at(i)] / m.scale[at(i)]);
        continue;
      }
      for (std::int64_t j = 0; j < d; ++j) {
        m.covariances.push_back(variance * std::ldexp(1.0, -static_cast<int>(std::abs(i - j))) /
                                m.scale[at(i)] / m.scale[at(j)]);
      }
    }
  }
  return m;
}

template <class T>
struct Factored {
  std::vector<T> shifts, whitening, whitened_means, log_constants;
  double offset_ratio = 0.0;
  gm::UpdateStatus status;
};

class GaussianMixtureFactorise : public CudaTest {
 protected:
  template <class T>
  std::vector<T> without_margin(const DeviceArray<T>& array) {
    std::vector<T> values = to_host(array);
    for (std::int64_t i = 0; i < kMargin; ++i) {
      EXPECT_TRUE(std::isnan(values[values.size() - at(i) - 1]));
    }
    values.resize(values.size() - kMargin);
    return values;
  }

  template <class T>
  Factored<T> run(const Mixture& m) {
    const std::int64_t cells = m.n_components * m.d;
    const std::int64_t size = has_matrices(m.covariance) ? m.n_matrices() * m.d * m.d : cells;
    auto weights = to_device(m.weights), means = to_device(m.means);
    auto covariances = to_device(m.covariances);
    const auto centre = to_device(m.centre), scale = to_device(m.scale);
    auto shifts = blank<T>(cells + kMargin), whitening = blank<T>(size + kMargin);
    auto whitened_means = blank<T>(cells + kMargin);
    auto log_constants = blank<T>(m.n_components + kMargin);
    auto ratio = blank<double>(1);
    auto status = to_device(std::vector<gm::UpdateStatus>(1, {1.5, 2.5, 3.5, 4.5, -1.0, 6, -1}));
    auto scratch =
        blank<double>(gm::factorise_scratch(m.covariance, m.n_components, m.d) + kMargin);
    const gm::DeviceParameters<T> parameters{
        m.covariance,          m.n_components,       m.d,         shifts.data(), whitening.data(),
        whitened_means.data(), log_constants.data(), ratio.data()};
    gm::factorise(backend(), {weights.data(), means.data(), covariances.data()}, centre.data(),
                  scale.data(), m.log_scale(), scratch.data(), parameters, status.data());
    without_margin(scratch);
    const gm::UpdateStatus told = to_host(status)[0];
    EXPECT_EQ(told.weight, 1.5);  // maximise()'s
    EXPECT_EQ(told.entropy, 4.5);
    EXPECT_EQ(told.n_collapsed, 6);
    return {
        without_margin(shifts),        without_margin(whitening), without_margin(whitened_means),
        without_margin(log_constants), to_host(ratio)[0],         told};
  }

  template <class T>
  static void expect_near(T value, Real exact, Real error) {
    EXPECT_LE(std::abs(static_cast<Real>(value) - exact), error) << value << " for " << exact;
  }

  // Factors of matrices: |W A Wᵀ − I| of condition 9 at most.
  template <class T>
  static Real expect_whitening(const Factored<T>& f, const Mixture& m, std::int64_t k) {
    const std::int64_t d = m.d, first = m.covariance == gm::Covariance::full ? k * d * d : 0;
    const Square factor = oracle::cholesky(m.matrix(k));
    // W L = I, by elements; |W| and |L| are below 4.
    const Real error =
        16 * 9 * static_cast<Real>(d) * kEpsilon + 8 * std::numeric_limits<T>::epsilon();
    Real log_determinant = 0, worst = 0;
    for (std::int64_t i = 0; i < d; ++i) {
      log_determinant += std::log(factor(i, i));
      for (std::int64_t j = 0; j < d; ++j) {
        Real sum = i == j ? -1 : 0;
        for (std::int64_t l = j; l <= i; ++l) {
          sum += static_cast<Real>(f.whitening[at(first + l * d + i)]) * factor(l, j);
        }
        worst = std::max(worst, std::abs(sum));
        EXPECT_TRUE(j <= i || f.whitening[at(first + j * d + i)] == 0);
      }
    }
    EXPECT_LE(worst, error * 4);
    return log_determinant;
  }

  template <class T>
  void expect_parameters(const Mixture& m, const Factored<T>& f, std::int64_t k) {
    const std::int64_t d = m.d;
    const Real unit = std::numeric_limits<T>::epsilon();
    Real log_determinant = 0;
    if (has_matrices(m.covariance)) log_determinant = expect_whitening(f, m, k);
    for (std::int64_t i = 0; i < d; ++i) {
      const std::int64_t cell = k * d + i;
      EXPECT_EQ(f.shifts[at(cell)],
                static_cast<T>((m.means[at(cell)] - m.centre[at(i)]) * m.scale[at(i)]));
      Real whitened = 0, size = 0;
      if (has_matrices(m.covariance)) {
        const std::int64_t first = m.covariance == gm::Covariance::full ? k * d * d : 0;
        for (std::int64_t j = 0; j <= i; ++j) {
          const Real term = f.whitening[at(first + j * d + i)] * m.mean(k, j);
          whitened += term;
          size += std::abs(term);
        }
      } else {
        const Real deviation = m.deviation(k, i);
        log_determinant += std::log(deviation);
        expect_near(f.whitening[at(cell)], 1 / deviation, unit / deviation);
        whitened = m.mean(k, i) / deviation;
        size = 2 * std::abs(whitened) * (1 + unit / kEpsilon);  // 1 / σ is rounded first
      }
      // Sums in double, of means that lost what the frame's centre has taken.
      const Real lost = 200 * kEpsilon;
      expect_near(
          f.whitened_means[at(cell)], whitened,
          unit * std::abs(whitened) + static_cast<Real>(d + 4) * kEpsilon * size + 4 * lost);
    }
    const Real constant = std::log(static_cast<Real>(m.weights[at(k)])) - log_determinant +
                          m.log_scale() -
                          static_cast<Real>(d) * std::log(2 * std::numbers::pi_v<Real>) / 2;
    expect_near(f.log_constants[at(k)], constant,
                unit * std::abs(constant) + 32 * kEpsilon * static_cast<Real>(d * d + 32 * d));
  }

  // sum_i ((W μ)_i² + sum_j W_ij² (μ_j² + σ_j²)) of a component.
  template <class T>
  static Real squared_terms(const Mixture& m, const Factored<T>& f, std::int64_t k) {
    const std::int64_t d = m.d, first = m.covariance == gm::Covariance::full ? k * d * d : 0;
    const Square covariance = m.matrix(k);
    Real sum = 0;
    for (std::int64_t i = 0; i < d; ++i) {
      Real whitened = 0;
      for (std::int64_t j = 0; j <= i; ++j) {
        const Real w = f.whitening[at(first + j * d + i)], mean = m.mean(k, j);
        whitened += w * mean;
        sum += w * w * (mean * mean + covariance(j, j));
      }
      sum += whitened * whitened;
    }
    return sum;
  }

  template <class T>
  void expect_all(gm::Covariance type, std::int64_t n_components, std::int64_t d) {
    SCOPED_TRACE("covariance " + std::to_string(static_cast<int>(type)) + ", K " +
                 std::to_string(n_components) + ", D " + std::to_string(d));
    const Mixture m = make_mixture(type, n_components, d);
    const Factored<T> f = run<T>(m);
    EXPECT_EQ(f.status.n_failed, 0);
    Real ratio = 0;
    for (std::int64_t k = 0; k < n_components; ++k) {
      expect_parameters(m, f, k);
      for (std::int64_t j = 0; j < d && !has_matrices(type); ++j) {
        const Real offset = m.mean(k, j) / m.deviation(k, j);
        ratio = std::max(ratio, offset * offset);
      }
    }
    for (std::int64_t k = 0; has_matrices(type) && k < n_components; ++k) {
      ratio = std::max(ratio, squared_terms(m, f, k));
    }
    EXPECT_EQ(f.offset_ratio, f.status.offset_ratio);
    expect_near(f.offset_ratio, ratio, 1e3L * kEpsilon * (1 + ratio));
  }
};

TEST_F(GaussianMixtureFactorise, IsTheInverseFactorByDefinition) {
  for (const gm::Covariance type : oracle::kCovariances) {
    for (const std::int64_t d : {1, 2, 3, 8, 31, 32, 33, 64}) {
      for (const std::int64_t n_components : {1, 2, 5}) expect_all<float>(type, n_components, d);
    }
    expect_all<double>(type, 33, 3);
    expect_all<double>(type, 2, 100);
  }
}

TEST_F(GaussianMixtureFactorise, GivesAComponentWithoutWeightNoProbability) {
  Mixture m = make_mixture(gm::Covariance::full, 2, 3);
  m.weights[1] = 0.0;
  const Factored<float> f = run<float>(m);
  EXPECT_EQ(f.status.n_failed, 0);
  EXPECT_EQ(f.log_constants[1], -std::numeric_limits<float>::infinity());
}

TEST_F(GaussianMixtureFactorise, CountsWhatHasNoFactorAndStaysFinite) {
  for (const gm::Covariance type : oracle::kCovariances) {
    for (const std::int64_t d : {1, 3, 70}) {
      for (const double bad : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
        SCOPED_TRACE(static_cast<int>(type));
        Mixture m = make_mixture(type, 3, d);
        const std::int64_t size = static_cast<std::int64_t>(m.covariances.size());
        // The last variance of component 2, or of all.
        m.covariances[at(size - 1)] = bad;
        const Factored<float> f = run<float>(m);
        const bool tied = type == gm::Covariance::tied;
        EXPECT_EQ(f.status.n_failed, tied ? 3 : 1);
        for (std::int64_t k = 0; k < 2 && !tied; ++k) expect_parameters(m, f, k);
        for (const auto* values : {&f.shifts, &f.whitening, &f.whitened_means, &f.log_constants}) {
          EXPECT_TRUE(std::all_of(values->begin(), values->end(),
                                  [](float value) { return std::isfinite(value); }));
        }
      }
    }
  }
}

TEST_F(GaussianMixtureFactorise, IsTheSameBitsTwice) {
  for (const gm::Covariance type : oracle::kCovariances) {
    const Mixture m = make_mixture(type, 5, 70);
    const Factored<double> first = run<double>(m), second = run<double>(m);
    EXPECT_EQ(first.whitening, second.whitening);
    EXPECT_EQ(first.whitened_means, second.whitened_means);
    EXPECT_EQ(first.log_constants, second.log_constants);
  }
}

}  // namespace
}  // namespace culatent
