#include <algorithm>

#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/gaussian_mixture_log_joint.hpp"
#include "kernels/cuda/gaussian_mixture_tensor_panels.cuh"

// ---- log_joint_tensor ---------------------------------------------------------------------------
//
//   out(k, row) = c_k − ½ |W_k x' − b_k|²       as log_joint_full, products by tensor cores
//
// A warp keeps 32 rows of x' in shared memory, as the fragments that its lanes need, each lane for
// itself, and a block takes its components one after the other: W comes in panels of 64 features by
// 64 outputs through a double buffer (cp.async from L2), one barrier a panel. A warp multiplies its
// rows, as A, by the panel, as B; y of 32 rows by 64 outputs starts at −b and stays in registers
// while the features below it pass. Blocks of 8 outputs by kDepth features above the diagonal are
// left out. Operands are split where they are used, 3 instructions an element, but for the rows of
// Bf16x3, which fit the same 4 bytes split.
//
//   D = 64, one component, 32 rows, of a warp:           Tf32x3    Bf16x3
//     products of fragments                               216       120
//     cycles that those take at 62 % of the peak         1340       940
//     instructions issued in all, about                  1450       900
//     wavefronts of shared memory                         136       144
//   bytes 4 N D read, 4 N K written; from L2 also 2 D² a component and 256 rows (D ≤ 64)
//   shared memory for 256 rows, D = 64: x' 64 KiB, W 35 KiB: 2 blocks, 16 warps a multiprocessor
//
// Where the rows do not fit at full width, x' is staged again, 64 features at a time, beside every
// panel: 64 loads a lane for 384 products of a warp at most.
//
// Error of y_i: (|W| |x'|)_i times 5 · 2⁻²² (Tf32x3) or 3 · 2⁻¹⁶ (Bf16x3) for the split at most,
// and √D less where errors are independent; 3 ⌈D / kDepth⌉ cuts at 2⁻²³ of the sum so far.

namespace culatent::gaussian_mixture {
namespace {

using namespace device;
using namespace tensor_panels;

struct TensorPlan {
  int n_warps;
  int staged;  // features of x' at a time: all, rounded up to 16, or kSide
  std::int64_t splits;
};

using Outputs32 = float[kRowTiles][kOutputTiles][4];

// y += x' W over `n_features` features of a panel, for its first `n_tiles` tiles of outputs.
// `fragments`: the thread's own. `w`: the lane's first element of the panel, that of its first
// feature and output. On the diagonal the features and the outputs of a panel are the same.
template <class Kind>
__device__ __forceinline__ void multiply_panel(const uint4* fragments, const float* w,
                                               int n_features, int n_tiles, bool diagonal,
                                               Outputs32& y) {
  constexpr int kOwn = Kind::kDepth / 4;
#pragma unroll 1
  for (int step = 0; step < n_features; step += Kind::kDepth) {
    Split<4> a[kRowTiles];
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
      uint4 slots[Kind::kSlots];
#pragma unroll
      for (int slot = 0; slot < Kind::kSlots; ++slot) {
        slots[slot] = *fragments;
        fragments += blockDim.x;
      }
      Kind::unpack(slots, a[m]);
    }
    const int first_tile = diagonal ? step / 8 : 0;
#pragma unroll
    for (int n = 0; n < kOutputTiles; ++n) {
      if (n < first_tile || n >= n_tiles) continue;  // the same for the whole block
      float own[kOwn];
#pragma unroll
      for (int e = 0; e < kOwn; ++e) own[e] = w[(step + e % 2 + e / 2 * 8) * kPitch + 8 * n];
      Split<2> b;
      Kind::split_b(own, b);
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) Kind::multiply(y[m][n], a[m].low, b.high);
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) Kind::multiply(y[m][n], a[m].high, b.low);
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) Kind::multiply(y[m][n], a[m].high, b.high);
    }
  }
}

