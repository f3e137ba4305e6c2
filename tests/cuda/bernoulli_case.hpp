#pragma once

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/cuda/bernoulli_mixture.hpp"
#include "tests/cuda/cuda_test.hpp"

/// Rows and mixtures for the tests of the Bernoulli mixture's steps, and exact results.
namespace culatent::bernoulli_mixture {

inline std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

template <class T>
inline constexpr T kNaN = std::numeric_limits<T>::quiet_NaN();

struct Shape {
  std::int64_t n_rows;
  std::int64_t n_features;
  std::int64_t n_components;
};
inline std::ostream& operator<<(std::ostream& out, const Shape& s) {
  return out << "N " << s.n_rows << " D " << s.n_features << " K " << s.n_components;
}

inline std::int64_t whole_blocks(std::int64_t n_rows) {
  return (n_rows + kBlockRows - 1) / kBlockRows * kBlockRows;
}

/// Zeros, ones and values between, in rows that lie apart; between them, where nothing may be read,
/// what no row has.
template <class T>
struct Case {
  Case(const Shape& s, bool missing_values, std::int64_t margin, unsigned seed = 1)
      : shape(s), missing(missing_values), stride(s.n_features + margin) {
    std::mt19937 engine(seed);
    std::uniform_real_distribution<double> unit(0.0, 1.0);
    const T poison = missing ? T{1e30f} : kNaN<T>;  // a NaN would count as missing
    rows.assign(at(shape.n_rows * stride + 1), poison);
    for (std::int64_t i = 0; i < shape.n_rows; ++i) {
      for (std::int64_t j = 0; j < shape.n_features; ++j) {
        const double u = unit(engine);
        T value = static_cast<T>(u < 0.2 ? unit(engine) : u < 0.6 ? 0.0 : 1.0);
        if (missing && unit(engine) < 0.25) value = kNaN<T>;
        rows[at(i * stride + j)] = value;
      }
    }
    model.means = Matrix<double>(shape.n_components, shape.n_features);
    double total = 0.0;
    for (std::int64_t k = 0; k < shape.n_components; ++k) {
      model.weights.push_back(0.1 + unit(engine));
      total += model.weights.back();
      for (std::int64_t j = 0; j < shape.n_features; ++j) {
        model.means(k, j) = 0.02 + 0.96 * unit(engine);
      }
    }
    for (double& weight : model.weights) weight /= total;
  }

  T value(std::int64_t row, std::int64_t feature) const { return rows[at(row * stride + feature)]; }
  DeviceRows<T> on_device(const DeviceArray<T>& array) const {
    return {array.data(), nullptr, shape.n_rows, shape.n_features, stride};
  }

  Shape shape;
  bool missing;
  std::int64_t stride;
  std::vector<T> rows;
  Model model;
};

/// log p(x, k) of the definition, and the sum of the magnitudes that it is the sum of.
struct LogJoint {
  long double value = 0.0L;
  long double magnitude = 0.0L;
};
template <class T>
LogJoint exact_log_joint(const Case<T>& c, std::int64_t row, std::int64_t k) {
  LogJoint result;
  const auto add = [&](long double term) {
    result.value += term;
    result.magnitude += std::abs(term);
  };
  add(std::log(static_cast<long double>(c.model.weights[at(k)])));
  for (std::int64_t j = 0; j < c.shape.n_features; ++j) {
    const T x = c.value(row, j);
    if (std::isnan(x)) continue;
    const long double mean = c.model.means(k, j);
    const long double zero = std::log1p(-mean);
    result.magnitude += 2.0L * std::abs(zero);
    add(static_cast<long double>(x) * (std::log(mean) - zero));
    result.value += zero;
  }
  return result;
}

/// A mixture prepared on the device.
template <class T>
struct Prepared {
  Prepared(const CudaBackend& backend, const Model& model, bool missing)
      : weights(backend.device, model.n_components(), "test"),
        means(backend.device, model.means.size(), "test"),
        priors(backend.device, model.n_components(), "test"),
        factors(backend.device,
                padded_components(model.n_components()) * model.n_features() * (missing ? 2 : 1),
                "test"),
        constants(backend.device, model.n_components(), "test") {
    weights.upload(model.weights.data(), weights.size());
    means.upload(model.means.data(), means.size());
    parameters = {model.n_components(), missing, factors.data(), constants.data()};
    prepare(backend, {weights.data(), means.data()}, model.n_features(), parameters, priors.data());
  }

  DeviceArray<double> weights, means, priors;
  DeviceArray<T> factors, constants;
  DeviceParameters<T> parameters;
};

}  // namespace culatent::bernoulli_mixture
