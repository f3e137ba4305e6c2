#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/distance_panel.cuh"
#include "kernels/cuda/gaussian_mixture_log_joint.hpp"

// ---- log_joint_diagonal, squared_distances ------------------------------------------------------
//
//   out(k, row) = c_k − ½ sum_j (x'_j / σ_kj − μ_kj / σ_kj)²      diagonal and spherical log_joint
//   out(k, row) = sum_j (metric_j (x'_j − centroid_kj))²          distances of the first M-step
//
// A block keeps a tile of 128 rows of x', feature-major, in shared memory (a part of the features
// at a time where not all fit) and takes its components eight (double: four) a warp, in panels of
// 32 features that come by cp.async through a double buffer of the warp's own.
//
//   flops 4 N K D (scaled: 4 N K D)    issued: 2 (3) N K D, 1 load of shared memory for 13 FMA
//   bytes 4 N D read, 4 N K written; from L2 also 8 K D a tile of rows
//   D = 16 float: tile 8 KiB, 4 warps with 4 KiB each
//
// Rounding: x'/σ − μ/σ is one FMA, so its error is u |μ / σ| from the rounded quotient and u of the
// result; no square is taken of anything but the difference.

namespace culatent::gaussian_mixture {
namespace {

using device::Difference;

template <class T, Difference kDifference>
__global__ void __launch_bounds__(512)  // more than a block has: 128 registers

    distances_kernel(DeviceRows<T> rows, DeviceFrame<T> frame, device::CentreTable<T> table,
                     const T* constants, DeviceResponsibilities<T> out, TileLaunch plan) {
  using namespace device;
  CULATENT_DYNAMIC_SHARED(tile, T);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  T* const buffers =
      tile + plan.staged_features * kTilePitch<T> + warp * (2 * kDistancePanel<T, kDifference>);
  const std::int64_t first_row = blockIdx.x / plan.splits * kTileRows;
  const std::int64_t split = blockIdx.x % plan.splits;
  const std::int64_t n_groups = (table.n_centres + kCentres<T> - 1) / kCentres<T>;
  const int begin = static_cast<int>(n_groups * split / plan.splits);
  const int end = static_cast<int>(n_groups * (split + 1) / plan.splits);
  const bool whole = plan.staged_features >= table.n_features;
  const bool packed = packed_rows(out);

  for (int group = begin; group < end; group += plan.n_warps) {
    const int first_centre = (group + warp) * kCentres<T>;
    T norms[kCentres<T>][kLaneRows] = {};
    for (int first = 0; first < table.n_features; first += plan.staged_features) {
      const int n_features = min(table.n_features - first, plan.staged_features);
      if (!whole || group == begin) {
        __syncthreads();
        stage_rows(rows, frame, first_row, first, n_features, tile);
        __syncthreads();
      }
      if (group + warp < end) {
        add_distances<kDifference>(table, first_centre, first, n_features, tile, buffers, lane,
                                   norms);
      }
    }
    if (group + warp >= end) continue;
#pragma unroll
    for (int c = 0; c < kCentres<T>; ++c) {
      const std::int64_t k = first_centre + c;
      if (k >= table.n_centres) break;
      if (constants != nullptr) {
        const T constant = constants[k];
#pragma unroll
        for (int r = 0; r < kLaneRows; ++r) norms[c][r] = constant - T{0.5} * norms[c][r];
      }
      write_rows(out.data + k * out.stride + first_row, rows.n_rows - first_row, packed, lane,
                 norms[c]);
    }
  }
}

template <Difference kDifference, class T>
void launch_distances(const CudaBackend& backend, const DeviceRows<T>& rows,
                      const DeviceFrame<T>& frame, const device::CentreTable<T>& table,
                      const T* constants, const DeviceResponsibilities<T>& out) {
  if (rows.n_rows == 0) return;
  constexpr auto kSize = static_cast<std::int64_t>(sizeof(T));
  const TileLaunch plan =
      plan_tiles(backend.device, rows.n_rows, rows.n_features,
                 device::div_up(table.n_centres, device::kCentres<T>),
                 device::kTilePitch<T> * kSize, 2 * device::kDistancePanel<T, kDifference> * kSize);
  device::launch(distances_kernel<T, kDifference>, dim3(static_cast<unsigned>(plan.n_blocks)),
                 dim3(static_cast<unsigned>(32 * plan.n_warps)),
                 static_cast<std::size_t>(plan.shared_bytes), backend.device.stream(), rows, frame,
                 table, constants, out, plan);
}

}  // namespace

template <class T>
void log_joint_diagonal(const CudaBackend& backend, const DeviceRows<T>& rows,
                        const DeviceFrame<T>& frame, const DeviceParameters<T>& parameters,
                        const DeviceResponsibilities<T>& out) {
  const device::CentreTable<T> table{parameters.whitened_means, parameters.whitening,
                                     rows.n_features, static_cast<int>(parameters.n_components),
                                     static_cast<int>(rows.n_features)};
  launch_distances<Difference::affine, T>(backend, rows, frame, table, parameters.log_constants,
                                          out);
}

template <class T>
void squared_distances(const CudaBackend& backend, const DeviceRows<T>& rows,
                       const DeviceFrame<T>& frame, const T* centroids, const T* metric,
                       std::int64_t n_components, const DeviceResponsibilities<T>& out) {
  const device::CentreTable<T> table{centroids, metric, 0, static_cast<int>(n_components),
                                     static_cast<int>(rows.n_features)};
  launch_distances<Difference::scaled, T>(backend, rows, frame, table, nullptr, out);
}

#define CULATENT_INSTANTIATE(T)                                                                    \
  template void log_joint_diagonal(const CudaBackend&, const DeviceRows<T>&,                       \
                                   const DeviceFrame<T>&, const DeviceParameters<T>&,              \
                                   const DeviceResponsibilities<T>&);                              \
  template void squared_distances(const CudaBackend&, const DeviceRows<T>&, const DeviceFrame<T>&, \
                                  const T*, const T*, std::int64_t,                                \
                                  const DeviceResponsibilities<T>&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::gaussian_mixture
