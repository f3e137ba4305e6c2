#pragma once

#include "kernels/cuda/device/async.cuh"
#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/kmeans_screen.hpp"

/// What screen_nearest() multiplies, in shared memory: tiles of rows and panels of centroids, as
/// the fragments that the lanes of a warp need.
///
/// Of 16 features, a step, a lane has four neighbours, 4 (lane % 4) and on, as slots 2 pair, 2 pair
/// + 1, 2 pair + 8 and 2 pair + 9 of the product (see mma_bf16()), of rows as of centroids. So a
/// step of 16 rows, or of 16 centroids, is 16 bytes a lane, those of a warp side by side: no bank
/// conflicts, no ldmatrix, and copies of whole lines.
namespace culatent::kmeans::screening {

inline constexpr int kWarps = 4;
inline constexpr int kThreads = 32 * kWarps;
inline constexpr int kRows = 128;              // of a tile: one a thread
inline constexpr int kPanel = 128;             // centroids
inline constexpr int kSlot = kRows / 16 * 32;  // uint4 of a step of a tile or a panel, one part
inline constexpr int kStageSteps = 2;          // that come at a time
inline constexpr std::uint32_t kNone = 0xffffffffu;

/// Parts of bf16 that an operand is split into.
template <int kProducts>
inline constexpr int kParts = kProducts == 3 ? 2 : 1;

/// Squares of what is less vanish.
inline constexpr float kVanishing = 0x1p-74f;

/// The start of what is no centroid, or is left out.
inline constexpr float kFar = 0x1p126f;

/// κ in kmeans_screen.cu. Features beyond the last are 0, and nothing is cut off those.
inline float rounding_of(std::int64_t n_features) {
  const std::int64_t cuts = n_features + 2 * device::div_up<std::int64_t>(n_features, 8);
  return 3.06f * 0x1p-23f * static_cast<float>(cuts) + 0x1p-18f;
}
/// 1 and the roundings of a length.
inline float growth_of(std::int64_t n_features) {
  return 1.0f + 0x1p-23f * static_cast<float>(n_features + 16);
}

struct ScreenProblem {
  ClusterRows<float> rows;
  DeviceCentroids<float> centroids;
  DeviceScreen screen;
  DeviceDoubts from;    // the rows to look at; rows null: all
  DeviceDoubts doubts;  // receives those in doubt
  std::int32_t* labels;
  PassCounters* counters;
  int n_panels;
  int n_steps;
  bool whole;               // all steps of a tile of rows fit in shared memory
  bool whole_rows;          // pieces of four features, see whole_pieces()
  bool whole_offsets;       // as well
  std::int32_t score_bits;  // ~15; from a register, as with two constants it takes two LOP3
  bool some_far;            // centroids are left out
  float slack;              // of beats_far()
  float rounding;           // rounding_of()
  float growth;             // growth_of()
};

/// What a block knows of its rows and of the panel's centroids, beside the fragments.
struct ScreenTile {
  alignas(16) float starts[2][kPanel];
  alignas(16) float lengths[2][kPanel];
  std::uint32_t ids[kRows];  // kNone beyond the last
  float norms[kRows];        // |x'|, a little more
  float errors[kRows];       // of a score, as a share of |c|
  float lifts[kRows];        // makes scores positive
  std::int32_t first[2][kRows];
  std::int32_t second[2][kRows];
  std::int32_t labels[2][kRows];
};

/// Both to the nearest bf16, as a register; what that leaves, exactly, stays in x and y.
__device__ __forceinline__ std::uint32_t take_part(float& x, float& y) {
  const std::uint32_t part = device::to_bf16_pair(x, y);
  x -= __uint_as_float(part << 16);
  y -= __uint_as_float(part & 0xffff0000u);
  return part;
}

/// Splits a lane's four features. squares[i] += those of what i parts leave, in order.
template <int kParts, class Sum>
__device__ __forceinline__ void split_four(float (&x)[4], uint2 (&parts)[kParts],
                                           Sum (&squares)[kParts + 1]) {
#pragma unroll
  for (int i = 0; i <= kParts; ++i) {
#pragma unroll
    for (const float value : x) {
      squares[i] = fma(static_cast<Sum>(value), static_cast<Sum>(value), squares[i]);
    }
    if (i < kParts) parts[i] = make_uint2(take_part(x[0], x[1]), take_part(x[2], x[3]));
  }
}

/// The thread's rows of a tile as it stages them: a warp has 16 rows and 16 others, 64 on; a lane
/// two of each, 8 apart.
template <int kProducts>
class RowStage {
 public:
  static constexpr int kOwn = 4;

