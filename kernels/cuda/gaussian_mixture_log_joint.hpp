#pragma once

#include "kernels/cuda/gaussian_mixture.hpp"

/// The arms of log_joint(), one a file, and what they share with the first M-step.
namespace culatent::gaussian_mixture {

/// By FMA. Tied covariances too, each component with the one W.
template <class T>
void log_joint_full(const CudaBackend& backend, const DeviceRows<T>& rows,
                    const DeviceFrame<T>& frame, const DeviceParameters<T>& parameters,
                    const DeviceResponsibilities<T>& out, Whitening whitening);

/// log_joint_full(), expanded, by tensor cores: Tf32x3 for fp32, Bf16x3 for fast. False, with
/// nothing done, where the device or the build has none.
bool log_joint_tensor(const CudaBackend& backend, const DeviceRows<float>& rows,
                      const DeviceFrame<float>& frame, const DeviceParameters<float>& parameters,
                      const DeviceResponsibilities<float>& out, Precision precision);

template <class T>
void log_joint_tied(const CudaBackend& backend, const DeviceRows<T>& rows,
                    const DeviceFrame<T>& frame, const DeviceParameters<T>& parameters,
                    const DeviceResponsibilities<T>& out);

/// out(k, row) = constants_k − ½ sum_j (factors_kj x'_j − centres_kj)².
template <class T>
void log_joint_diagonal(const CudaBackend& backend, const DeviceRows<T>& rows,
                        const DeviceFrame<T>& frame, const DeviceParameters<T>& parameters,
                        const DeviceResponsibilities<T>& out);

/// out(k, row) = sum_j (metric_j (x'_j − centroid_kj))².
template <class T>
void squared_distances(const CudaBackend& backend, const DeviceRows<T>& rows,
                       const DeviceFrame<T>& frame, const T* centroids, const T* metric,
                       std::int64_t n_components, const DeviceResponsibilities<T>& out);

/// How a step over tiles of rows is cut: a block takes one tile of rows and, of the components, one
/// of `splits` equal ranges.
struct TileLaunch {
  static constexpr int kMostWarps = 12;
  int n_warps = 4;
  int staged_features = 0;  // of x' at a time; D where all of it fits
  std::int64_t splits = 1;
  std::int64_t n_blocks = 0;
  std::int64_t shared_bytes = 0;
};

/// `n_units` of work (components, or groups of them) share a tile, each done by one warp, which has
/// `warp_bytes` of shared memory of its own. `feature_bytes`: of one feature of the tile. Chosen
/// for 12 warps on a multiprocessor; n_warps such that few idle in the last round; splits such that
/// few rows still fill the device.
TileLaunch plan_tiles(const CudaDevice& device, std::int64_t n_rows, std::int64_t n_features,
                      std::int64_t n_units, std::int64_t feature_bytes, std::int64_t warp_bytes);

}  // namespace culatent::gaussian_mixture