template <class Kind>
__global__ void __launch_bounds__(32 * kMostWarps, 2)
    log_joint_tensor_kernel(DeviceRows<float> rows, DeviceFrame<float> frame,
                            DeviceParameters<float> parameters, DeviceResponsibilities<float> out,
                            TensorPlan plan) {
  CULATENT_DYNAMIC_SHARED(shared, uint4);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  // A step's fragments take kRowTiles kSlots times 16 bytes of a thread.
  constexpr int kStepSlots = kRowTiles * Kind::kSlots;
  uint4* const fragments = shared + threadIdx.x;
  auto* const panels = reinterpret_cast<float*>(shared + plan.staged / Kind::kDepth * kStepSlots *
                                                             static_cast<int>(blockDim.x));
  const int d = static_cast<int>(rows.n_features);
  const std::int64_t first_row = (blockIdx.x / plan.splits * plan.n_warps + warp) * kWarpRows;
  const std::int64_t split = blockIdx.x % plan.splits;
  const int k_begin = static_cast<int>(parameters.n_components * split / plan.splits);
  const int k_end = static_cast<int>(parameters.n_components * (split + 1) / plan.splits);
  const bool whole = plan.staged >= d;
  const bool packed =
      d % 4 == 0 && reinterpret_cast<std::uintptr_t>(parameters.whitening) % 16 == 0;
  const int w = 2 * (lane % 4) * kPitch + lane / 4;

  PanelPlace next{k_begin, 0, 0};
  int current = 0;
  const auto fetch = [&](float* panel) {
    if (next.k < k_end) {
      if (packed) {
        fetch_panel<4>(parameters, next, panel);
      } else {
        fetch_panel<1>(parameters, next, panel);
      }
    }
    cp_async_commit();
    next.advance(d);
  };
  fetch(panels);
  if (whole) stage_fragments<Kind>(rows, frame, first_row, 0, plan.staged, fragments);

  for (int k = k_begin; k < k_end; ++k) {
    float norm[2 * kRowTiles] = {};
    for (int group = 0; group * kSide < d; ++group) {
      const int n_tiles = min(kOutputTiles, (d - group * kSide + 7) / 8);
      Outputs32 y;
      for (int part = 0; part <= group; ++part) {
        cp_async_wait<0>();
        __syncthreads();  // the panel is there for all, and all have done with the one before
        fetch(panels + (1 - current) * kPanel);
        if (!whole) {
          stage_fragments<Kind>(rows, frame, first_row, part * kSide, plan.staged, fragments);
        }
        const float* const panel = panels + current * kPanel;
        if (part == 0) {
#pragma unroll
          for (int n = 0; n < kOutputTiles; ++n) {
            const float* const b = panel + kSide * kPitch + 8 * n + 2 * (lane % 4);
#pragma unroll
            for (int m = 0; m < kRowTiles; ++m) {
              y[m][n][0] = y[m][n][2] = -b[0];
              y[m][n][1] = y[m][n][3] = -b[1];
            }
          }
        }
        const int before = whole ? part * (kSide / Kind::kDepth) * kStepSlots : 0;
        multiply_panel<Kind>(fragments + before * static_cast<int>(blockDim.x), panel + w,
                             min(d - part * kSide, kSide), n_tiles, part == group, y);
        current = 1 - current;
      }
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
        for (int n = 0; n < kOutputTiles; ++n) {
          norm[2 * m] += y[m][n][0] * y[m][n][0] + y[m][n][1] * y[m][n][1];
          norm[2 * m + 1] += y[m][n][2] * y[m][n][2] + y[m][n][3] * y[m][n][3];
        }
      }
    }
    // Each of the four lanes of a row has a quarter of the outputs; each then writes one of the
    // four rows that they share.
    float mine = 0.0f;
#pragma unroll
    for (int i = 0; i < 2 * kRowTiles; ++i) {
      const float sum = warp_sum<4>(norm[i]);
      if (lane % 4 == i) mine = sum;
    }
    const std::int64_t row = first_row + lane % 4 * 8 + lane / 4;
    if (row < rows.n_rows) {
      out.data[k * out.stride + row] = parameters.log_constants[k] - 0.5f * mine;
    }
  }
}

template <class Kind>
bool launch_tensor(const CudaBackend& backend, const DeviceRows<float>& rows,
                   const DeviceFrame<float>& frame, const DeviceParameters<float>& parameters,
                   const DeviceResponsibilities<float>& out) {
  constexpr std::int64_t kBlocksWanted = 4;  // for each multiprocessor
  const std::int64_t limit = backend.device.shared_bytes();
  const std::int64_t d = rows.n_features;
  const auto bytes = [](std::int64_t features, std::int64_t n_warps) {
    return 4 * (n_warps * kWarpRows * features + 2 * kPanel);
  };
  TensorPlan plan{};
  std::int64_t staged = div_up<std::int64_t>(d, 16) * 16;
  plan.n_warps = kMostWarps;
  if (bytes(staged, plan.n_warps) > limit) staged = std::min<std::int64_t>(staged, kSide);
  if (bytes(staged, plan.n_warps) > limit) plan.n_warps = kMostWarps / 2;
  if (bytes(staged, plan.n_warps) > limit)
    return false;  // no device with tensor cores has so little
  plan.staged = static_cast<int>(staged);
  const std::int64_t tiles = div_up<std::int64_t>(rows.n_rows, plan.n_warps * kWarpRows);
  plan.splits = std::clamp<std::int64_t>(
      div_up<std::int64_t>(kBlocksWanted * backend.device.n_multiprocessors(), tiles), 1,
      parameters.n_components);
  launch(log_joint_tensor_kernel<Kind>, dim3(static_cast<unsigned>(tiles * plan.splits)),
         dim3(static_cast<unsigned>(32 * plan.n_warps)),
         static_cast<std::size_t>(bytes(staged, plan.n_warps)), backend.device.stream(), rows,
         frame, parameters, out, plan);
  return true;
}

}  // namespace

bool log_joint_tensor(const CudaBackend& backend, const DeviceRows<float>& rows,
                      const DeviceFrame<float>& frame, const DeviceParameters<float>& parameters,
                      const DeviceResponsibilities<float>& out, Precision precision) {
  if (!has_tensor_cores(log_joint_tensor_kernel<Tf32x3>)) return false;
  if (precision == Precision::fast) {
    return launch_tensor<Bf16x3>(backend, rows, frame, parameters, out);
  }
  return launch_tensor<Tf32x3>(backend, rows, frame, parameters, out);
}

}  // namespace culatent::gaussian_mixture
