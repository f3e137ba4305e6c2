#pragma once

#include "kernels/cuda/device/async.cuh"
#include "kernels/cuda/device/row_tile.cuh"

/// Squared distances of a tile of rows to centres: a lane owns kLaneRows rows by kCentres centres,
/// a warp all rows of the tile. Differences are taken before they are squared.
///
///   per feature and warp   2 kLaneRows kCentres instructions (kScaledDistance: 3) for shared
///     memory wavefronts, float 64 for 4 of x' and 2 or 4 of centres and factors; double 32 (64
///     cycles of its pipe) for 8 and 2 or 4
namespace culatent::device {

/// What is squared: x' − c, (x' − c) f, or f x' − c.
enum class Difference { plain, scaled, affine };

/// Centres in global memory: c(k, j) at centres[k * D + j], f(k, j) at factors[k * factor_step +
/// j].
template <class T>
struct CentreTable {
  const T* centres = nullptr;
  const T* factors = nullptr;
  std::int64_t factor_step = 0;  // D, or 0 where all centres share their factors
  int n_centres = 0;
  int n_features = 0;
};

/// Centres that a warp works on at a time.
template <class T>
inline constexpr int kCentres = sizeof(T) == 4 ? 8 : 4;

inline constexpr int kDistanceFeatures = 32;  // in one panel

/// Elements of one warp's panel: [kDistanceFeatures][kCentres] of centres, then of factors.
template <class T, Difference kDifference>
inline constexpr int kDistancePanel =
    (kDifference == Difference::plain ? 1 : 2) * kDistanceFeatures* kCentres<T>;

// Starts copying a panel: zero beyond the last centre and beyond `n_features`. Lanes write
// consecutive elements; a warp reads 32 / kCentres features of each centre at a time.
template <Difference kDifference, class T>
__device__ __forceinline__ void fetch_centres(const CentreTable<T>& table, int first_centre,
                                              int first_feature, int n_features, int lane,
                                              T* panel) {
  constexpr int kBytes = static_cast<int>(sizeof(T));
  constexpr int kStep = 32 / kCentres<T>;
  const int centre = first_centre + lane % kCentres<T>;
  const bool inside = centre < table.n_centres;
  const std::int64_t k = inside ? centre : 0;
  const T* c = table.centres + k * table.n_features + first_feature;
  const T* f = nullptr;
  if constexpr (kDifference != Difference::plain) {
    f = table.factors + k * table.factor_step + first_feature;
  }
#pragma unroll 1
  for (int j = lane / kCentres<T>; j < kDistanceFeatures && j - lane / kCentres<T> < n_features;
       j += kStep) {
    const bool valid = inside && j < n_features;
    T* const to = panel + j * kCentres<T> + lane % kCentres<T>;
    cp_async<kBytes>(to, valid ? c + j : c, valid ? kBytes : 0);
    if constexpr (kDifference != Difference::plain) {
      cp_async<kBytes>(to + kDistanceFeatures * kCentres<T>, valid ? f + j : f, valid ? kBytes : 0);
    }
  }
  cp_async_commit();
}

// The first kUsed centres of a panel.
template <Difference kDifference, int kUsed, class T>
__device__ __forceinline__ void add_distance_panel(const T* tile, const T* panel, int n_features,
                                                   int lane, T (&norms)[kCentres<T>][kLaneRows]) {
  constexpr int kSize = Pack<T>::kSize;
#pragma unroll(sizeof(T) == 4 ? 4 : 2)
  for (int j = 0; j < n_features; ++j) {
    T x[kLaneRows];
    load_rows(tile + j * kTilePitch<T>, lane, x);
#pragma unroll
    for (int first = 0; first < kUsed; first += kSize) {
      const T* const at = panel + j * kCentres<T> + first;
      const Pack<T> c = load_pack(at);
      Pack<T> f = c;
      if constexpr (kDifference != Difference::plain) {
        f = load_pack(at + kDistanceFeatures * kCentres<T>);
      }
#pragma unroll
      for (int v = 0; v < kSize; ++v) {
#pragma unroll
        for (int r = 0; r < kLaneRows; ++r) {
          T z = x[r] - c.values[v];
          if constexpr (kDifference == Difference::scaled) z *= f.values[v];
          if constexpr (kDifference == Difference::affine) z = f.values[v] * x[r] - c.values[v];
          norms[first + v][r] += z * z;
        }
      }
    }
  }
}

/// norms[c][r] += the squares of `n_features` features of a tile, from `first_feature` on of the
/// table, for centres first_centre + c. `buffers`: two panels of the warp's own.
template <Difference kDifference, class T>
__device__ __forceinline__ void add_distances(const CentreTable<T>& table, int first_centre,
                                              int first_feature, int n_features, const T* tile,
                                              T* buffers, int lane,
                                              T (&norms)[kCentres<T>][kLaneRows]) {
  constexpr int kBuffer = kDistancePanel<T, kDifference>;
  const bool narrow = table.n_centres - first_centre <= kCentres<T> / 2;
  __syncwarp();  // the buffers are free
  fetch_centres<kDifference>(table, first_centre, first_feature, n_features, lane, buffers);
  int current = 0;
  for (int first = 0; first < n_features; first += kDistanceFeatures) {
    cp_async_wait<0>();
    __syncwarp();
    const int next = first + kDistanceFeatures;
    if (next < n_features) {
      fetch_centres<kDifference>(table, first_centre, first_feature + next, n_features - next, lane,
                                 buffers + (1 - current) * kBuffer);
    }
    const T* const panel = buffers + current * kBuffer;
    const T* const features = tile + first * kTilePitch<T>;
    const int n_used = min(n_features - first, kDistanceFeatures);
    if (narrow) {
      add_distance_panel<kDifference, kCentres<T> / 2>(features, panel, n_used, lane, norms);
    } else {
      add_distance_panel<kDifference, kCentres<T>>(features, panel, n_used, lane, norms);
    }
    current = 1 - current;
  }
}

}  // namespace culatent::device
