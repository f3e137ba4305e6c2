#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "culatent/gaussian_mixture.hpp"
#include "tests/cuda/cuda_test.hpp"
#include "tests/cuda/estep_case.hpp"

// float32 where the components are so far apart that no frame is near all of them: what it loses
// is what float32 on the CPU loses, by fp64 of the same rows.
namespace culatent {
namespace {

namespace gm = gaussian_mixture;
using gm::Covariance;

constexpr std::int64_t kRows = 600;
constexpr std::int64_t kFeatures = 32;  // wide enough for tensor cores in both steps
constexpr double kDistance = 1e4;       // deviations from the centre, either way
constexpr double kVariance = 2.0;       // of a feature, about

// Two clouds of correlated normals: x = ± 1e4 deviation + A z, A dense.
struct FarClouds {
  Matrix<float> rows{kRows, kFeatures};
  Matrix<double> same{kRows, kFeatures};
  gm::Model model;

  explicit FarClouds(Covariance type) {
    std::mt19937_64 engine(7);
    std::normal_distribution<double> normal;
    Matrix<double> mixing(kFeatures, kFeatures);
    for (std::int64_t i = 0; i < mixing.size(); ++i) {
      mixing.data()[i] = normal(engine) / std::sqrt(static_cast<double>(kFeatures));
    }
    for (std::int64_t i = 0; i < kFeatures; ++i) mixing(i, i) += 1.0;
    std::vector<double> covariance, signs;
    for (std::int64_t i = 0; i < kFeatures; ++i) {
      signs.push_back(normal(engine) < 0.0 ? -1.0 : 1.0);
      for (std::int64_t j = 0; j < kFeatures; ++j) {
        double sum = 0.0;
        for (std::int64_t l = 0; l < kFeatures; ++l) sum += mixing(i, l) * mixing(j, l);
        covariance.push_back(sum);
      }
    }
    model.covariance = type;
    model.weights = {0.5, 0.5};
    model.means = Matrix<double>(2, kFeatures);
    for (std::int64_t j = 0; j < kFeatures; ++j) {
      const auto at = static_cast<std::size_t>(j);
      const double deviation = std::sqrt(covariance[at * kFeatures + at]);
      model.means(0, j) = kDistance * deviation * signs[at];
      model.means(1, j) = -model.means(0, j);
    }
    const int n_matrices = type == Covariance::full ? 2 : 1;
    for (int k = 0; k < n_matrices; ++k) {
      model.covariances.insert(model.covariances.end(), covariance.begin(), covariance.end());
    }
    for (std::int64_t i = 0; i < kRows; ++i) {
      std::vector<double> z(kFeatures);
      for (double& value : z) value = normal(engine);
      for (std::int64_t j = 0; j < kFeatures; ++j) {
        double x = model.means(i % 2, j);
        for (std::int64_t l = 0; l < kFeatures; ++l) {
          x += mixing(j, l) * z[static_cast<std::size_t>(l)];
        }
        rows(i, j) = static_cast<float>(x);
        same(i, j) = static_cast<double>(rows(i, j));
      }
    }
  }
};

template <class T>
std::vector<double> log_densities(const Context& context, const gm::Model& model,
                                  MatrixView<const T> rows) {
  std::vector<T> found(kRows);
  gm::log_prob<T>(context, model, rows, found);
  return {found.begin(), found.end()};
}

template <class T>
gm::Fit two_updates(const Context& context, const gm::Model& model, MatrixView<const T> rows) {
  gm::Options options{.n_components = 2, .covariance = model.covariance, .max_iter = 2, .tol = 0.0};
  options.start = {model.weights, model.means, model.covariances};
  options.seed = 1;
  return gm::fit<T>(context, rows, options);
}

double rms_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(sum / static_cast<double>(a.size()));
}

class GaussianMixtureFar : public CudaTest {};

// The same roundings in another order: errors of the same size, hence 1.5. The form that is taken
// near the centre (Whitening::expanded) loses several times as much.
TEST_F(GaussianMixtureFar, LosesNoMoreThanFloat32OnTheCpu) {
  const Context cpu, cuda({.device = "cuda"});
  for (const Covariance type : {Covariance::full, Covariance::tied}) {
    SCOPED_TRACE(gm::name(type));
    const FarClouds clouds(type);
    const auto exact = log_densities<double>(cpu, clouds.model, clouds.same.view());
    const auto on_cpu = log_densities<float>(cpu, clouds.model, clouds.rows.view());
    const auto on_device = log_densities<float>(cuda, clouds.model, clouds.rows.view());
    EXPECT_GT(rms_difference(on_cpu, exact), 1e-4);  // or the case is not one
    EXPECT_LE(rms_difference(on_device, exact), 1.5 * rms_difference(on_cpu, exact));

    const gm::Fit fit64 = two_updates<double>(cpu, clouds.model, clouds.same.view());
    const gm::Fit fit_cpu = two_updates<float>(cpu, clouds.model, clouds.rows.view());
    const gm::Fit fit_cuda = two_updates<float>(cuda, clouds.model, clouds.rows.view());
    // Tied: a difference of moments about the centre, added up in double.
    const double cancelled =
        type == Covariance::tied
            ? std::sqrt(static_cast<double>(kRows)) * 0x1p-53 * kDistance * kDistance * kVariance
            : 0.0;
    const auto& covariances = fit64.model.covariances;
    EXPECT_LE(rms_difference(fit_cuda.model.covariances, covariances),
              1.5 * rms_difference(fit_cpu.model.covariances, covariances) + cancelled);
    // Row by row, so that errors do not cancel.
    const auto after = log_densities<double>(cpu, fit64.model, clouds.same.view());
    EXPECT_LE(
        rms_difference(log_densities<double>(cpu, fit_cuda.model, clouds.same.view()), after),
        1.5 * rms_difference(log_densities<double>(cpu, fit_cpu.model, clouds.same.view()), after));
  }
}

// ---- expansion_loss() ---------------------------------------------------------------------------

// Rows of one component in the frame, x' = μ + W⁻¹ z, and log p(x) of them in long double.
struct OneComponent {
  gm::EStepCase<float> c;
  std::vector<double> exact;
  double ratio = 0.0;   // DeviceParameters::offset_ratio by its definition
  double spread = 0.0;  // what of it is left without μ

