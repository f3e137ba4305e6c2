#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/gaussian_mixture.hpp"
#include "tests/cuda/cuda_test.hpp"

/// Data for the tests of the E-step: rows, a frame and a mixture's prepared parameters, drawn here
/// and not taken from our own host code.
namespace culatent::gaussian_mixture {

struct EStepShape {
  Covariance covariance = Covariance::full;
  std::int64_t n_rows = 1;
  std::int64_t n_features = 1;
  std::int64_t n_components = 1;
};

inline std::ostream& operator<<(std::ostream& out, const EStepShape& s) {
  const char* const names[] = {"full", "tied", "diagonal", "spherical"};
  return out << names[static_cast<int>(s.covariance)] << " N " << s.n_rows << " D " << s.n_features
             << " K " << s.n_components;
}

inline std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

template <class T>
constexpr T kNaN = std::numeric_limits<T>::quiet_NaN();

/// Rows with margins of NaN: beyond D in every row, and a whole row after the last.
template <class T>
struct EStepCase {
  EStepShape shape;
  std::int64_t row_stride = 0;
  std::int64_t out_stride = 0;
  std::vector<T> rows, scale, offset, whitening, whitened_means, log_constants;
  std::vector<T> shifts;  // drawn by themselves: whitened_means is not W times these

  /// Parameters as a fit has them near data of unit spread: means within a few deviations of the
  /// centre, W with a diagonal in [½, 2]. `centre`: how far the data lie from their origin.
  explicit EStepCase(const EStepShape& s, unsigned seed = 1, double centre = 3.0) : shape(s) {
    const std::int64_t d = s.n_features, k = s.n_components;
    std::mt19937 engine(seed);
    std::uniform_real_distribution<double> unit(-1.0, 1.0);
    row_stride = d + 3;
    out_stride = (s.n_rows + kBlockRows - 1) / kBlockRows * kBlockRows + 5;
    rows.assign(at((s.n_rows + 1) * row_stride), kNaN<T>);
    for (std::int64_t j = 0; j < d; ++j) {
      scale.push_back(static_cast<T>(std::ldexp(1.0, static_cast<int>(j % 5) - 2)));
      offset.push_back(-static_cast<T>(centre) * scale[at(j)]);
    }
    for (std::int64_t i = 0; i < s.n_rows; ++i) {
      for (std::int64_t j = 0; j < d; ++j) {
        const double inside = 2.0 * (unit(engine) + unit(engine));  // in the frame
        rows[at(i * row_stride + j)] =
            static_cast<T>(centre + inside / static_cast<double>(scale[at(j)]));
      }
    }
    const bool full = s.covariance == Covariance::full;
    const bool tied = s.covariance == Covariance::tied;
    const std::int64_t matrices = full ? k : tied ? 1 : 0;
    whitening.assign(at(matrices > 0 ? matrices * d * d : k * d), T{0});
    for (std::int64_t c = 0; c < matrices; ++c) {
      for (std::int64_t i = 0; i < d; ++i) {
        for (std::int64_t j = 0; j <= i; ++j) {
          const double value =
              i == j ? std::exp2(unit(engine)) : unit(engine) / std::sqrt(static_cast<double>(d));
          whitening[at((c * d + j) * d + i)] = static_cast<T>(value);
        }
      }
    }
    for (std::int64_t c = 0; c < k; ++c) {
      const double spherical = std::exp2(unit(engine));
      for (std::int64_t i = 0; i < d; ++i) {
        if (matrices == 0) {
          whitening[at(c * d + i)] = static_cast<T>(
              s.covariance == Covariance::spherical ? spherical : std::exp2(unit(engine)));
        }
        whitened_means.push_back(static_cast<T>(3.0 * unit(engine)));
      }
      log_constants.push_back(static_cast<T>(5.0 * unit(engine)));
    }
    for (std::int64_t i = 0; i < k * d; ++i) shifts.push_back(static_cast<T>(3.0 * unit(engine)));
  }

