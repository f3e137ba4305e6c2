#include <cmath>
#include <limits>

#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/neighbors.hpp"
#include "kernels/cuda/neighbors_rounding.cuh"
#include "kernels/neighbors.hpp"

namespace culatent::neighbors {
namespace {

constexpr int kThreads = 256;
constexpr int kPieces = 4;  // features that a lane has at a time

// ---- find_bad_cell ------------------------------------------------------------------------------
//
// A warp a row.

__global__ void __launch_bounds__(kThreads)
    find_bad_kernel(SearchRows rows, bool whole, unsigned long long* cell) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t row =
      std::int64_t{blockIdx.x} * (kThreads / 32) + static_cast<int>(threadIdx.x) / 32;
  if (row >= rows.n_rows) return;
  const float* x = rows.data + row * rows.stride;
  for (std::int64_t j = kPieces * lane; j < rows.n_features; j += 32 * kPieces) {
    const auto piece = device::load_piece<kPieces>(x, j, rows.n_features, whole);
#pragma unroll
    for (int e = 0; e < kPieces; ++e) {
      if (piece.v[e] - piece.v[e] == 0.0f) continue;
      atomicMin(cell, static_cast<unsigned long long>(row * rows.n_features + j + e));
      return;
    }
  }
}

// ---- prepare_screen -----------------------------------------------------------------------------
//
// Half the squared distance of y_i and y_j is (n_i + n_j) / 2 − y_i · y_j, n = |y|². What y is off
// from its real coordinates, and how m roundings of a product count, kernels/neighbors.hpp says
// beside screen_slack(); u = 2^-24. collect() starts its sums at −low_j, |low_j| <= n_j / 2.
//
// fp32: the sum goes through D roundings, of no more than |low_j| + sum |y_ik y_jk|. That is off by
//
//   D u / (1 − D u) (n_j / 2 + (n_i + n_j) / 2) <= 2 D u / (1 − D u) (n_i + n_j) / 2
//
// so ProductSlack::rounding = (2 D + 8) u / (1 − ...), 8 for all else as there.
//
// bf16: with b = y in bf16, δ = y − b (what is below 2^-60 becomes 0: no product is subnormal),
//
//   |y_i · y_j − b_i · b_j| = |δ_i · b_j + y_i · δ_j| <= |δ_i| |b_j| + |y_i| |δ_j|
//     <= (|δ_i|² / t + t M_i) / 2 + (|δ_j|² / t + t M_j) / 2,   M = max(|y|², |b|²),
//
// for any t; |δ| is measured, about 2^-9.2 |y|, so t = 2^-9. Tensor cores add at least eight
// products at a time to the sum so far, and cut each of these and the result off at 2^-23 of the
// largest (see kmeans_screen.cu), which is no more than |low_j| + |b_i| |b_j|:
//
//   1.02 · 2^-23 (D + 2 ⌈D / 8⌉) (n_j / 2 + (M_i + M_j) / 2) <= κ (M_i + M_j)
//
// A row has all of its terms in its own bounds, rounding = 2 κ of M / 2. Low ends are rounded down,
// high ends up.
//
// A warp a row; a lane has four features at a time, neighbours of each other.
//   fp32: operands [feature][row] of a tile; bf16: fragments B of mma_bf16(), a step of 16 features
//   and 16 rows 16 bytes a lane, rows lane / 4 and 8 more, features 4 (lane % 4) and on as slots
//   2 pair, 2 pair + 1, 2 pair + 8, 2 pair + 9. As fragment A the middle registers change places.

constexpr float kVanishing = 0x1p-60f;

struct Preparation {
  DeviceScreen screen;
  const double* centre;
  ProductSlack slack;
  double vanished;
  int n_features;      // of the operands: whole slices
  std::int64_t words;  // of a tile
  bool whole;
};

template <Products kProducts>
__device__ __forceinline__ void store_piece(const Preparation& p, std::int64_t position,
                                            int feature, const float (&y)[kPieces]) {
  const int row = static_cast<int>(position % kTileRows);
  std::uint32_t* tile = p.screen.operands + position / kTileRows * p.words;
  if constexpr (kProducts == Products::fp32) {
#pragma unroll
    for (int e = 0; e < kPieces; ++e) {
      tile[std::int64_t{feature + e} * kTileRows + row] = __float_as_uint(y[e]);
    }
  } else {
    const int lane = row % 8 * 4 + feature % 16 / 4;
    const int slot = (feature / 16 * (kTileRows / 16) + row / 16) * 32 + lane;
    *reinterpret_cast<uint2*>(tile + 4 * slot + row % 16 / 8 * 2) =
        make_uint2(device::to_bf16_pair(y[0], y[1]), device::to_bf16_pair(y[2], y[3]));
  }
}

// What multiplication sees of y.
template <Products kProducts>
__device__ __forceinline__ float operand_of(float y) {
  if constexpr (kProducts == Products::fp32) {
    return y;
  } else {
    return __uint_as_float(device::to_bf16_pair(y, 0.0f) << 16);
  }
}

template <Products kProducts>
__global__ void __launch_bounds__(kThreads) prepare_kernel(const Preparation p) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t position =
      std::int64_t{blockIdx.x} * (kThreads / 32) + static_cast<int>(threadIdx.x) / 32;
  const SearchRows& rows = p.screen.rows;
  const std::int64_t row = row_at(p.screen, position);
  const auto n_features = static_cast<int>(rows.n_features);
  double square = 0.0, rest = 0.0, kept = 0.0;
  bool moved = false;
  for (int feature = kPieces * lane; feature < p.n_features; feature += 32 * kPieces) {
    float y[kPieces] = {};
    if (row >= 0) {
      const auto x =
          device::load_piece<kPieces>(rows.data + row * rows.stride, feature, n_features, p.whole);
#pragma unroll
      for (int e = 0; e < kPieces; ++e) {
        if (feature + e >= n_features) continue;
        const double wanted =
            (static_cast<double>(x.v[e]) - p.centre[feature + e]) * p.screen.scale;
        const double value = fmin(fmax(wanted, -static_cast<double>(kReach)), double{kReach});
        moved |= value != wanted;
        y[e] = static_cast<float>(value);
        float operand = y[e];
        if constexpr (kProducts == Products::bf16) {
          if (fabsf(y[e]) < kVanishing) operand = 0.0f;
          operand = operand_of<kProducts>(operand);
        }
        const double exact = static_cast<double>(y[e]), used = static_cast<double>(operand);
        square += exact * exact;
        rest += (exact - used) * (exact - used);
        kept += used * used;
        y[e] = operand;
      }
    }
    store_piece<kProducts>(p, position, feature, y);
  }
  square = device::warp_sum(square);
  rest = device::warp_sum(rest);
  kept = device::warp_sum(kept);
  moved = __any_sync(device::kAllLanes, moved);
  if (lane > 0) return;
  double slack = 0.5 * p.slack.rounding * fmax(square, kept) + p.vanished;
  if (kProducts == Products::bf16 && p.slack.share > 0.0) {
    slack += 0.5 * (rest / p.slack.share + p.slack.share * fmax(square, kept));
  }
  const bool none = row < 0, known = slack < static_cast<double>(kNowhere) / 8.0;
  float low = none ? kNowhere : -kNowhere / 4.0f;
  float high = kUnbounded;
  if (!none && known) low = below(0.5 * square - slack);
  if (!none && known && !moved) high = above(0.5 * square + slack);
  p.screen.low[position] = low;
  p.screen.high[position] = high;
}

