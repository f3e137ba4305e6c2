#include <algorithm>
#include <limits>

#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/kmeans_screen_least.cuh"

// ---- screen_nearest -----------------------------------------------------------------------------
//
//   t_k = |c_k|² / 2 − x' · c_k, of which the least is the nearest centroid's
//
// A number is split as x = h + l + r: h = x in bf16, l = x − h in bf16, r the rest. x' · c is h · h
// (one product), or h · h + h · l + l · h (three). A block has 128 rows, whose fragments stay in
// shared memory over all centroids where they fit, and else are staged again beside every panel.
// Panels of 128 centroids come 32 features at a time through a double buffer, one barrier each. A
// warp keeps the scores of 64 rows by 64 centroids in registers. At a panel's end these become
// integers, with the centroid's place among the lane's 16 in the last four bits, and the least and
// the second least of every row go on.
//
// What is certain. By Cauchy and Schwarz, one product is wrong by no more than
//
//   |x'−h| |c| + |h| |c−h|                ≤ (a + (|x'| + a) A) |c|
//
// and three by
//
//   |l| |l of c| + |r| |c| + |x'−r| |r of c|  ≤ (1.01 a A + b + (|x'| + b) B) |c|
//
// where a = |x' − h| and b = |r| are the row's own, summed up when it is staged, and A and B the
// largest |c − h| / |c| and |r| / |c| of all centroids: at most 2⁻⁸ and 2⁻¹⁷, and about half of
// that with many features. Tensor cores add at least eight products at a time to the sum so far;
// each of these, and the result, is cut off at 2⁻²³ of the largest, which |c|² / 2 + |x'| |c|
// bounds. That makes D + 2 ⌈D / 8⌉ cuts for each of three products. The four bits are 2⁻¹⁹ of the
// result. So, with e for what stands before |c| above and κ |x'| more,
//
//   |t_k as computed − t_k| ≤ e |c_k| + κ |c_k|² / 2,   κ = 3.06 · 2⁻²³ (D + 2 ⌈D / 8⌉) + 2⁻¹⁸
//
// Compared are lower bounds of the t_k, made positive so that integers have their order:
//
//   L_k = t_k − (e |c_k| + κ |c_k|² / 2) + m,   m = (|x'| + 2 e)² (1 + 4 κ) / 2
//
// Centroid w of the least is the nearest where the next, L_v, is above all that t_w + m can be:
//
//   L_v − L_w > 2 (e |c_w| + κ |c_w|² / 2) + 2⁻¹⁷ m
//
// since m as computed is right to 2⁻¹⁸ m on both sides together. What is left, 2⁻¹⁹ |x'|², is more
// than differences in double round, so a look in double would find w as well. A far centroid has a
// wide bound for itself alone.
//
//   1e6 rows, D = 128, K = 1024, one product, on an H200 (790 TF/s; mma.sync has about 62 % of it):
//     products       262 GF at 490 TF/s: 0.53 ms
//     comparison     a candidate: 1 FFMA, 1 FADD, 1 LOP3, 2½ VIMNMX (3 where three operands are not
//                    compared at once), of which 3½ take the 64 lanes of ALU: 1.0e9, 0.21 ms
//     shared memory  a warp and step: 8 times 512 bytes for 32 products, 32 of 52 cycles
//     bytes          0.51 GB at 4.3 TB/s, 0.12 ms; from the L2 cache 2 GB of centroids
//   All at once 0.53 ms, of FFMA 3.9 ms; three products 1.6 ms. Not measured.

