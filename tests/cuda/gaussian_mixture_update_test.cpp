#include <cstring>
#include <ostream>

#include "tests/cuda/cuda_test.hpp"
#include "tests/cuda/update_case.hpp"

namespace culatent {
namespace {

using namespace update_case;

constexpr Real kEpsilon = std::numeric_limits<double>::epsilon();
constexpr std::int64_t kMargin = 13;

struct Updated {
  std::vector<double> weights, means, covariances;
  gm::UpdateStatus status;
};

class GaussianMixtureUpdate : public CudaTest {
 protected:
  // maximise() of sums; every output has a margin that must stay NaN.
  template <class T>
  Updated run(const Problem<T>& p, const std::vector<double>& values, double reg_covar) {
    const std::int64_t size = p.covariance == gm::Covariance::full   ? p.n_components * p.d * p.d
                              : p.covariance == gm::Covariance::tied ? p.d * p.d
                              : p.covariance == gm::Covariance::diagonal ? p.n_components * p.d
                                                                         : p.n_components;
    const std::int64_t scratch_size = gm::maximise_scratch(p.covariance, p.n_components, p.d);
    auto weights = blank<double>(p.n_components + kMargin);
    auto means = blank<double>(p.n_components * p.d + kMargin);
    auto covariances = blank<double>(size + kMargin);
    auto scratch = blank<double>(scratch_size + kMargin);
    const auto device_values = to_device(values);
    const auto centre = to_device(p.centre);
    const auto scale = to_device(p.scale);
    const auto shifts = to_device(p.shifts);
    auto status = to_device(std::vector<gm::UpdateStatus>(1));
    const gm::DeviceModel model{weights.data(), means.data(), covariances.data()};
    gm::maximise(backend(), p.covariance, p.n_components, p.d, device_values.data(), centre.data(),
                 scale.data(), shifts.data(), reg_covar, scratch.data(), model, status.data());
    expect_margin(to_host(scratch), scratch_size);
    return {without_margin(weights), without_margin(means), without_margin(covariances),
            to_host(status)[0]};
  }

  std::vector<double> without_margin(const DeviceArray<double>& array) {
    std::vector<double> values = to_host(array);
    expect_margin(values, array.size() - kMargin);
    values.resize(values.size() - kMargin);
    return values;
  }

  static void expect_margin(const std::vector<double>& values, std::int64_t size) {
    for (std::int64_t i = size; i < size + kMargin; ++i) EXPECT_TRUE(std::isnan(values[at(i)]));
  }

