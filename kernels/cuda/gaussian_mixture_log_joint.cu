#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/whitening_panel.cuh"
#include "kernels/cuda/gaussian_mixture_log_joint.hpp"

// ---- log_joint_full -----------------------------------------------------------------------------
//
//   out(k, row) = c_k − ½ |y|²,   y = W_k x' − b_k or, kCentred, W_k (x' − μ_k)
//                                 W_k lower triangular, b_k = W_k μ_k; tied: W for all k
//
// A block keeps a tile of 128 rows of x', feature-major, in shared memory and takes its components
// one a warp; a lane owns 4 rows. A warp walks down y in groups of kOutputs elements that start at
// −b (kCentred: at 0) and stay in registers while the features up to the group's own pass, W coming
// in panels of 32 features, with the part of b (of μ) that belongs to it, through a double buffer
// of the warp's own (cp.async from L2): no barrier but the first, and the triangle is skipped
// exactly, as far as D is a multiple of kOutputs. μ is subtracted in registers. Where the features
// of a tile do not fit shared memory they are staged again for every group of every round of
// components, and the warps go in step.
//
//   flops N K D (D + 1) + 2 N K D     issued: + 1 load of shared memory for 13 FMA (float);
//         kCentred: N K D² / (2 kOutputs) subtractions and a load of shared memory more for 4
//   bytes 4 N D read, 4 N K written; from L2 also 2 D (D + 1) a component and tile
//   D = 64 float: tile 33 KiB, 4 warps with 4 KiB each; registers leave 3 blocks, 12 warps
//
// Rounding: y has the error of an inner product, at most (D + 1) u (|W| |x'| + |b|), u = eps / 2;
// kCentred: (D + 1) u |W| |x' − μ| + u |W| |μ|, the latter for μ itself.

