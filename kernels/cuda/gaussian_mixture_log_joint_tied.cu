#include <algorithm>

#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/distance_panel.cuh"
#include "kernels/cuda/device/whitening_panel.cuh"
#include "kernels/cuda/gaussian_mixture_log_joint.hpp"

// ---- log_joint_tied -----------------------------------------------------------------------------
//
//   y = W x',   out(k, row) = c_k − ½ |y − m_k|²          m_k = W μ_k
//
// A block takes a tile of 128 rows. y is made in panels of kOutputs elements a warp, in registers:
// x' passes through shared memory in panels of as many features, and where the last of them has
// been used the panel of y takes its place. Then the warps share the components, eight (double:
// four) at a time, and add the panel's part of every distance. With D no larger than a panel
// (n_warps kOutputs, 32 or 64) x' is staged once and out written once; otherwise out
// collects the parts, panel by panel, each cell always in the hands of one lane.
//
//   flops N D (D + 1) + 3 N K D     issued: ½ N D (D + 1) FMA + 2 N K D
//   bytes 4 N D read, 4 N K written; a panel more: 8 N K (L2) and its features of x' again
//   D = 64 float: tile 33 KiB, 8 warps with 2 KiB each: 50 KiB a block
//
// Rounding: as log_joint_full for y, then one rounding of the difference.

namespace culatent::gaussian_mixture {
namespace {

constexpr int kOutputs = 8;
constexpr int kMostWarps = 8;

// Elements of shared memory that a warp has of its own: two panels of W or of means.
template <class T>
constexpr int kWarpScratch = 2 * std::max(device::kWhiteningPanel<kOutputs>,
                                          device::kDistancePanel<T, device::Difference::plain>);

// y = W x' for the warp's group of outputs; the block stages `panel` features of x' at a time.
template <class T>
__device__ __forceinline__ void whiten(const DeviceRows<T>& rows, const DeviceFrame<T>& frame,
                                       const T* whitening, std::int64_t first_row, int panel,
                                       int group, int n_used, int lane, T* tile, T* buffers,
                                       T (&y)[kOutputs][device::kLaneRows]) {
  using namespace device;
  constexpr int kBuffer = kWhiteningPanel<kOutputs>;
  const int d = static_cast<int>(rows.n_features);
  const bool packed = packed_whitening(whitening, d);
  const int until = group < d ? group + kOutputs : 0;  // features that the group needs
  const auto fetch = [&](int first) {
    if (first < until) {
      fetch_whitening<T, kOutputs>(whitening, d, first, group, packed, lane,
                                   buffers + first / kPanelFeatures % 2 * kBuffer);
    }
    cp_async_commit();
  };
  __syncwarp();  // the buffers are free
  fetch(0);
  for (int first = 0; first < n_used; first += kPanelFeatures) {
    const int staged = first % panel;
    if (staged == 0) {
      __syncthreads();
      stage_rows(rows, frame, first_row, first, min(panel, n_used - first), tile);
      __syncthreads();
    }
    cp_async_wait<0>();
    __syncwarp();
    fetch(first + kPanelFeatures);
    if (first >= until) continue;
    const T* const weights = buffers + first / kPanelFeatures % 2 * kBuffer;
    const int n_square = min(group - first, kPanelFeatures);
    add_square<false, T>(tile + staged * kTilePitch<T>, weights, nullptr, n_square, lane, y);
    if (n_square < kPanelFeatures) {
      add_triangle<false, T>(tile + (staged + n_square) * kTilePitch<T>,
                             weights + n_square * kOutputs, nullptr, lane, y);
    }
  }
}

template <class T>
__global__ void __launch_bounds__(32 * kMostWarps, sizeof(T) == 4 ? 2 : 1)
    log_joint_tied_kernel(DeviceRows<T> rows, DeviceFrame<T> frame, DeviceParameters<T> parameters,
                          DeviceResponsibilities<T> out, TileLaunch plan) {
  using namespace device;
  CULATENT_DYNAMIC_SHARED(tile, T);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int panel = plan.staged_features;
  T* const buffers = tile + panel * kTilePitch<T> + warp * kWarpScratch<T>;
  const int d = static_cast<int>(rows.n_features);
  const std::int64_t first_row = blockIdx.x / plan.splits * kTileRows;
  for (int first = 0; first < d; first += panel) {
    T y[kOutputs][kLaneRows] = {};
    const int group = first + warp * kOutputs;
    whiten(rows, frame, parameters.whitening, first_row, panel, group, first + panel, lane, tile,
           buffers, y);
    __syncthreads();
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) {
      store_rows(tile + (warp * kOutputs + o) * kTilePitch<T>, lane, y[o]);
    }
    __syncthreads();
    const std::int64_t split = blockIdx.x % plan.splits;
    const CentreTable<T> table{parameters.whitened_means, nullptr, 0,
                               static_cast<int>(parameters.n_components), d};
    const std::int64_t n_groups = (table.n_centres + kCentres<T> - 1) / kCentres<T>;
    const int begin = static_cast<int>(n_groups * split / plan.splits);
    const int end = static_cast<int>(n_groups * (split + 1) / plan.splits);
    const bool packed = packed_rows(out);
    const bool last = first + panel >= d;
    for (int chunk = begin + warp; chunk < end; chunk += plan.n_warps) {
      const int first_centre = chunk * kCentres<T>;
      T norms[kCentres<T>][kLaneRows] = {};
      add_distances<Difference::plain>(table, first_centre, first, min(d - first, panel), tile,
                                       buffers, lane, norms);
#pragma unroll
      for (int c = 0; c < kCentres<T>; ++c) {
        const std::int64_t k = first_centre + c;
        if (k >= table.n_centres) break;
        T* const cells = out.data + k * out.stride + first_row;
        const T constant = last ? parameters.log_constants[k] : T{0};
#pragma unroll
        for (int r = 0; r < kLaneRows; ++r) {
          const int row = tile_row<T>(lane, r);
          if (first > 0 && first_row + row < rows.n_rows) norms[c][r] += cells[row];
          if (last) norms[c][r] = constant - T{0.5} * norms[c][r];
        }
        write_rows(cells, rows.n_rows - first_row, packed, lane, norms[c]);
      }
    }
  }
}

}  // namespace