  template <class T>
  void expect_definition(gm::Covariance type, std::int64_t n_components, std::int64_t d) {
    SCOPED_TRACE("covariance " + std::to_string(static_cast<int>(type)) + ", K " +
                 std::to_string(n_components) + ", D " + std::to_string(d));
    const double reg_covar = 1e-6;
    const Problem<T> p = make_problem<T>(type, n_components, d);
    const Updated model = run(p, sums(p), reg_covar);
    EXPECT_EQ(model.status.n_collapsed, 0);
    Real total = 0;
    for (std::int64_t k = 0; k < n_components; ++k) total += p.count(k);
    // Everything in the frame is below 8, and so are second moments about the shifts; what is
    // subtracted from them loses a few epsilons of that. Sums over K round K times more.
    const auto rounding = 64 * kEpsilon * static_cast<Real>(4 + n_components);
    for (std::int64_t k = 0; k < n_components; ++k) {
      EXPECT_NEAR(model.weights[at(k)], static_cast<double>(p.count(k) / total),
                  static_cast<double>(rounding));
      for (std::int64_t j = 0; j < d; ++j) {
        const Real error =
            8 * kEpsilon * std::abs(static_cast<Real>(p.centre[at(j)])) + rounding / p.scale[at(j)];
        EXPECT_NEAR(model.means[at(k * d + j)], static_cast<double>(p.mean(k, j)),
                    static_cast<double>(error));
      }
    }
    const auto expect = [&](std::int64_t where, Real exact, Real unit) {
      EXPECT_NEAR(model.covariances[at(where)], static_cast<double>(exact),
                  static_cast<double>(rounding * unit + 2 * kEpsilon * reg_covar))
          << where;
    };
    for (std::int64_t k = 0; k < (type == gm::Covariance::tied ? 1 : n_components); ++k) {
      const std::int64_t only = type == gm::Covariance::tied ? -1 : k;
      Real mean_variance = 0, greatest = 0;
      for (std::int64_t i = 0; i < d; ++i) {
        const Real variance = covariance(p, only, i, i), unit = 1 / p.scale[at(i)];
        mean_variance += variance / static_cast<Real>(d);
        greatest = std::max(greatest, unit * unit);
        if (type == gm::Covariance::diagonal) expect(k * d + i, variance + reg_covar, unit * unit);
        for (std::int64_t j = 0; j < d && has_matrices(type); ++j) {
          // Every element for small D, some of all tiles for large.
          if (d > 8 && (i * 5 + j * 3) % 37 != 0 && i != j) continue;
          expect((k * d + i) * d + j, covariance(p, only, i, j) + (i == j ? reg_covar : 0),
                 unit / p.scale[at(j)]);
          EXPECT_EQ(model.covariances[at((k * d + i) * d + j)],
                    model.covariances[at((k * d + j) * d + i)]);
        }
      }
      if (type == gm::Covariance::spherical) expect(k, mean_variance + reg_covar, greatest);
    }
  }
};

TEST_F(GaussianMixtureUpdate, IsTheMStepByDefinition) {
  for (const gm::Covariance type : oracle::kCovariances) {
    for (const std::int64_t d : {1, 2, 3, 8, 31, 32, 33}) {
      for (const std::int64_t n_components : {1, 2, 5}) {
        expect_definition<float>(type, n_components, d);
      }
    }
    expect_definition<double>(type, 33, 3);
    expect_definition<double>(type, 2, 65);
  }
}

TEST_F(GaussianMixtureUpdate, TellsTheSums) {
  const Problem<float> p = make_problem<float>(gm::Covariance::full, 2, 3);
  const std::vector<double> values = sums(p);
  const gm::UpdateStatus status = run(p, values, 1e-6).status;
  EXPECT_EQ(status.weight, values[0]);
  EXPECT_EQ(status.log_likelihood, -12.5);
  EXPECT_EQ(status.joint, -11.25);
  EXPECT_EQ(status.entropy, 1.25);
}

TEST_F(GaussianMixtureUpdate, CountsAComponentWithoutRows) {
  for (const gm::Covariance type : oracle::kCovariances) {
    SCOPED_TRACE(static_cast<int>(type));
    Problem<double> p = make_problem<double>(type, 3, 2);
    for (std::int64_t i = 0; i < p.n; ++i) p.shares[at(i * 3 + 1)] = 0;
    const Updated model = run(p, sums(p), 0.5);
    EXPECT_EQ(model.status.n_collapsed, 1);
    EXPECT_EQ(model.weights[1], 0.0);
    EXPECT_NEAR(model.weights[0] + model.weights[2], 1.0, 4.0 * static_cast<double>(kEpsilon));
    // It stays where its sums were taken about, with nothing but reg_covar.
    for (std::int64_t j = 0; j < 2; ++j) {
      EXPECT_EQ(model.means[at(2 + j)], p.centre[at(j)] + p.shifts[at(2 + j)] / p.scale[at(j)]);
    }
    if (type == gm::Covariance::full) {
      EXPECT_EQ((std::vector<double>(model.covariances.begin() + 4, model.covariances.begin() + 8)),
                (std::vector<double>{0.5, 0.0, 0.0, 0.5}));
    } else if (type == gm::Covariance::spherical) {
      EXPECT_EQ(model.covariances[1], 0.5);
    }
    for (const double value : model.covariances) EXPECT_TRUE(std::isfinite(value));
  }
}

// Rows of component 1 lie on one point: a collapse unless reg_covar holds it open.
TEST_F(GaussianMixtureUpdate, CountsAComponentOnOnePoint) {
  for (const gm::Covariance type : oracle::kCovariances) {
    SCOPED_TRACE(static_cast<int>(type));
    Problem<double> p = make_problem<double>(type, 3, 2);
    for (std::int64_t i = 0; i < p.n; ++i) {
      for (std::int64_t k = 0; k < 3; ++k) p.shares[at(i * 3 + k)] = k == i % 3 ? 1 : 0;
      for (std::int64_t j = 0; j < 2; ++j) {
        const Real framed = i % 3 == 1 ? p.shifts[at(2 + j)] : p.framed(i, j);
        p.rows[at(i * 2 + j)] = p.centre[at(j)] + framed;
      }
    }
    p.scale = {1.0, 1.0};
    const bool tied = type == gm::Covariance::tied;
    EXPECT_EQ(run(p, sums(p), 0.0).status.n_collapsed, tied ? 0 : 1);
    EXPECT_EQ(run(p, sums(p), 1e-14).status.n_collapsed, tied ? 0 : 1);
    EXPECT_EQ(run(p, sums(p), 1e-6).status.n_collapsed, 0);
  }
}

// A constant feature says nothing about a component, and neither do data without any spread.
TEST_F(GaussianMixtureUpdate, PassesOverConstantFeatures) {
  for (const std::int64_t n_constant : {1, 2}) {
    Problem<double> p = make_problem<double>(gm::Covariance::diagonal, 2, 2);
    for (std::int64_t j = 0; j < n_constant; ++j) {
      for (std::int64_t i = 0; i < p.n; ++i) p.rows[at(i * 2 + j)] = p.centre[at(j)];
      for (std::int64_t k = 0; k < 2; ++k) p.shifts[at(k * 2 + j)] = 0.0;
    }
    EXPECT_EQ(run(p, sums(p), 0.0).status.n_collapsed, 0) << n_constant;
    if (n_constant == 2) continue;
    // In the feature that is left both components lie on points, which only their distance tells.
    for (std::int64_t i = 0; i < p.n; ++i) {
      const std::int64_t own = i % 2;
      p.rows[at(i * 2 + 1)] = p.centre[1] + p.shifts[at(own * 2 + 1)] / p.scale[1];
      for (std::int64_t k = 0; k < 2; ++k) p.shares[at(i * 2 + k)] = k == own ? 1 : 0;
    }
    EXPECT_EQ(run(p, sums(p), 0.0).status.n_collapsed, 2);
  }
}

// Sums of rounded squares may come out below the square of the mean.
TEST_F(GaussianMixtureUpdate, HasNoVarianceBelowRegCovar) {
  for (const gm::Covariance type : {gm::Covariance::diagonal, gm::Covariance::spherical}) {
    const Problem<float> p{type, 1, 1, 1, {}, {}, {0.0}, {1.0}, {0.0F}};
    const Updated model = run(p, {4.0, 0.0, 0.0, 0.0, 4.0, 4.0, 4.0 - 0x1p-50}, 0.25);
    EXPECT_EQ(model.covariances[0], 0.25);
  }
}

TEST_F(GaussianMixtureUpdate, NormalisesWeights) {
  const Problem<float> p = make_problem<float>(gm::Covariance::diagonal, 3, 2);
  std::vector<double> values = sums(p);
  values[0] *= 1.0 + 1e-9;
  const Updated model = run(p, values, 1e-6);
  EXPECT_NEAR(model.weights[0] + model.weights[1] + model.weights[2], 1.0,
              4.0 * static_cast<double>(kEpsilon));
}

TEST_F(GaussianMixtureUpdate, IsTheSameBitsTwice) {
  for (const gm::Covariance type : oracle::kCovariances) {
    const Problem<float> p = make_problem<float>(type, 5, 33);
    const std::vector<double> values = sums(p);
    const Updated first = run(p, values, 1e-6), second = run(p, values, 1e-6);
    EXPECT_EQ(first.weights, second.weights);
    EXPECT_EQ(first.means, second.means);
    EXPECT_EQ(first.covariances, second.covariances);
  }
}

}  // namespace
}  // namespace culatent
