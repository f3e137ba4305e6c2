#include <cmath>
#include <limits>

#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/kmeans_tile.cuh"

namespace culatent::kmeans {
namespace {

using device::div_up;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// ---- nearest centroid ---------------------------------------------------------------------------
//
//   labels_i = argmax_k s_ik,   s_ik = x'_i · c_k − |c_k|² / 2
//
// The best two scores of a thread's rows stay in registers; 16 lanes share rows and settle at the
// end. A score is D + 1 roundings of partial sums below |x'| |c| + |c|² / 2, so that the first of
// two that differ by more than
//
//   2 (D + 2) u max |c| (|x'| + max |c| / 2)
//
// is truly the nearest, unless a centroid that was left out for being far is nearer
// (kernels/kmeans_rounding.hpp). Rows in doubt are put on a list, in any order, and left to
// look_again_kernel.
//   per candidate 5 instructions of comparison beside its D FMA

template <class T>
struct Best {
  T first = kLowest<T>;
  T second = kLowest<T>;
  std::int32_t label = 0;
};

// Which of equal ones is kept does not matter: a row that has two best is in doubt.
template <class T>
__device__ __forceinline__ void meet(Best<T>& best, T score, std::int32_t label) {
  const bool better = score > best.first;
  const T lesser = better ? best.first : score;
  best.second = lesser > best.second ? lesser : best.second;
  best.first = better ? score : best.first;
  best.label = better ? label : best.label;
}

// Over the 16 lanes that share a row.
template <class T>
__device__ __forceinline__ void settle(Best<T>& best) {
#pragma unroll
  for (int offset = kSide / 2; offset > 0; offset /= 2) {
    const T first = __shfl_xor_sync(device::kAllLanes, best.first, offset);
    const T second = __shfl_xor_sync(device::kAllLanes, best.second, offset);
    const std::int32_t label = __shfl_xor_sync(device::kAllLanes, best.label, offset);
    const bool better = first > best.first;
    const T lesser = better ? best.first : first;
    const T other = better ? second : best.second;
    best.second = lesser > other ? lesser : other;
    best.first = better ? first : best.first;
    best.label = better ? label : best.label;
  }
}

struct Target {
  std::int32_t* labels;
  DeviceDoubts doubts;
  PassCounters* counters;
};

// Stores a label. Returns whether it counts as moved.
template <class T>
__device__ __forceinline__ bool put_label(const ClusterRows<T>& rows, const Target& target,
                                          std::int64_t row, std::int32_t label) {
  const bool moved = target.counters != nullptr && target.labels[row] != label;
  target.labels[row] = label;
  return moved && weight_of(rows, row) != 0.0;
}

template <class T, int kOwn>
__global__ void __launch_bounds__(kThreads, sizeof(T) == 8 || kOwn == 8 ? 1 : 2)
    nearest_kernel(ClusterRows<T> rows, DeviceCentroids<T> centroids, T slack, Target target) {
  CULATENT_SHARED(stage, TileStage<T, kOwn>);
  CULATENT_SHARED(norms, T[kRows]);
  CULATENT_SHARED(scratch, int[kThreads / 32]);
  const int thread = static_cast<int>(threadIdx.x);
  const int tx = thread % kSide, ty = thread / kSide;
  const std::int64_t first_row = std::int64_t{blockIdx.x} * kRows;
  Tile<T, kOwn> tile(rows, centroids, first_row, stage);

  Best<T> best[kOwnRows];
  T square{};  // |x'|² of row `thread`
  for (std::int64_t first = 0; first < centroids.n_clusters; first += tile.kPanel) {
    T score[kOwnRows][kOwn];
#pragma unroll
    for (int c = 0; c < kOwn; ++c) {
      const T start = centroids.offsets[first + Along<T, kOwn>::at(tx, c)];
#pragma unroll
      for (int r = 0; r < kOwnRows; ++r) score[r][c] = start;
    }
    tile.run(
        first,
        [&](const T(&x)[kOwnRows], const T(&c)[kOwn]) {
#pragma unroll
          for (int r = 0; r < kOwnRows; ++r) {
#pragma unroll
            for (int k = 0; k < kOwn; ++k) score[r][k] = fma(x[r], c[k], score[r][k]);
          }
        },
        [&](const auto& features) {
          if (first > 0 || thread >= kRows) return;
#pragma unroll
          for (int j = 0; j < kDepth<T>; ++j) {
            const T x = features[j][thread];
            square = fma(x, x, square);
          }
        });
#pragma unroll
    for (int c = 0; c < kOwn; ++c) {
      const auto k = static_cast<std::int32_t>(first + Along<T, kOwn>::at(tx, c));
#pragma unroll
      for (int r = 0; r < kOwnRows; ++r) meet(best[r], score[r][c], k);
    }
  }
  if (thread < kRows) norms[thread] = rows.factors != nullptr ? T{1} : sqrt(square);
  __syncthreads();

  const T longest = *centroids.longest;
  const bool some_far = static_cast<double>(centroids.beyond) < kInfinity;
  int moved = 0;
#pragma unroll
  for (int r = 0; r < kOwnRows; ++r) {
    settle(best[r]);
    const int at = Along<T, kOwnRows>::at(ty, r);
    const std::int64_t row = first_row + at;
    if (tx != 0 || row >= rows.n_rows) continue;
    const bool apart = truly_apart(best[r].first, best[r].second, norms[at], longest, slack);
    const bool nearer = !some_far || beats_far(best[r].first, norms[at], centroids.beyond, slack);
    if (centroids.n_clusters == 1 || (apart && nearer)) {
      moved += put_label(rows, target, row, best[r].label) ? 1 : 0;
    } else {
      target.doubts.rows[atomicAdd(target.doubts.count, 1u)] = static_cast<std::uint32_t>(row);
    }
  }
  moved = device::block_sum<kThreads>(moved, scratch);
  if (thread == 0 && moved > 0) {
    atomicAdd(&target.counters->n_moved, static_cast<unsigned long long>(moved));
  }
}

// ---- second look --------------------------------------------------------------------------------
//
//   labels_i = argmin_k sum_j (x'_ij − c_kj)² in double, j in ascending order
//
// A warp a row; a lane has every 32nd centroid, four at a time, so that a feature of all is read
// side by side and a distance has the bits that it has on the CPU.
//   3 K D instructions in double a row

constexpr int kLookWarps = 4;
constexpr int kLookOwn = 4;

template <class T>
__global__ void __launch_bounds__(32 * kLookWarps)
    look_again_kernel(ClusterRows<T> rows, DeviceCentroids<T> centroids, Target target) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const std::uint32_t count = *target.doubts.count;
  const std::int64_t pitch = packed_clusters(centroids.n_clusters);
  if (target.counters != nullptr && blockIdx.x == 0 && threadIdx.x == 0 && count > 0) {
    atomicAdd(&target.counters->n_refined, static_cast<unsigned long long>(count));
  }
  for (std::int64_t i = std::int64_t{blockIdx.x} * kLookWarps + warp; i < count;
       i += std::int64_t{gridDim.x} * kLookWarps) {
    const std::int64_t row = target.doubts.rows[i];
    double least = kInfinity;
    std::int32_t label = 0;
    for (std::int64_t first = 0; first < centroids.n_clusters; first += 32 * kLookOwn) {
      double distance[kLookOwn] = {};
      for (std::int64_t begin = 0; begin < rows.n_features; begin += 32) {
        const T own =
            begin + lane < rows.n_features ? in_coordinates(rows, row, begin + lane) : T{};
        const int n = static_cast<int>(min(std::int64_t{32}, rows.n_features - begin));
#pragma unroll 1  // else ptxas spills for 12.0
        for (int j = 0; j < n; ++j) {
          const auto x = static_cast<double>(__shfl_sync(device::kAllLanes, own, j));
          const T* c = centroids.packed + (begin + j) * pitch + first + lane;
#pragma unroll
          for (int k = 0; k < kLookOwn; ++k) {
            const double delta = x - static_cast<double>(c[32 * k]);
            distance[k] = fma(delta, delta, distance[k]);
          }
        }
      }
#pragma unroll
      for (int k = 0; k < kLookOwn; ++k) {
        const std::int64_t at = first + lane + 32 * k;
        if (at < centroids.n_clusters && distance[k] < least) {
          least = distance[k];
          label = static_cast<std::int32_t>(at);
        }
      }
    }
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) {
      const double other = __shfl_xor_sync(device::kAllLanes, least, offset);
      const std::int32_t its = __shfl_xor_sync(device::kAllLanes, label, offset);
      if (other < least || (other == least && its < label)) {
        least = other;
        label = its;
      }
    }
    if (lane == 0 && put_label(rows, target, row, label)) {
      atomicAdd(&target.counters->n_moved, 1ULL);
    }
  }
}