namespace culatent::kmeans {
namespace {

using namespace screening;
using device::div_up;

constexpr float kReach = 0x1p120f;  // (|x'| + |c|)² below it overflows nowhere
constexpr float kVanishingProducts = 0x1p-120f;

// ---- screen_kernel ------------------------------------------------------------------------------

// `starts`: the lane's first.
__device__ __forceinline__ void start_scores(const float* starts, Scores& scores) {
#pragma unroll
  for (int n = 0; n < kColumnTiles; ++n) {
    const float2 start = *reinterpret_cast<const float2*>(starts + 8 * n);
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
      scores[m][n][0] = scores[m][n][2] = start.x;
      scores[m][n][1] = scores[m][n][3] = start.y;
    }
  }
}

// scores −= x · c over `n_steps` steps, from a warp's first fragments.
template <int kProducts>
__device__ __forceinline__ void multiply(const uint4* rows, const uint4* centroids, int n_steps,
                                         Scores& scores) {
#pragma unroll 1
  for (int step = 0; step < n_steps; ++step) {
    std::uint32_t a[kParts<kProducts>][kRowTiles][4];
#pragma unroll
    for (int part = 0; part < kParts<kProducts>; ++part) {
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        const uint4 own = rows[part * kSlot + 32 * m];
        a[part][m][0] = own.x;
        a[part][m][1] = own.y;
        a[part][m][2] = own.z;
        a[part][m][3] = own.w;
      }
    }
#pragma unroll
    for (int n = 0; n < kColumnTiles; n += 2) {
      std::uint32_t b[kParts<kProducts>][2][2];
#pragma unroll
      for (int part = 0; part < kParts<kProducts>; ++part) {
        const uint4 own = centroids[part * (kStageSteps * kSlot) + 16 * n];
        b[part][0][0] = own.x;
        b[part][0][1] = own.y;
        b[part][1][0] = own.z;
        b[part][1][1] = own.w;
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if constexpr (kProducts == 3) {
#pragma unroll
          for (int m = 0; m < kRowTiles; ++m) device::mma_bf16(scores[m][n + i], a[1][m], b[0][i]);
#pragma unroll
          for (int m = 0; m < kRowTiles; ++m) device::mma_bf16(scores[m][n + i], a[0][m], b[1][i]);
        }
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) device::mma_bf16(scores[m][n + i], a[0][m], b[0][i]);
      }
    }
    rows += kParts<kProducts> * kSlot;
    centroids += kSlot;
  }
}

// Stages the rows, or what the first stage needs, and what is known of them.
template <int kProducts>
__device__ __forceinline__ void begin_rows(const ScreenProblem& p, const RowStage<kProducts>& stage,
                                           uint4* fragments, ScreenTile& tile) {
  constexpr int kOwn = RowStage<kProducts>::kOwn;
  float squares[kOwn][kParts<kProducts> + 1] = {};
  if (p.whole) {
    stage.stage(0, p.n_steps, fragments, squares);
  } else {
    for (int step = p.n_steps - 1; step >= 0; --step) {
      const int slot = step % kStageSteps * (kParts<kProducts> * kSlot);
      stage.stage(step, step + 1, fragments + slot, squares);
    }
  }
  const float spread = p.screen.spreads[0], rest = p.screen.spreads[1];
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
    float lengths[kParts<kProducts> + 1];
#pragma unroll
    for (int part = 0; part <= kParts<kProducts>; ++part) {
      lengths[part] = sqrt(device::warp_sum<4>(squares[i][part])) * p.growth +
                      kVanishing * static_cast<float>(p.rows.n_features);
    }
    if (threadIdx.x % 4 != 0) continue;
    float error = p.rounding * lengths[0];
    if constexpr (kProducts == 3) {
      error += 1.01f * lengths[1] * spread + lengths[2] + (lengths[0] + lengths[2]) * rest;
    } else {
      error += lengths[1] + (lengths[0] + lengths[1]) * spread;
    }
    error *= p.growth;
    const float length = lengths[0] + 2.0f * error;
    const int row = RowStage<kProducts>::row(i);
    tile.norms[row] = lengths[0];
    tile.errors[row] = error;
    tile.lifts[row] = 0.5f * length * length * (1.0f + 4.0f * p.rounding) * p.growth;
  }
}

// Whether the nearest centroid of a row is certain; see above.
__device__ __forceinline__ bool is_certain(const ScreenProblem& p, const ScreenTile& tile, int row,
                                           std::int32_t first, std::int32_t second,
                                           std::int32_t label) {
  const float norm = tile.norms[row], lift = tile.lifts[row];
  const float length = p.screen.lengths[label], longest = *p.centroids.longest;
  const float reach = norm + longest;
  if (!(reach * reach < kReach)) return false;  // infinite ones and NaN too
  const float bound = 2.0f * length * (tile.errors[row] + 0.5f * p.rounding * length) +
                      0x1p-17f * lift +
                      kVanishingProducts * static_cast<float>(p.rows.n_features) * (1.0f + reach);
  const float wide = bound * p.growth;
  const float least = __int_as_float(first);
  if (p.centroids.n_clusters == 1) return true;
  if (!(__int_as_float(second) - least > wide)) return false;
  return !p.some_far || beats_far(lift - least - wide, norm, p.centroids.beyond, p.slack);
}

