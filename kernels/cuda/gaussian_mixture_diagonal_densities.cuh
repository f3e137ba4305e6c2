#pragma once

#include <limits>

#include "kernels/cuda/gaussian_mixture.hpp"
#include "kernels/cuda/gaussian_mixture_diagonal_tile.cuh"

/// The densities of diagonal components for a batch of rows in shared memory: the first half of
/// expectation_maximisation_diagonal().
namespace culatent::gaussian_mixture::diagonal {

using device::load_piece;

template <class T>
inline constexpr T kInfinity = std::numeric_limits<T>::infinity();

/// Rows of a thread in the densities, so far apart: what registers hold beside the moments.
inline constexpr int kRows = 4;
inline constexpr int kRowsApart = 8;

/// Where a block keeps what, in vectors of shared memory.
///
/// x' [features][batch + 1], at 0; the parameters [features][groups][9]: 1 / σ and μ / σ of 4
/// components, and one between; q [batch][odd]. So neighbouring threads find theirs in different
/// banks, and what one thread reads lies at fixed distances.
template <class T>
struct FusedPlan {
  FusedPlan() = default;
  FusedPlan(const Patch& patch, int batch)
      : x_pitch(batch + 1), q_pitch((patch.components * kOwn / kVectorSize<T>) | 1) {
    count_phases = kThreads / 2 / patch.components;
    if (count_phases < 1) count_phases = 1;
    parameters = patch.features * x_pitch;
    q = parameters + patch.pieces() * kGroupPitch;
    heads = q + batch * q_pitch;
    // What combine() scribbles on ends before the sums.
    constexpr int kScratch = kCombineBytes<Moments<T>> / 16;
    if (heads < kScratch) heads = kScratch;
    counts = heads + batch * 2;
    counters = patch.components * count_phases;
    tiles = patch.components * (batch / kRows);
    end = counts + counters * 2;
  }
  static constexpr int kGroupPitch = 2 * kOwn + 1;
  int x_pitch = 0, q_pitch = 0;
  int count_phases = 0;  // threads that count one group of components
  int counters = 0;      // threads that count
  int tiles = 0;         // of kRows by kOwn densities
  int parameters = 0, q = 0, heads = 0, counts = 0, end = 0;
};

/// What a launch works on.
template <class T>
struct FusedProblem {
  DeviceRows<T> rows;
  DeviceFrame<T> frame;
  DeviceParameters<T> parameters;
  DevicePartials<T> partials;
  std::int64_t first_block;
  Patch patch;          // all components and features
  int batch;            // rows
  FusedPlan<T> plan{};  // made by the host: registers are needed for better
  bool whole_rows, whole_features;
};

template <class T>
__device__ __forceinline__ void stage_parameters(const FusedProblem<T>& p, Vector<T>* to) {
  constexpr int kSize = kVectorSize<T>;
  const std::int64_t d = p.rows.n_features;
  for (int at = static_cast<int>(threadIdx.x); at < p.patch.pieces() * 2 * kOwn; at += kThreads) {
    const int feature = at % p.patch.features;
    const int group = at / p.patch.features / (2 * kOwn);
    const int which = at / p.patch.features % (2 * kOwn);
    const std::int64_t k = group * kOwn + which % kOwn;
    const T* const from = which < kOwn ? p.parameters.whitening : p.parameters.whitened_means;
    Vector<T> value{};
    if (k < p.parameters.n_components) {
      const auto piece = load_piece<kSize>(from + k * d, feature * kSize, d, p.whole_features);
#pragma unroll
      for (int i = 0; i < kSize; ++i) value.v[i] = piece.v[i];
    }
    to[(feature * p.patch.components + group) * FusedPlan<T>::kGroupPitch + which] = value;
  }
}

// x' of the batch's rows, zero beyond the last row and feature.
template <class T>
__device__ __forceinline__ void stage_rows(const FusedProblem<T>& p, std::int64_t first, int left,
                                           int pitch, Vector<T>* x) {
  constexpr int kSize = kVectorSize<T>;
  const std::int64_t d = p.rows.n_features;
  const int features = p.patch.features;
  int row = static_cast<int>(threadIdx.x) / features;
  int feature = static_cast<int>(threadIdx.x) % features;
  while (row < p.batch) {
    Vector<T> value{};
    if (row < left) {
      const T* const from = p.rows.data + (first + row) * p.rows.stride;
      const int j = feature * kSize;
      const auto piece = load_piece<kSize>(from, j, d, p.whole_rows);
      const auto scale = load_piece<kSize>(p.frame.scale, j, d, p.whole_features);
      const auto offset = load_piece<kSize>(p.frame.offset, j, d, p.whole_features);
#pragma unroll
      for (int i = 0; i < kSize; ++i) value.v[i] = fma(piece.v[i], scale.v[i], offset.v[i]);
    }
    x[feature * pitch + row] = value;
    row += kThreads / features;
    feature += kThreads % features;
    if (feature >= features) {
      feature -= features;
      ++row;
    }
  }
}

// l_k for kRows rows, kRowsApart apart, and 4 components at a time; −inf for components that there
// are not.
template <class T>
__device__ __forceinline__ void densities(const FusedProblem<T>& p, const FusedPlan<T>& plan,
                                          Vector<T>* shared) {
  constexpr int kSize = kVectorSize<T>;
  const int groups = p.patch.components;
  for (int at = static_cast<int>(threadIdx.x); at < plan.tiles; at += kThreads) {
    const int group = at % groups;
    const int place = at / groups;
    const int first = place / kRowsApart * (kRowsApart * kRows) + place % kRowsApart;
    const Vector<T>* x = shared + first;
    const Vector<T>* ab = shared + plan.parameters + group * plan.kGroupPitch;
    T norm[kRows][kOwn] = {};
#pragma unroll 1
    for (int feature = 0; feature < p.patch.features; ++feature) {
      Vector<T> rows[kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) rows[r] = x[r * kRowsApart];
#pragma unroll
      for (int k = 0; k < kOwn; ++k) {
        const Vector<T> a = ab[k], b = ab[kOwn + k];
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
#pragma unroll
          for (int i = 0; i < kSize; ++i) {
            const T y = fma(rows[r].v[i], a.v[i], -b.v[i]);
            norm[r][k] += y * y;
          }
        }
      }
      x += plan.x_pitch;
      ab += groups * plan.kGroupPitch;
    }
    T constants[kOwn];
#pragma unroll
    for (int k = 0; k < kOwn; ++k) {
      const std::int64_t component = group * kOwn + k;
      constants[k] = component < p.parameters.n_components ? p.parameters.log_constants[component]
                                                           : -kInfinity<T>;
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      Vector<T>* const out =
          shared + plan.q + (first + r * kRowsApart) * plan.q_pitch + group * (kOwn / kSize);
#pragma unroll
      for (int v = 0; v < kOwn / kSize; ++v) {
        Vector<T> value;
#pragma unroll
        for (int i = 0; i < kSize; ++i) {
          value.v[i] = constants[v * kSize + i] - T{0.5} * norm[r][v * kSize + i];
        }
        out[v] = value;
      }
    }
  }
}

}  // namespace culatent::gaussian_mixture::diagonal