// Half as many centroids a thread for as long as one panel holds them all: the rest would be 0.
template <class T, int kOwn>
void launch_nearest(const CudaBackend& backend, const ClusterRows<T>& rows,
                    const DeviceCentroids<T>& centroids, T slack, const Target& target) {
  if constexpr (kOwn > 2) {
    if (centroids.n_clusters <= kSide * kOwn / 2) {
      launch_nearest<T, kOwn / 2>(backend, rows, centroids, slack, target);
      return;
    }
  }
  device::launch(nearest_kernel<T, kOwn>,
                 static_cast<unsigned>(div_up<std::int64_t>(rows.n_rows, kRows)), kThreads, 0,
                 backend.device.stream(), rows, centroids, slack, target);
}

}  // namespace

template <class T>
void look_again(const CudaBackend& backend, const ClusterRows<T>& rows,
                const DeviceCentroids<T>& centroids, const DeviceDoubts& doubts,
                std::int32_t* labels, PassCounters* counters) {
  if (rows.n_rows == 0) return;
  const std::int64_t most = div_up<std::int64_t>(rows.n_rows, kLookWarps);
  const std::int64_t enough = 16 * std::int64_t{backend.device.n_multiprocessors()};
  device::launch(look_again_kernel<T>, static_cast<unsigned>(std::min(most, enough)),
                 32 * kLookWarps, 0, backend.device.stream(), rows, centroids,
                 Target{labels, doubts, counters});
}

template <class T>
void nearest(const CudaBackend& backend, const ClusterRows<T>& rows,
             const DeviceCentroids<T>& centroids, const DeviceDoubts& doubts, std::int32_t* labels,
             PassCounters* counters) {
  if (rows.n_rows == 0) return;
  backend.device.fill_zero(doubts.count, sizeof(*doubts.count));
  const T slack = score_slack<T>(rows.n_features);
  launch_nearest<T, kMostOwn<T>>(backend, rows, centroids, slack, Target{labels, doubts, counters});
  look_again(backend, rows, centroids, doubts, labels, counters);
}

#define CULATENT_INSTANTIATE(T)                                                                  \
  template void nearest(const CudaBackend&, const ClusterRows<T>&, const DeviceCentroids<T>&,    \
                        const DeviceDoubts&, std::int32_t*, PassCounters*);                      \
  template void look_again(const CudaBackend&, const ClusterRows<T>&, const DeviceCentroids<T>&, \
                           const DeviceDoubts&, std::int32_t*, PassCounters*);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::kmeans