// A thread a row: stores its label, or puts it on the list. Returns how many labels of the warp
// count as moved.
__device__ __forceinline__ int decide(const ScreenProblem& p, const ScreenTile& tile) {
  const int row = static_cast<int>(threadIdx.x), lane = row % 32;
  const std::uint32_t id = tile.ids[row];
  std::int32_t first = tile.first[0][row], second = tile.second[0][row];
  std::int32_t label = tile.labels[0][row];
  join(first, second, label, tile.first[1][row], tile.second[1][row], tile.labels[1][row]);
  const bool certain = is_certain(p, tile, row, first, second, label);
  bool moved = false;
  if (id != kNone && certain) {
    moved = p.counters != nullptr && p.labels[id] != label &&
            (p.rows.weights == nullptr || p.rows.weights[id] != 0.0);
    p.labels[id] = label;
  }
  const unsigned doubted = __ballot_sync(device::kAllLanes, id != kNone && !certain);
  unsigned begin = 0;
  if (lane == 0 && doubted != 0) {
    begin = atomicAdd(p.doubts.count, static_cast<unsigned>(__popc(doubted)));
  }
  begin = __shfl_sync(device::kAllLanes, begin, 0);
  if ((doubted >> lane & 1u) != 0)
    p.doubts.rows[begin + __popc(doubted & ((1u << lane) - 1u))] = id;
  return __popc(__ballot_sync(device::kAllLanes, moved));
}

template <int kProducts>
__global__ void __launch_bounds__(kThreads, 2) screen_kernel(const ScreenProblem p) {
  constexpr int kStage = kParts<kProducts> * kStageSteps * kSlot;
  CULATENT_DYNAMIC_SHARED(panels, uint4);  // two stages, then the rows
  CULATENT_SHARED(tile, ScreenTile);
  uint4* const fragments = panels + 2 * kStage;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  const int rows = thread / 32 % 2, half = thread / 64;  // 64 of the tile's and of the panel's
  const int column = 64 * half + 2 * (lane % 4);
  const int n_slices = div_up(p.n_steps, kStageSteps);
  const std::int64_t n_rows = p.from.rows != nullptr ? *p.from.count : p.rows.n_rows;
  int n_moved = 0;
  for (std::int64_t first_row = std::int64_t{blockIdx.x} * kRows; first_row < n_rows;
       first_row += std::int64_t{gridDim.x} * kRows) {
    const std::int64_t at = first_row + thread;
    std::uint32_t id = kNone;
    if (at < n_rows) id = p.from.rows != nullptr ? p.from.rows[at] : static_cast<std::uint32_t>(at);
    tile.ids[thread] = id;
    fetch_stage<kProducts>(p, 0, 0, panels, tile);
    __syncthreads();
    const RowStage<kProducts> stage(p, tile);
    begin_rows<kProducts>(p, stage, fragments, tile);

    Least least;
#pragma unroll
    for (int r = 0; r < kOwnRows; ++r) {
      least.first[r] = least.second[r] = kMost;
      least.panel[r] = 0;
    }
    Scores scores;
    int buffer = 0;
#pragma unroll 1
    for (int panel = 0; panel < p.n_panels; ++panel) {
#pragma unroll 1
      for (int slice = 0; slice < n_slices; ++slice) {
        device::cp_async_wait<0>();
        __syncthreads();  // the stage is there for all, and all have done with the one before
        const bool last = slice + 1 == n_slices;
        const int next = last ? 0 : slice + 1;
        if (!last || panel + 1 < p.n_panels) {
          const int other = (1 - buffer) * kStage;
          fetch_stage<kProducts>(p, last ? panel + 1 : panel, next, panels + other, tile);
          if (!p.whole) {
            float unwanted[RowStage<kProducts>::kOwn][kParts<kProducts> + 1] = {};
            const int end = min((next + 1) * kStageSteps, p.n_steps);
            stage.stage(next * kStageSteps, end, fragments + other, unwanted);
          }
        }
        if (panel * std::int64_t{kPanel} + 64 * half < p.centroids.n_clusters) {
          if (slice == 0) start_scores(&tile.starts[panel % 2][column], scores);
          const int staged = p.whole ? slice * kStage : buffer * kStage;
          multiply<kProducts>(fragments + staged + rows * (kSlot / 2) + lane,
                              panels + buffer * kStage + half * (kSlot / 2) + lane,
                              min(kStageSteps, p.n_steps - slice * kStageSteps), scores);
          if (last) meet(p, tile, 64 * rows, column, panel, scores, least);
        }
        buffer = 1 - buffer;
      }
    }
    settle(least, 64 * rows, half, tile);
    __syncthreads();
    n_moved += decide(p, tile);
  }
  if (lane == 0 && n_moved > 0) {
    atomicAdd(&p.counters->n_moved, static_cast<unsigned long long>(n_moved));
  }
  if (p.from.rows != nullptr && p.counters != nullptr && blockIdx.x == 0 && thread == 0) {
    atomicAdd(&p.counters->n_screened, static_cast<unsigned long long>(*p.from.count));
  }
}

