#pragma once

#include <limits>

#include "kernels/cuda/device/normalise.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/gaussian_mixture.hpp"

/// Rows so far from every component that all their densities leave T. Rare, so written to be short:
/// a warp does one row at a time, in double, twice.
namespace culatent::gaussian_mixture {

using device::kInfinity;
using device::kLeastLog;

inline constexpr double kMostDouble = std::numeric_limits<double>::max();

// Feature j of a row in the frame, times `shrink`: finite, whatever the row holds.
template <class T>
__device__ __forceinline__ double far_feature(const DeviceRows<T>& rows,
                                              const DeviceFrame<T>& frame, std::int64_t row, int j,
                                              double shrink) {
  const double x = static_cast<double>(rows.data[row * rows.stride + j]);
  const double value =
      x * static_cast<double>(frame.scale[j]) + static_cast<double>(frame.offset[j]);
  if (!(value == value)) return 0.0;
  return (value > kMostDouble ? kMostDouble : value < -kMostDouble ? -kMostDouble : value) * shrink;
}

// |shrink y|² of a row and component; every lane gets it.
template <class T>
__device__ __forceinline__ double far_distance(const DeviceRows<T>& rows,
                                               const DeviceFrame<T>& frame,
                                               const DeviceParameters<T>& parameters,
                                               std::int64_t row, std::int64_t k, double shrink) {
  const int d = static_cast<int>(rows.n_features);
  const bool full = parameters.covariance == Covariance::full;
  const bool triangular = full || parameters.covariance == Covariance::tied;
  const T* const means = parameters.whitened_means + k * d;
  const T* const whitening = parameters.whitening + (triangular ? (full ? k * d * d : 0) : k * d);
  double norm = 0.0;
  for (int i = static_cast<int>(threadIdx.x) % 32; i < d; i += 32) {
    double y = 0.0;
    for (int j = triangular ? 0 : i; j <= i; ++j) {
      const T w = triangular ? whitening[static_cast<std::int64_t>(j) * d + i] : whitening[i];
      y += static_cast<double>(w) * far_feature(rows, frame, row, j, shrink);
    }
    y -= static_cast<double>(means[i]) * shrink;
    norm += y * y;
  }
  return device::warp_sum(norm);
}

/// For the lanes whose `row` is `far` replaces log p(x, k) by its difference from the greatest of
/// the row, at least 2 kLeastLog, and returns that greatest value; the other lanes get `otherwise`.
/// Where even double cannot hold a squared distance, the nearest component takes all and −∞ is
/// returned; no result is NaN. Called by whole warps.
template <class T>
__device__ __forceinline__ double replace_far_rows(const DeviceRows<T>& rows,
                                                   const DeviceFrame<T>& frame,
                                                   const DeviceParameters<T>& parameters,
                                                   const DeviceResponsibilities<T>& resp,
                                                   std::int64_t row, bool far, double otherwise) {
  constexpr double kShrink = 0x1p-900;  // squares of anything that double holds stay finite
  constexpr double kNothing = 2.0 * static_cast<double>(kLeastLog<T>);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  unsigned left = __ballot_sync(device::kAllLanes, far);
  double result = otherwise;
  while (left != 0) {
    const int owner = __ffs(static_cast<int>(left)) - 1;
    left &= left - 1;
    const std::int64_t its_row = row - lane + owner;  // the rows of a warp lie side by side
    const auto distance = [&](std::int64_t k, double shrink) {
      return far_distance(rows, frame, parameters, its_row, k, shrink);
    };
    double greatest = -kInfinity<double>;
    for (std::int64_t k = 0; k < parameters.n_components; ++k) {
      const double value = static_cast<double>(parameters.log_constants[k]) - distance(k, 1.0) / 2;
      if (value > greatest) greatest = value;
    }
    const bool held = greatest > -kInfinity<double>;
    std::int64_t nearest = 0;
    double least = kInfinity<double>;
    for (std::int64_t k = 0; k < parameters.n_components && !held; ++k) {
      const bool possible = parameters.log_constants[k] > -kInfinity<T>;
      const double value = distance(k, kShrink);
      if (possible && value < least) {
        least = value;
        nearest = k;
      }
    }
    for (std::int64_t k = 0; k < parameters.n_components; ++k) {
      double offset = k == nearest ? 0.0 : kNothing;
      if (held) {
        const double constant = static_cast<double>(parameters.log_constants[k]);
        const double value = constant - distance(k, 1.0) / 2 - greatest;
        offset = value > kNothing ? value : kNothing;
      }
      if (lane == owner) resp.data[k * resp.stride + its_row] = static_cast<T>(offset);
    }
    if (lane == owner) result = greatest;
  }
  return result;
}

}  // namespace culatent::gaussian_mixture