template <class T>
void log_joint_tied(const CudaBackend& backend, const DeviceRows<T>& rows,
                    const DeviceFrame<T>& frame, const DeviceParameters<T>& parameters,
                    const DeviceResponsibilities<T>& out) {
  constexpr std::int64_t kBlocksWanted = 4;  // for each multiprocessor
  constexpr std::int64_t kSize = sizeof(T);
  const auto bytes = [&](std::int64_t n_warps) {
    return n_warps * (kOutputs * device::kTilePitch<T> + kWarpScratch<T>)*kSize;
  };
  TileLaunch plan;
  // 4 or 8: the panel must be a whole number of panels of W.
  plan.n_warps = rows.n_features <= 4 * kOutputs ? 4 : kMostWarps;
  if (bytes(plan.n_warps) > backend.device.shared_bytes()) plan.n_warps = 4;
  plan.staged_features = plan.n_warps * kOutputs;
  plan.shared_bytes = bytes(plan.n_warps);
  const std::int64_t tiles = device::div_up<std::int64_t>(rows.n_rows, device::kTileRows);
  const std::int64_t rounds =
      device::div_up<std::int64_t>(parameters.n_components, plan.n_warps * device::kCentres<T>);
  plan.splits = std::clamp<std::int64_t>(
      device::div_up<std::int64_t>(kBlocksWanted * backend.device.n_multiprocessors(), tiles), 1,
      rounds);
  plan.n_blocks = tiles * plan.splits;
  device::launch(log_joint_tied_kernel<T>, dim3(static_cast<unsigned>(plan.n_blocks)),
                 dim3(static_cast<unsigned>(32 * plan.n_warps)),
                 static_cast<std::size_t>(plan.shared_bytes), backend.device.stream(), rows, frame,
                 parameters, out, plan);
}

#define CULATENT_INSTANTIATE(T)                                                                 \
  template void log_joint_tied(const CudaBackend&, const DeviceRows<T>&, const DeviceFrame<T>&, \
                               const DeviceParameters<T>&, const DeviceResponsibilities<T>&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::gaussian_mixture
