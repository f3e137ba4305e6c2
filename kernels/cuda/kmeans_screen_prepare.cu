#include <limits>

#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/kmeans_screen.cuh"

namespace culatent::kmeans {
namespace {

using namespace screening;

constexpr float kLowest = std::numeric_limits<float>::lowest();

// ---- prepare_screen -----------------------------------------------------------------------------
//
// A warp has 16 centroids, as fragments B of two tiles, negated: products are taken from scores.

__device__ __forceinline__ void raise_to(float* highest, float value) {
  atomicMax(reinterpret_cast<int*>(highest), __float_as_int(value));  // not negative
}

__global__ void __launch_bounds__(32)
    prepare_screen_kernel(DeviceCentroids<float> centroids, DeviceScreen screen, int n_features,
                          bool whole, float rounding, float growth) {
  const int lane = static_cast<int>(threadIdx.x);
  const std::int64_t panel = blockIdx.x / (kPanel / 16);
  const int n_steps = device::div_up(n_features, 16);
  const std::int64_t part_size = gridDim.x / (kPanel / 16) * std::int64_t{n_steps} * kSlot;
  auto* to = reinterpret_cast<uint4*>(screen.fragments) + panel * n_steps * kSlot +
             blockIdx.x % (kPanel / 16) * 32 + lane;
  std::int64_t own[2];
  bool screened[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    own[i] = std::int64_t{blockIdx.x} * 16 + 8 * i + lane / 4;
    // Far centroids are left out as in every screen.
    screened[i] = own[i] < centroids.n_clusters && centroids.offsets[own[i]] > kLowest;
  }
  double squares[2][3] = {};
#pragma unroll 2
  for (int step = 0; step < n_steps; ++step) {
    const int feature = 16 * step + 4 * (lane % 4);
    uint2 parts[2][2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      device::Piece<float, 4> c{};
      if (screened[i]) {
        c = device::load_piece<4>(centroids.values + own[i] * n_features, feature, n_features,
                                  whole);
      }
#pragma unroll
      for (float& value : c.v) value = -value;
      split_four(c.v, parts[i], squares[i]);
    }
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      to[part * part_size] =
          make_uint4(parts[0][part].x, parts[0][part].y, parts[1][part].x, parts[1][part].y);
    }
    to += kSlot;
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (double& square : squares[i]) square = device::warp_sum<4>(square);
    if (lane % 4 != 0) continue;
    const double square = squares[i][0];
    screen.starts[own[i]] =
        screened[i] ? static_cast<float>(0.5 * square * (1.0 - static_cast<double>(rounding)))
                    : kFar;
    screen.lengths[own[i]] = static_cast<float>(sqrt(square)) * growth;
    if (!screened[i] || square == 0.0) continue;
    raise_to(screen.spreads, static_cast<float>(sqrt(squares[i][1] / square)) * growth);
    raise_to(screen.spreads + 1, static_cast<float>(sqrt(squares[i][2] / square)) * growth);
  }
}

}  // namespace

void prepare_screen(const CudaBackend& backend, std::int64_t n_features,
                    const DeviceCentroids<float>& centroids, const DeviceScreen& screen) {
  if (centroids.n_clusters == 0) return;
  backend.device.fill_zero(screen.spreads, 2 * sizeof(float));
  device::launch(prepare_screen_kernel,
                 static_cast<unsigned>(packed_clusters(centroids.n_clusters) / 16), 32, 0,
                 backend.device.stream(), centroids, screen, static_cast<int>(n_features),
                 device::whole_pieces(centroids.values, 0, n_features, 4), rounding_of(n_features),
                 growth_of(n_features));
}

}  // namespace culatent::kmeans