// ---- launch -------------------------------------------------------------------------------------

template <int kProducts>
void launch_screen(const CudaBackend& backend, ScreenProblem p) {
  constexpr std::int64_t kStageBytes = 16 * kParts<kProducts> * kStageSteps * kSlot;
  constexpr auto kTile = static_cast<std::int64_t>(sizeof(ScreenTile));
  const std::int64_t all = div_up(p.n_steps, kStageSteps) * kStageBytes;
  p.whole = kTile + 2 * kStageBytes + all <= backend.device.shared_bytes();
  const std::int64_t bytes = 2 * kStageBytes + (p.whole ? all : 2 * kStageBytes);
  const std::int64_t tiles = div_up<std::int64_t>(p.rows.n_rows, kRows);
  // How many rows a list has is known on the device alone.
  const std::int64_t blocks =
      p.from.rows == nullptr
          ? tiles
          : std::min(tiles, 2 * std::int64_t{backend.device.n_multiprocessors()});
  device::launch(screen_kernel<kProducts>, static_cast<unsigned>(blocks), kThreads,
                 static_cast<std::size_t>(bytes), backend.device.stream(), p);
}

}  // namespace

bool can_screen(const CudaBackend& backend, std::int64_t n_features) {
  constexpr std::int64_t kMostFeatures = 1 << 16;  // κ stays small
  constexpr std::int64_t kLeastShared = 96 << 10;  // all with tensor cores of bf16 have it
  return n_features <= kMostFeatures && backend.device.shared_bytes() >= kLeastShared &&
         device::has_tensor_cores(screen_kernel<3>);
}

void screen_nearest(const CudaBackend& backend, const ClusterRows<float>& rows,
                    const DeviceCentroids<float>& centroids, const DeviceScreen& screen,
                    int n_products, const DeviceDoubts& doubts, std::int32_t* labels,
                    PassCounters* counters) {
  backend.device.fill_zero(screen.doubts.count, sizeof(*screen.doubts.count));
  if (rows.n_rows == 0) return;
  ScreenProblem p{};
  p.rows = rows;
  p.centroids = centroids;
  p.screen = screen;
  p.labels = labels;
  p.score_bits = ~kPlaceBits;
  p.counters = counters;
  p.n_panels = static_cast<int>(packed_clusters(centroids.n_clusters) / kPanel);
  p.n_steps = static_cast<int>(div_up<std::int64_t>(rows.n_features, 16));
  p.whole_rows = device::whole_pieces(rows.data, rows.stride, rows.n_features, 4);
  p.whole_offsets = device::whole_pieces(rows.offset, 0, rows.n_features, 4);
  p.rounding = rounding_of(rows.n_features);
  p.growth = growth_of(rows.n_features);
  p.some_far = centroids.beyond < std::numeric_limits<float>::infinity();
  p.slack = score_slack<float>(rows.n_features);
  p.doubts = screen.doubts;
  if (n_products == 1) {
    launch_screen<1>(backend, p);
    backend.device.fill_zero(doubts.count, sizeof(*doubts.count));
    p.from = screen.doubts;
    p.doubts = doubts;
  }
  launch_screen<3>(backend, p);
  look_again(backend, rows, centroids, p.doubts, labels, counters);
}

}  // namespace culatent::kmeans