  OneComponent(std::int64_t d, double distance) : c({Covariance::full, kRows, d, 1}) {
    std::mt19937_64 engine(5);
    std::normal_distribution<double> normal;
    const auto n = static_cast<std::size_t>(d);
    const auto w = [&](std::size_t i, std::size_t j) {
      return static_cast<double>(c.whitening[j * n + i]);
    };
    const auto solve = [&](std::vector<double> y) {  // W⁻¹ y
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < i; ++j) y[i] -= w(i, j) * y[j];
        y[i] /= w(i, i);
      }
      return y;
    };
    std::vector<double> variance(n), mean;
    for (std::size_t i = 0; i < n; ++i) {
      std::vector<double> unit(n);
      unit[i] = 1.0;
      const std::vector<double> column = solve(unit);
      for (std::size_t j = 0; j < n; ++j) variance[j] += column[j] * column[j];
    }
    for (std::size_t j = 0; j < n; ++j) {
      mean.push_back(distance * std::sqrt(variance[j]) * (normal(engine) < 0.0 ? -1.0 : 1.0));
      c.shifts[j] = static_cast<float>(mean[j]);
      c.scale[j] = 1.0f;
      c.offset[j] = 0.0f;
    }
    for (std::size_t i = 0; i < n; ++i) {
      double whitened = 0.0;
      for (std::size_t j = 0; j <= i; ++j) {
        whitened += w(i, j) * mean[j];
        ratio += w(i, j) * w(i, j) * (mean[j] * mean[j] + variance[j]);
        spread += w(i, j) * w(i, j) * variance[j];
      }
      ratio += whitened * whitened;
      c.whitened_means[i] = static_cast<float>(whitened);
    }
    for (std::int64_t row = 0; row < kRows; ++row) {
      std::vector<double> z(n);
      for (double& value : z) value = normal(engine);
      const std::vector<double> x = solve(z);
      float* const to = c.rows.data() + row * c.row_stride;
      for (std::size_t j = 0; j < n; ++j) to[j] = static_cast<float>(mean[j] + x[j]);
      long double norm = 0.0L;
      for (std::size_t i = 0; i < n; ++i) {
        long double y = 0.0L;
        for (std::size_t j = 0; j <= i; ++j) {
          y += static_cast<long double>(w(i, j)) * (static_cast<long double>(to[j]) - mean[j]);
        }
        norm += y * y;
      }
      exact.push_back(static_cast<double>(c.log_constants[0] - norm / 2.0L));
    }
  }
};

// The estimate is one: half as much again is allowed, and what a sum of D squares in float and the
// constant, at most 5, lose of themselves.
TEST_F(GaussianMixtureFar, EstimatesWhatDensitiesLose) {
  for (const std::int64_t d : {8, 32, 100}) {
    for (const double distance : {0.0, 10.0, 300.0}) {
      SCOPED_TRACE(testing::Message() << "D " << d << ", " << distance << " deviations");
      const OneComponent one(d, distance);
      const gm::EStepOnDevice<float> on_device(
          one.c, [&](const std::vector<float>& v) { return to_device(v); });
      const auto lost = [&](Precision precision, gm::Whitening whitening) {
        auto out = blank<float>(one.c.out_stride);
        gm::log_joint(backend(), on_device.device_rows, on_device.frame, on_device.parameters,
                      {out.data(), one.c.out_stride}, precision, whitening);
        const std::vector<float> found = to_host(out);
        return rms_difference({found.begin(), found.begin() + kRows}, one.exact);
      };
      const auto estimate = [&](Precision precision) {
        return gm::expansion_loss<float>(Covariance::full, d, precision) * std::sqrt(one.ratio);
      };
      const double own = static_cast<double>(d + 10) * 0x1p-24;
      for (const Precision precision : {Precision::fp32, Precision::fast}) {
        EXPECT_LE(lost(precision, gm::Whitening::expanded), 1.5 * estimate(precision) + own);
      }
      const double rounded = 0x1p-25 * std::sqrt(one.ratio);
      const double inner = std::sqrt(static_cast<double>(d) * one.spread) * 0x1p-26;
      EXPECT_LE(lost(Precision::fp32, gm::Whitening::centred), 1.5 * (rounded + inner) + own);
      if (d < 16) {  // FMA on every device: nor is it many times too much
        EXPECT_GE(10.0 * lost(Precision::fp32, gm::Whitening::expanded), estimate(Precision::fp32));
      }
    }
  }
}

}  // namespace
}  // namespace culatent