namespace culatent::gaussian_mixture {
namespace {

// Elements of a warp's buffer: a panel of W and a line of b or μ.
template <int kOutputs, bool kCentred>
constexpr int kLine = kCentred ? device::kPanelFeatures : kOutputs;
template <int kOutputs, bool kCentred>
constexpr int kBuffer = device::kWhiteningPanel<kOutputs> + kLine<kOutputs, kCentred>;

template <class T, int kOutputs, bool kCentred>
__global__ void __launch_bounds__(32 * TileLaunch::kMostWarps, 1)
    log_joint_full_kernel(DeviceRows<T> rows, DeviceFrame<T> frame, DeviceParameters<T> parameters,
                          DeviceResponsibilities<T> out, TileLaunch plan) {
  using namespace device;
  constexpr int kSize = kBuffer<kOutputs, kCentred>;
  constexpr int kPanel = kWhiteningPanel<kOutputs>;
  CULATENT_DYNAMIC_SHARED(tile, T);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  T* const buffers = tile + plan.staged_features * kTilePitch<T> + warp * (2 * kSize);
  const int d = static_cast<int>(rows.n_features);
  const std::int64_t first_row = blockIdx.x / plan.splits * kTileRows;
  const std::int64_t split = blockIdx.x % plan.splits;
  const int k_begin = static_cast<int>(parameters.n_components * split / plan.splits);
  const int k_end = static_cast<int>(parameters.n_components * (split + 1) / plan.splits);
  const bool whole = plan.staged_features >= d;
  const bool own_matrix = parameters.covariance == Covariance::full;
  const bool packed = packed_whitening(parameters.whitening, d);
  const bool packed_out = packed_rows(out);

  // The panel to fetch next. A warp without a component goes along with the last one.
  int next_k = min(k_begin + warp, k_end - 1), next_group = 0, next_first = 0, next_buffer = 0;
  const auto fetch = [&] {
    const std::int64_t line = static_cast<std::int64_t>(next_k) * d;
    T* const buffer = buffers + next_buffer * kSize;
    fetch_whitening<T, kOutputs>(parameters.whitening + (own_matrix ? line * d : 0), d, next_first,
                                 next_group, packed, lane, buffer);
    fetch_line<T, kLine<kOutputs, kCentred>>(
        (kCentred ? parameters.shifts : parameters.whitened_means) + line, d,
        kCentred ? next_first : next_group, lane, buffer + kPanel);
    cp_async_commit();
    next_first += kPanelFeatures;
    if (next_first >= next_group + kOutputs) {
      next_first = 0;
      next_group += kOutputs;
      if (next_group >= d) {
        next_group = 0;
        next_k = min(next_k + plan.n_warps, k_end - 1);
      }
    }
    next_buffer = 1 - next_buffer;
  };
  // Waits for the panel that is on its way, starts on the one after it, into the buffer that all
  // lanes have done with.
  const auto next_panel = [&] {
    cp_async_wait<0>();
    __syncwarp();
    const T* panel = buffers + (1 - next_buffer) * kSize;
    fetch();
    return panel;
  };

  fetch();
  if (whole) stage_rows(rows, frame, first_row, 0, plan.staged_features, tile);
  if (whole) __syncthreads();
  for (int first_k = k_begin; first_k < k_end; first_k += plan.n_warps) {
    const int k = first_k + warp;
    if (whole && k >= k_end) break;
    T norm[kLaneRows] = {};
    for (int group = 0; group < d; group += kOutputs) {
      const T* panel = next_panel();
      T y[kOutputs][kLaneRows];
#pragma unroll
      for (int o = 0; o < kOutputs; ++o) {
        const T start = kCentred ? T{0} : -panel[kPanel + o];
#pragma unroll
        for (int r = 0; r < kLaneRows; ++r) y[o][r] = start;
      }
      for (int first = 0;; first += kPanelFeatures) {
        const int staged = whole ? first : first % plan.staged_features;
        if (!whole && staged == 0) {
          __syncthreads();
          stage_rows(rows, frame, first_row, first,
                     min(group + kOutputs - first, plan.staged_features), tile);
          __syncthreads();
        }
        add_square<kCentred>(tile + staged * kTilePitch<T>, panel, panel + kPanel,
                             min(group - first, kPanelFeatures), lane, y);
        if (first + kPanelFeatures >= group + kOutputs) break;
        panel = next_panel();
      }
      const int own = group % kPanelFeatures;
      const int staged = whole ? group : group % plan.staged_features;
      add_triangle<kCentred>(tile + staged * kTilePitch<T>, panel + own * kOutputs,
                             panel + kPanel + own, lane, y);
#pragma unroll
      for (int o = 0; o < kOutputs; ++o) {
#pragma unroll
        for (int r = 0; r < kLaneRows; ++r) norm[r] += y[o][r] * y[o][r];
      }
    }
    if (k >= k_end) continue;
    const T constant = parameters.log_constants[k];
#pragma unroll
    for (int r = 0; r < kLaneRows; ++r) norm[r] = constant - T{0.5} * norm[r];
    write_rows(out.data + k * out.stride + first_row, rows.n_rows - first_row, packed_out, lane,
               norm);
  }
}

template <class T, int kOutputs, bool kCentred>
void launch_full(const CudaBackend& backend, const DeviceRows<T>& rows, const DeviceFrame<T>& frame,
                 const DeviceParameters<T>& parameters, const DeviceResponsibilities<T>& out) {
  constexpr auto kSize = static_cast<std::int64_t>(sizeof(T));
  const std::int64_t n_features =
      device::div_up<std::int64_t>(rows.n_features, kOutputs) * kOutputs;
  const TileLaunch plan =
      plan_tiles(backend.device, rows.n_rows, n_features, parameters.n_components,
                 device::kTilePitch<T> * kSize, 2 * kBuffer<kOutputs, kCentred> * kSize);
  device::launch(
      log_joint_full_kernel<T, kOutputs, kCentred>, dim3(static_cast<unsigned>(plan.n_blocks)),
      dim3(static_cast<unsigned>(32 * plan.n_warps)), static_cast<std::size_t>(plan.shared_bytes),
      backend.device.stream(), rows, frame, parameters, out, plan);
}

template <bool kCentred, class T>
void launch_any(const CudaBackend& backend, const DeviceRows<T>& rows, const DeviceFrame<T>& frame,
                const DeviceParameters<T>& parameters, const DeviceResponsibilities<T>& out) {
  if constexpr (sizeof(T) == 4) {
    // Groups of 16 need fewer loads for an FMA, groups of 8 fewer FMA where the last group of 16
    // would be half empty and D is small: 16 (16 − D mod 16) D of 16 D² / 2 are wasted.
    const bool wide = (rows.n_features + 7) / 8 % 2 == 0 || rows.n_features > 192;
    if (wide) return launch_full<T, 16, kCentred>(backend, rows, frame, parameters, out);
  }
  launch_full<T, 8, kCentred>(backend, rows, frame, parameters, out);
}

// Whether log_joint() takes tensor cores where there are any. Below 16 features most of a fragment
// would be padding; far above, cutting off what an accumulator cannot hold costs more than FMA lose
// by rounding.
template <class T>
bool split_pays(Covariance covariance, std::int64_t n_features, Precision precision) {
  return sizeof(T) == 4 && covariance == Covariance::full && n_features >= 16 &&
         (precision == Precision::fast || n_features <= 512);
}

}  // namespace

template <class T>
void log_joint_full(const CudaBackend& backend, const DeviceRows<T>& rows,
                    const DeviceFrame<T>& frame, const DeviceParameters<T>& parameters,
                    const DeviceResponsibilities<T>& out, Whitening whitening) {
  if (whitening == Whitening::centred) {
    launch_any<true>(backend, rows, frame, parameters, out);
  } else {
    launch_any<false>(backend, rows, frame, parameters, out);
  }
}

TileLaunch plan_tiles(const CudaDevice& device, std::int64_t n_rows, std::int64_t n_features,
                      std::int64_t n_units, std::int64_t feature_bytes, std::int64_t warp_bytes) {
  constexpr std::int64_t kWantedWarps = 12;
  constexpr std::int64_t kBlocksWanted = 4;  // for each multiprocessor
  const std::int64_t limit = device.shared_bytes();
  const auto bytes = [&](std::int64_t features, int warps) {
    return features * feature_bytes + warps * warp_bytes;
  };
  TileLaunch plan;
  plan.n_warps = 0;
  std::int64_t staged = n_features;
  for (const int warps : {4, 8, 12}) {
    const std::int64_t blocks = limit / bytes(n_features, warps);
    if (plan.n_warps == 0 && blocks * warps >= kWantedWarps) plan.n_warps = warps;
  }
  if (plan.n_warps == 0) {  // a part of the features at a time, for two blocks if there is room
    plan.n_warps = 8;
    std::int64_t room = (limit / 2 - 8 * warp_bytes) / feature_bytes;
    if (room < 2 * device::kPanelFeatures) {
      plan.n_warps = 4;
      room = (limit - 4 * warp_bytes) / feature_bytes;
    }
    const std::int64_t panels = std::max<std::int64_t>(room / device::kPanelFeatures, 1);
    staged = std::min(n_features, panels * device::kPanelFeatures);
  }
  const int least = plan.n_warps;
  const auto slots = [&](int warps) {
    return device::div_up<std::int64_t>(n_units, warps) * warps;
  };
  for (int warps = least + 1; warps <= least + least / 2 && warps <= TileLaunch::kMostWarps;
       ++warps) {
    if (bytes(staged, warps) <= limit && slots(warps) < slots(plan.n_warps)) plan.n_warps = warps;
  }
  plan.n_warps = static_cast<int>(std::min<std::int64_t>(plan.n_warps, n_units));
  plan.staged_features = static_cast<int>(staged);
  plan.shared_bytes = bytes(staged, plan.n_warps);
  const std::int64_t tiles = device::div_up<std::int64_t>(n_rows, device::kTileRows);
  const std::int64_t rounds = device::div_up<std::int64_t>(n_units, plan.n_warps);
  plan.splits = std::clamp<std::int64_t>(
      device::div_up(kBlocksWanted * device.n_multiprocessors(), tiles), 1, rounds);
  plan.n_blocks = tiles * plan.splits;
  return plan;
}

// Roundings of FMA are as good as independent, and √D of them meet; the cuts of a tensor core all
// go towards zero, and 3 D / 8 (3 D / 16) of them add up, of half a last bit each.
template <class T>
double expansion_loss(Covariance covariance, std::int64_t n_features, Precision precision) {
  const auto d = static_cast<double>(n_features);
  if (!split_pays<T>(covariance, n_features, precision)) {
    return std::sqrt(std::max(d, 4.0)) * std::numeric_limits<T>::epsilon() / 8;
  }
  return precision == Precision::fast ? 0x1p-17 + d * 0x1p-29 : 0x1p-23 + d * 0x1p-28;
}

template <class T>
void log_joint(const CudaBackend& backend, const DeviceRows<T>& rows, const DeviceFrame<T>& frame,
               const DeviceParameters<T>& parameters, const DeviceResponsibilities<T>& out,
               Precision precision, Whitening whitening) {
  if (rows.n_rows == 0) return;
  const bool centred = whitening == Whitening::centred;
  switch (parameters.covariance) {
    case Covariance::full:
      if constexpr (sizeof(T) == 4) {
        if (!centred && split_pays<T>(parameters.covariance, rows.n_features, precision) &&
            log_joint_tensor(backend, rows, frame, parameters, out, precision)) {
          return;
        }
      }
      return log_joint_full(backend, rows, frame, parameters, out, whitening);
    case Covariance::tied:
      if (centred) return log_joint_full(backend, rows, frame, parameters, out, whitening);
      return log_joint_tied(backend, rows, frame, parameters, out);
    case Covariance::diagonal:
    case Covariance::spherical:
      return log_joint_diagonal(backend, rows, frame, parameters, out);
  }
}

#define CULATENT_INSTANTIATE(T)                                                                    \
  template double expansion_loss<T>(Covariance, std::int64_t, Precision);                          \
  template void log_joint_full(const CudaBackend&, const DeviceRows<T>&, const DeviceFrame<T>&,    \
                               const DeviceParameters<T>&, const DeviceResponsibilities<T>&,       \
                               Whitening);                                                         \
  template void log_joint(const CudaBackend&, const DeviceRows<T>&, const DeviceFrame<T>&,         \
                          const DeviceParameters<T>&, const DeviceResponsibilities<T>&, Precision, \
                          Whitening);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::gaussian_mixture