  /// x' of one cell, as the contract says: one fma each.
  T framed(std::int64_t row, std::int64_t j) const {
    return std::fma(rows[at(row * row_stride + j)], scale[at(j)], offset[at(j)]);
  }
  /// W_ij of component k.
  long double weight(std::int64_t k, std::int64_t i, std::int64_t j) const {
    const std::int64_t d = shape.n_features;
    const std::int64_t matrix = shape.covariance == Covariance::full ? k * d * d : 0;
    if (shape.covariance == Covariance::full || shape.covariance == Covariance::tied) {
      return whitening[at(matrix + j * d + i)];
    }
    return i == j ? whitening[at(k * d + i)] : T{0};
  }
};

/// log p(x, k) by the formula, and a bound of what T may lose: y_i is an inner product of D terms,
/// so |dy| ≤ (D + 3) u (|W| |x'| + |b|); |y|² then a sum of D squares.
struct LogJoint {
  long double value = 0.0L;
  long double bound = 0.0L;
};

/// `centred`: of y = W (x' − μ) instead, |dy| ≤ (D + 3) u |W| |x' − μ|.
template <class T>
LogJoint exact_log_joint(const EStepCase<T>& c, std::int64_t row, std::int64_t k,
                         long double unit = std::numeric_limits<T>::epsilon() / 2.0L,
                         bool centred = false) {
  const std::int64_t d = c.shape.n_features;
  const bool diagonal =
      c.shape.covariance == Covariance::diagonal || c.shape.covariance == Covariance::spherical;
  long double norm = 0.0L, lost = 0.0L;
  for (std::int64_t i = 0; i < d; ++i) {
    long double y = centred ? 0.0L : -static_cast<long double>(c.whitened_means[at(k * d + i)]);
    long double size = -y < 0 ? y : -y;
    for (std::int64_t j = diagonal ? i : 0; j <= i; ++j) {
      const long double x = static_cast<long double>(c.framed(row, j)) -
                            (centred ? static_cast<long double>(c.shifts[at(k * d + j)]) : 0.0L);
      const long double term = c.weight(k, i, j) * x;
      y += term;
      size += std::abs(term);
    }
    const long double dy = static_cast<long double>(diagonal ? 3 : d + 3) * unit * size;
    norm += y * y;
    lost += 2.0L * std::abs(y) * dy + dy * dy;
  }
  const long double own = std::numeric_limits<T>::epsilon() / 2.0L;
  const long double constant = static_cast<long double>(c.log_constants[at(k)]);
  LogJoint result;
  result.value = constant - norm / 2.0L;
  result.bound = (lost + static_cast<long double>(d + 2) * own * norm) / 2.0L +
                 2.0L * own * (std::abs(constant) + norm / 2.0L);
  return result;
}

/// The case in device memory.
template <class T>
struct EStepOnDevice {
  DeviceArray<T> rows, scale, offset, whitening, whitened_means, log_constants, shifts;
  DeviceRows<T> device_rows;
  DeviceFrame<T> frame;
  DeviceParameters<T> parameters;

  template <class Upload>
  EStepOnDevice(const EStepCase<T>& c, Upload&& upload)
      : rows(upload(c.rows)),
        scale(upload(c.scale)),
        offset(upload(c.offset)),
        whitening(upload(c.whitening)),
        whitened_means(upload(c.whitened_means)),
        log_constants(upload(c.log_constants)),
        shifts(upload(c.shifts)) {
    device_rows.data = rows.data();
    device_rows.n_rows = c.shape.n_rows;
    device_rows.n_features = c.shape.n_features;
    device_rows.stride = c.row_stride;
    frame.scale = scale.data();
    frame.offset = offset.data();
    parameters.covariance = c.shape.covariance;
    parameters.n_components = c.shape.n_components;
    parameters.n_features = c.shape.n_features;
    parameters.shifts = shifts.data();
    parameters.whitening = whitening.data();
    parameters.whitened_means = whitened_means.data();
    parameters.log_constants = log_constants.data();
  }
};

}  // namespace culatent::gaussian_mixture