  /// After ScreenTile::ids are there for all.
  __device__ __forceinline__ RowStage(const ScreenProblem& p, const ScreenTile& tile) : p_(p) {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const std::uint32_t id = tile.ids[row(i)];
      from_[i] = id == kNone ? nullptr : p.rows.data + std::int64_t{id} * p.rows.stride;
      factors_[i] = p.rows.factors == nullptr || id == kNone ? 1.0f : p.rows.factors[id];
    }
  }

  static __device__ __forceinline__ int row(int i) {
    const int thread = static_cast<int>(threadIdx.x);
    return thread / 32 * 16 + i / 2 * (16 * kWarps) + i % 2 * 8 + thread % 32 / 4;
  }

  /// Stages steps [first, end) in the slots from `to` on, and adds up squares as split_four().
  __device__ __forceinline__ void stage(int first, int end, uint4* to,
                                        float (&squares)[kOwn][kParts<kProducts> + 1]) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll 2
    for (int step = first; step < end; ++step) {
      const int feature = 16 * step + 4 * (lane % 4);
      const auto d = static_cast<int>(p_.rows.n_features);
      const auto offset = device::load_piece<4>(p_.rows.offset, feature, d, p_.whole_offsets);
      uint2 parts[kOwn][kParts<kProducts>];
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        float x[4] = {};
        if (from_[i] != nullptr) {
          const auto raw = device::load_piece<4>(from_[i], feature, d, p_.whole_rows);
#pragma unroll
          for (int e = 0; e < 4; ++e)
            x[e] = fma(raw.v[e], p_.rows.scale, offset.v[e]) * factors_[i];
        }
        split_four(x, parts[i], squares[i]);
      }
#pragma unroll
      for (int part = 0; part < kParts<kProducts>; ++part) {
#pragma unroll
        for (int i = 0; i < kOwn; i += 2) {
          const uint2 upper = parts[i][part], lower = parts[i + 1][part];
          to[(part * (kRows / 16) + warp + i / 2 * kWarps) * 32 + lane] =
              make_uint4(upper.x, lower.x, upper.y, lower.y);
        }
      }
      to += kParts<kProducts> * kSlot;
    }
  }

 private:
  const ScreenProblem& p_;
  const float* from_[kOwn];
  float factors_[kOwn];
};

/// Starts copying steps kStageSteps slice and on of a panel, all threads together; with the first
/// what the tile keeps of the panel.
template <int kProducts>
__device__ __forceinline__ void fetch_stage(const ScreenProblem& p, int panel, int slice, uint4* to,
                                            ScreenTile& tile) {
  const int thread = static_cast<int>(threadIdx.x), first = slice * kStageSteps;
  const int count = min(kStageSteps, p.n_steps - first) * kSlot;
  const auto* const all = reinterpret_cast<const uint4*>(p.screen.fragments);
#pragma unroll
  for (int part = 0; part < kParts<kProducts>; ++part) {
    const std::int64_t line = std::int64_t{part * p.n_panels + panel} * p.n_steps + first;
    for (int i = thread; i < count; i += kThreads) {
      device::cp_async<16>(to + part * (kStageSteps * kSlot) + i, all + line * kSlot + i);
    }
  }
  if (first == 0 && thread < kPanel / 4) {
    const std::int64_t at = std::int64_t{panel} * kPanel + 4 * thread;
    device::cp_async<16>(&tile.starts[panel % 2][4 * thread], p.screen.starts + at);
    device::cp_async<16>(&tile.lengths[panel % 2][4 * thread], p.screen.lengths + at);
  }
  device::cp_async_commit();
}

}  // namespace culatent::kmeans::screening
