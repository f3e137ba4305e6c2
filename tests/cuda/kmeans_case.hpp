#pragma once

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "kernels/cuda/kmeans_assign.hpp"
#include "tests/core/oracle.hpp"
#include "tests/cuda/cuda_test.hpp"

/// Rows for the steps of k-means, and what they should find, by the book.
namespace culatent {

using oracle::at;
using oracle::Draws;
using oracle::Real;

inline constexpr std::int64_t kMargin = 5;

/// Rows about K centroids, scaled and shifted. Cells behind the last feature, and the row behind
/// the last, are NaN.
template <class T>
struct KMeansCase {
  KMeansCase(std::int64_t n_rows, std::int64_t n_features, std::int64_t n_clusters)
      : n(n_rows), d(n_features), k(n_clusters), stride(n_features + 3) {
    Draws draws(static_cast<std::uint64_t>(100000 * n + 1000 * d + k));
    for (std::int64_t j = 0; j < d; ++j) {
      offset.push_back(static_cast<T>(draws.uniform(-5.0, 5.0)));
    }
    for (std::int64_t c = 0; c < k * d; ++c) {
      centroids.push_back(static_cast<T>(draws.uniform(-3.0, 3.0)));
    }
    values.assign(at((n + 1) * stride), std::numeric_limits<T>::quiet_NaN());
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t own = draws.below(k);
      for (std::int64_t j = 0; j < d; ++j) {
        put(i, j, static_cast<double>(centroids[at(own * d + j)]) + draws.normal());
      }
    }
  }
  /// The row's value that the coordinates turn into `framed`, about.
  void put(std::int64_t i, std::int64_t j, double framed) {
    values[at(i * stride + j)] =
        static_cast<T>((framed - static_cast<double>(offset[at(j)])) / static_cast<double>(scale));
  }
  /// Some weights are 0, others have few digits.
  KMeansCase& weigh() {
    for (std::int64_t i = 0; i < n; ++i) {
      weights.push_back(i % 5 == 3 ? 0.0 : 0.25 * static_cast<double>(1 + i % 7));
    }
    return *this;
  }

  T framed(std::int64_t i, std::int64_t j) const {
    const T value = std::fma(values[at(i * stride + j)], scale, offset[at(j)]);
    return factors.empty() ? value : value * factors[at(i)];
  }
  Real distance(std::int64_t i, std::int64_t c) const {
    Real sum = 0;
    for (std::int64_t j = 0; j < d; ++j) {
      const Real z = static_cast<Real>(framed(i, j)) - static_cast<Real>(centroids[at(c * d + j)]);
      sum += z * z;
    }
    return sum;
  }
  Real least(std::int64_t i) const {
    Real result = distance(i, 0);
    for (std::int64_t c = 1; c < k; ++c) result = std::min(result, distance(i, c));
    return result;
  }
  double weight(std::int64_t i) const { return weights.empty() ? 1.0 : weights[at(i)]; }
  std::string name() const {
    return "N " + std::to_string(n) + ", D " + std::to_string(d) + ", K " + std::to_string(k) +
           ", sizeof(T) " + std::to_string(sizeof(T));
  }

  std::int64_t n, d, k, stride;
  T scale{0.125};
  std::vector<T> values, offset, centroids;
  std::vector<double> weights;
  std::vector<T> factors;                         // of rows brought to length 1; empty: as they are
  T beyond = std::numeric_limits<T>::infinity();  // longer centroids are left out of the screen
};

/// A case in device memory.
template <class T>
struct PlacedCase {
  DeviceArray<T> values, offset, centroids, packed, offsets, longest, factors;
  DeviceArray<double> weights;
  kmeans::ClusterRows<T> rows;
  kmeans::DeviceCentroids<T> centres;
};

class KMeansSteps : public CudaTest {
 protected:
  template <class T>
  PlacedCase<T> place(const KMeansCase<T>& c) {
    PlacedCase<T> p;
    p.values = to_device(c.values);
    p.offset = to_device(c.offset);
    p.centroids = to_device(c.centroids);
    p.weights = to_device(c.weights);
    p.factors = to_device(c.factors);
    const std::int64_t padded = kmeans::packed_clusters(c.k);
    p.packed = blank<T>(c.d * padded);
    p.offsets = blank<T>(padded);
    p.longest = blank<T>(1);
    p.rows = {p.values.data(),
              c.weights.empty() ? nullptr : p.weights.data(),
              c.n,
              c.d,
              c.stride,
              c.scale,
              p.offset.data(),
              c.factors.empty() ? nullptr : p.factors.data()};
    p.centres = {p.centroids.data(), c.k,     p.packed.data(), p.offsets.data(),
                 p.longest.data(),   c.beyond};
    kmeans::prepare_centroids(backend(), c.d, p.centres);
    return p;
  }
  /// The contents of an array made by blank(), whose last kMargin elements nobody may have touched.
  template <class T>
  std::vector<T> inside(const DeviceArray<T>& array) {
    std::vector<T> values = to_host(array);
    for (std::int64_t i = 0; i < kMargin; ++i) {
      if constexpr (std::numeric_limits<T>::has_quiet_NaN) {
        EXPECT_TRUE(std::isnan(values.back()));
      } else {
        EXPECT_EQ(values.back(), static_cast<T>(-1));
      }
      values.pop_back();
    }
    return values;
  }
};

}  // namespace culatent
