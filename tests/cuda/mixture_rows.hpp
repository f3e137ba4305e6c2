#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <ostream>
#include <random>
#include <vector>

#include "kernels/cuda/gaussian_mixture.hpp"

/// Rows, frames and responsibilities for tests of the M-step. Whatever no kernel may read is NaN.
namespace culatent::gaussian_mixture {

using Real = long double;

struct Shape {
  std::int64_t n_rows = 1, n_features = 1, n_components = 1;
  std::int64_t padding = 0;  // between rows
  std::int64_t skip = 0;     // before the first row, so that it is not aligned
};
inline std::ostream& operator<<(std::ostream& out, const Shape& s) {
  return out << s.n_rows << " x " << s.n_features << ", K " << s.n_components << ", padding "
             << s.padding << ", skip " << s.skip;
}

template <class T>
struct MixtureRows {
  /// `offset`: how many standard deviations the shifts lie from the frame's centre.
  MixtureRows(const Shape& shape, bool weighted, double distance, unsigned seed)
      : n(shape.n_rows),
        d(shape.n_features),
        n_components(shape.n_components),
        stride(d + shape.padding),
        skip(shape.skip),
        resp_stride((n + kBlockRows - 1) / kBlockRows * kBlockRows + 3) {
    std::mt19937_64 engine(seed);
    std::normal_distribution<double> normal;
    std::uniform_real_distribution<double> uniform;
    constexpr T kNaN = std::numeric_limits<T>::quiet_NaN();
    for (std::int64_t j = 0; j < d; ++j) {
      scale.push_back(static_cast<T>(std::ldexp(1.0, static_cast<int>(engine() % 7) - 3)));
      offset.push_back(static_cast<T>(normal(engine)));
    }
    for (std::int64_t i = 0; i < n_components * d; ++i) {
      shifts.push_back(static_cast<T>(distance + normal(engine)));
    }
    x.assign(at(skip + (n + 1) * stride), kNaN);
    weights.assign(at(n + 1), kNaN);
    q.assign(at(n_components * resp_stride), kNaN);
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < d; ++j) {
        const double framed = distance + normal(engine);
        x[at(skip + i * stride + j)] = static_cast<T>(
            (framed - static_cast<double>(offset[at(j)])) / static_cast<double>(scale[at(j)]));
      }
      weights[at(i)] = weighted ? static_cast<T>(i % 5 == 3 ? 0.0 : 3.0 * uniform(engine)) : T{1};
      std::vector<double> shares;
      double total = 0.0;
      for (std::int64_t k = 0; k < n_components; ++k) {
        shares.push_back(engine() % 4 == 0 ? 0.0 : uniform(engine) + 1e-6);
        total += shares.back();
      }
      if (total == 0.0) shares[0] = total = 1.0;
      for (std::int64_t k = 0; k < n_components; ++k) {
        q[at(k * resp_stride + i)] =
            static_cast<T>(static_cast<double>(weights[at(i)]) * shares[at(k)] / total);
      }
    }
  }

  static std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }
  std::int64_t n_blocks() const { return (n + kBlockRows - 1) / kBlockRows; }
  std::int64_t end(std::int64_t block) const { return std::min(n, (block + 1) * kBlockRows); }

  /// x' as the steps define it: one fma in T.
  Real framed(std::int64_t row, std::int64_t j) const {
    return static_cast<Real>(std::fma(x[at(skip + row * stride + j)], scale[at(j)], offset[at(j)]));
  }
  Real shift(std::int64_t k, std::int64_t j) const {
    return static_cast<Real>(shifts[at(k * d + j)]);
  }
  Real share(std::int64_t k, std::int64_t row) const {
    return static_cast<Real>(q[at(k * resp_stride + row)]);
  }

  std::int64_t n, d, n_components, stride, skip, resp_stride;
  std::vector<T> x, scale, offset, shifts, weights, q;
};

}  // namespace culatent::gaussian_mixture
