#pragma once

#include <type_traits>

#include "kernels/cuda/device/async.cuh"
#include "kernels/cuda/device/row_tile.cuh"

/// y = W (x' − centre) for a tile of rows, W lower triangular: a lane owns kLaneRows rows by
/// kOutputs elements of y, a warp all rows of the tile, so that the lanes of a warp skip the
/// triangle together.
///
///   per feature   kLaneRows kOutputs FMA a lane; shared memory, in wavefronts of a warp:
///     float,  16 outputs: 64 FMA for 4 of x' and 4 of W   (8 outputs: 32 for 4 and 2)
///     double,  8 outputs: 32 FMA for 8 of x' and 4 of W
///   so that at one wavefront a cycle the four schedulers of a multiprocessor are served in 1/2
///   (3/4, and 3/4) of the cycles that their FMA take.
/// The product takes R (R + 1) / 2 FMA a row, R = D rounded up to kOutputs: the tile has to be
/// staged up to feature R.
namespace culatent::device {

/// Features of W in one panel.
inline constexpr int kPanelFeatures = 32;

/// Elements of one warp's panel of W: [kPanelFeatures][kOutputs].
template <int kOutputs>
inline constexpr int kWhiteningPanel = kPanelFeatures* kOutputs;

/// Starts copying W(output, feature) for kOutputs outputs and, from `first` on, a panel of the
/// features up to the last of them; zero beyond D. `whitening` [D, D] is stored by feature. The
/// warp's own: cp_async_commit(), cp_async_wait() and __syncwarp() follow.
template <class T, int kOutputs>
__device__ __forceinline__ void fetch_whitening(const T* whitening, int d, int first,
                                                int first_output, bool packed, int lane, T* panel) {
  constexpr int kBytes = static_cast<int>(sizeof(T));
  const int n_features = min(first_output + kOutputs - first, kPanelFeatures);
  // A lane's elements lie below one another in W: kOutputs divides what a warp copies at a time.
  const auto copy = [&]<int kCopied>(std::integral_constant<int, kCopied>) {
    constexpr int kStep = 32 * kCopied / kOutputs;
    const int output = first_output + lane * kCopied % kOutputs;
    const int begin = lane * kCopied / kOutputs;
    const int end = output < d ? min(n_features, d - first) : 0;
    const T* from = whitening + (first + begin) * static_cast<std::int64_t>(d) + output;
#pragma unroll
    for (int i = 0; i < kPanelFeatures / kStep; ++i) {
      const int j = begin + i * kStep;
      if (j >= n_features) continue;
      cp_async<kCopied * kBytes>(panel + lane * kCopied + i * 32 * kCopied, from,
                                 j < end ? kCopied * kBytes : 0);
      from += kStep * static_cast<std::int64_t>(d);
    }
  };
  if (packed) {
    copy(std::integral_constant<int, Pack<T>::kSize>{});
  } else {
    copy(std::integral_constant<int, 1>{});
  }
}

/// Starts copying elements [first, first + kCount) of `values` [D], zero beyond D, likewise.
template <class T, int kCount>
__device__ __forceinline__ void fetch_line(const T* values, int d, int first, int lane, T* line) {
  static_assert(kCount <= 32);
  constexpr int kBytes = static_cast<int>(sizeof(T));
  if (lane >= kCount) return;
  const bool inside = first + lane < d;
  cp_async<kBytes>(line + lane, values + (inside ? first + lane : 0), inside ? kBytes : 0);
}

/// Whether fetch_whitening() may copy 16 bytes at a time.
template <class T>
__device__ __forceinline__ bool packed_whitening(const T* whitening, int d) {
  return d % Pack<T>::kSize == 0 && reinterpret_cast<std::uintptr_t>(whitening) % 16 == 0;
}

// y[o][r] += W_o (x'_r − centre) of one feature, for outputs o ≥ first, a constant after unrolling.
// kCentred: there is a centre, which costs a load and kLaneRows subtractions.
template <bool kCentred, class T, int kOutputs>
__device__ __forceinline__ void add_feature(const T* feature, const T* weights, const T* centre,
                                            int first, int lane, T (&y)[kOutputs][kLaneRows]) {
  constexpr int kSize = Pack<T>::kSize;
  T x[kLaneRows];
  load_rows(feature, lane, x);
  if constexpr (kCentred) {
    const T c = *centre;
#pragma unroll
    for (int r = 0; r < kLaneRows; ++r) x[r] -= c;
  }
#pragma unroll
  for (int o = 0; o < kOutputs; o += kSize) {
    if (o + kSize <= first) continue;
    const Pack<T> w = load_pack(weights + o);
#pragma unroll
    for (int v = 0; v < kSize; ++v) {
      if (o + v < first) continue;
#pragma unroll
      for (int r = 0; r < kLaneRows; ++r) y[o + v][r] += w.values[v] * x[r];
    }
  }
}

/// y += W (x' − centre) over `n_features` features that every output of the group uses; tile, panel
/// and centres [kPanelFeatures] begin at the same one. A multiple of kOutputs.
template <bool kCentred, class T, int kOutputs>
__device__ __forceinline__ void add_square(const T* tile, const T* panel, const T* centres,
                                           int n_features, int lane, T (&y)[kOutputs][kLaneRows]) {
  constexpr int kUnrolled = sizeof(T) == 4 ? 4 : 2;
#pragma unroll 1
  for (int first = 0; first < n_features; first += kUnrolled) {
#pragma unroll
    for (int j = first; j < first + kUnrolled; ++j) {
      add_feature<kCentred>(tile + j * kTilePitch<T>, panel + j * kOutputs, centres + j, 0, lane,
                            y);
    }
  }
}

/// y += W (x' − centre) over the diagonal block: kOutputs features, of which number m meets outputs
/// m and beyond.
template <bool kCentred, class T, int kOutputs>
__device__ __forceinline__ void add_triangle(const T* tile, const T* panel, const T* centres,
                                             int lane, T (&y)[kOutputs][kLaneRows]) {
#pragma unroll
  for (int m = 0; m < kOutputs; ++m) {
    add_feature<kCentred>(tile + m * kTilePitch<T>, panel + m * kOutputs, centres + m, m, lane, y);
  }
}

}  // namespace culatent::device