template <Products kProducts>
void launch_prepare(const CudaBackend& backend, const Preparation& p) {
  const std::int64_t n_positions = p.screen.n_tiles * kTileRows;
  device::launch(prepare_kernel<kProducts>, static_cast<unsigned>(n_positions / (kThreads / 32)),
                 kThreads, 0, backend.device.stream(), p);
}

}  // namespace

ProductSlack product_slack(Products products, std::int64_t n_features) {
  const auto d = static_cast<double>(n_features);
  const double own = (products == Products::fp32 ? 2.0 * d + 8.0 : 8.0) * 0x1p-24;
  // So many features that nothing is known of a product: all rows are measured.
  const double rounding = own < 0.25 ? own / (1.0 - own) : std::numeric_limits<double>::infinity();
  if (products == Products::fp32) return {rounding, 0.0};
  const double cuts = d + 2.0 * std::ceil(d / 8.0);
  return {rounding + 2.0 * 1.02 * 0x1p-23 * cuts, 0x1p-9};
}

void find_bad_cell(const CudaBackend& backend, const SearchRows& rows, std::int64_t* cell) {
  const std::int64_t none = -1;  // the greatest of unsigned numbers
  backend.device.to_device(cell, &none, sizeof(none));
  const auto blocks = device::div_up<std::int64_t>(rows.n_rows, kThreads / 32);
  device::launch(find_bad_kernel, static_cast<unsigned>(blocks), kThreads, 0,
                 backend.device.stream(), rows,
                 device::whole_pieces(rows.data, rows.stride, rows.n_features, kPieces),
                 reinterpret_cast<unsigned long long*>(cell));
}

void prepare_screen(const CudaBackend& backend, const double* centre, const ProductSlack& slack,
                    const DeviceScreen& screen) {
  const std::int64_t d = screen.rows.n_features;
  Preparation p{};
  p.screen = screen;
  p.centre = centre;
  p.slack = slack;
  p.vanished = static_cast<double>(d) * kUnderflow;
  p.n_features =
      static_cast<int>(count_slices(screen.products, d)) * slice_features(screen.products);
  p.words = operand_bytes(screen.products, 1, d) / 4;
  p.whole = device::whole_pieces(screen.rows.data, screen.rows.stride, d, kPieces);
  if (screen.products == Products::fp32) {
    launch_prepare<Products::fp32>(backend, p);
  } else {
    launch_prepare<Products::bf16>(backend, p);
  }
}

}  // namespace culatent::neighbors
