#include <algorithm>

#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/gaussian_mixture_diagonal_responsibilities.cuh"

namespace culatent::gaussian_mixture {
namespace {

using device::block_sum;
using device::div_up;
using device::kVectorSize;
using device::load_piece;
using device::Vector;
using diagonal::FusedPlan;
using diagonal::FusedProblem;
using diagonal::kCountsAt;
using diagonal::kOwn;
using diagonal::kThreads;
using diagonal::Moments;
using diagonal::OwnSums;
using diagonal::Patch;

// ---- E- and M-step of diagonal components in one pass -------------------------------------------
//
//   l_k = log_constant_k − 1/2 sum_j (x'_j / σ_kj − μ_kj / σ_kj)²
//   q_k = w exp(l_k − log sum_m exp(l_m))
//   sums[k, j] += q_k z_j,  squares[k, j] += q_k z_j²,  z = x' − shift_k
//
// A block of threads takes one block of rows, a batch of them at a time, through four steps with a
// barrier after each: stage x'; densities, kRows rows x 4 components a thread, with x', 1 / σ and
// μ / σ from shared memory; responsibilities, one row a thread; moments, 4 components x 16 bytes of
// features a thread, kept in registers over the whole block. Two blocks of threads on a
// multiprocessor fill each other's waits. Nothing of size N x K leaves the multiprocessor.
//
//   FFMA (or its like) per row, component and feature: 2 for the density, and 2 for the moments
//   about the frame's centre, which are moved to the shifts in double at the end, or 4 about the
//   means.
//   Beside them per row and component, float: D/16 x 3 and D/16 x 6 LDS.128 and FMUL, about 14 for
//   the exponential and its sums, 1.5 for the count: at D = 16 25 beside 64.
//   bytes N D, once

template <bool kAboutMeans, class T>
__device__ __forceinline__ void add_moments_of_batch(const FusedProblem<T>& p,
                                                     const FusedPlan<T>& plan, int left,
                                                     const Vector<T>* shared, Moments<T>& moments) {
  constexpr int kSize = kVectorSize<T>;
  const int thread = static_cast<int>(threadIdx.x);
  const int pieces = p.patch.pieces();
  const int phase = thread / pieces;
  if (phase >= p.patch.phases) return;
  const int group = thread % pieces / p.patch.features;
  const int feature = thread % p.patch.features;
  Vector<T> mean[kOwn] = {};
  if constexpr (kAboutMeans) {
#pragma unroll
    for (int k = 0; k < kOwn; ++k) {
      const std::int64_t component = group * kOwn + k;
      if (component >= p.parameters.n_components) continue;
      const std::int64_t d = p.rows.n_features;
      const auto piece = load_piece<kSize>(p.parameters.shifts + component * d, feature * kSize, d,
                                           p.whole_features);
#pragma unroll
      for (int i = 0; i < kSize; ++i) mean[k].v[i] = piece.v[i];
    }
  }
  const int end = min(left, p.batch);
#pragma unroll 2
  for (int row = phase; row < end; row += p.patch.phases) {
    const Vector<T>* const from = shared + plan.q + row * plan.q_pitch + group * (kOwn / kSize);
    T q[kOwn];
#pragma unroll
    for (int k = 0; k < kOwn; ++k) q[k] = from[k / kSize].v[k % kSize];
    const Vector<T> x = shared[feature * plan.x_pitch + row];
    if constexpr (kAboutMeans) {
      diagonal::add_row(q, x, mean, moments);
    } else {
      diagonal::add_row(q, x, moments);
    }
  }
}

// Writes a thread's piece of the record. Moments about the centre become moments about the shift,
// which is a mean of the E-step: S' = S − n μ, S2' = S2 − 2 μ S + n μ².
template <bool kAboutMeans, class T>
__device__ __forceinline__ void write_moments(const FusedProblem<T>& p, std::int64_t block,
                                              const double* counts, const Moments<T>& moments) {
  constexpr int kSize = kVectorSize<T>;
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t d = p.rows.n_features;
  const std::int64_t n_components = p.parameters.n_components;
  const std::int64_t first_component = thread / p.patch.features * kOwn;
  const std::int64_t first_feature = thread % p.patch.features * kSize;
  T* const record = p.partials.tails + block * 2 * n_components * d;
#pragma unroll
  for (int k = 0; k < kOwn; ++k) {
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      const std::int64_t component = first_component + k, feature = first_feature + i;
      if (component >= n_components || feature >= d) continue;
      const std::int64_t at = component * d + feature;
      T sum = moments.sum[k][i], square = moments.square[k][i];
      if constexpr (!kAboutMeans) {
        const auto mean = static_cast<double>(p.parameters.shifts[at]);
        const double n = counts[component];
        const auto about_centre = static_cast<double>(sum);
        sum = static_cast<T>(about_centre - mean * n);
        square =
            static_cast<T>(static_cast<double>(square) - mean * (2.0 * about_centre - mean * n));
      }
      record[at] = sum;
      record[n_components * d + at] = square;
    }
  }
}

template <bool kAboutMeans, class T>
__global__ void __launch_bounds__(kThreads, sizeof(T) == 4 ? 2 : 1)
    fused_kernel(const FusedProblem<T> p) {
  CULATENT_DYNAMIC_SHARED(shared, Vector<T>);
  CULATENT_SHARED(warps, double[kThreads / 32]);
  const FusedPlan<T>& plan = p.plan;
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t block = p.first_block + blockIdx.x;
  const std::int64_t first_row = block * kBlockRows;
  const auto block_rows = static_cast<int>(min(p.rows.n_rows - first_row, kBlockRows));
  const int vectors = p.patch.components * kOwn / kVectorSize<T>;
  Vector<T>* const q = shared + plan.q;

  stage_parameters(p, shared + plan.parameters);
  const OwnSums heads = {reinterpret_cast<double*>(shared + plan.heads) + thread, p.batch};
  const OwnSums counts = {reinterpret_cast<double*>(shared + plan.counts) + thread, plan.counters};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (thread < p.batch) heads[i] = 0.0;
    if (thread < plan.counters) counts[i] = 0.0;
  }
  Moments<T> moments{};
#pragma unroll 1
  for (int first = 0; first < block_rows; first += p.batch) {
    const int left = block_rows - first;
    stage_rows(p, first_row + first, left, plan.x_pitch, shared);
    __syncthreads();
    densities(p, plan, shared);
    __syncthreads();
    if (thread < p.batch) {
      Vector<T>* const own = q + thread * plan.q_pitch;
      if (thread < left) {
        responsibilities(p, first_row + first + thread, vectors, shared + thread, plan.x_pitch, own,
                         heads);
      } else {
        for (int v = 0; v < vectors; ++v) own[v] = {};
      }
    }
    __syncthreads();
    if (thread < plan.counters) add_counts(p.patch, plan, p.batch, q, counts);
    add_moments_of_batch<kAboutMeans>(p, plan, left, shared, moments);
    __syncthreads();
  }

  // The scratch of the moments may lie over the rows and parameters, but not over these sums.
  diagonal::combine(p.patch.pieces(), p.patch.phases, shared->v, moments);
  double* const out = p.partials.heads + block * (kCountsAt + p.parameters.n_components);
#pragma unroll
  for (int i = 0; i < kCountsAt; ++i) {
    const double sum = block_sum<kThreads>(thread < p.batch ? heads[i] : 0.0, warps);
    if (thread == 0) out[i] = sum;
  }
  double* const all_counts = reinterpret_cast<double*>(shared);
  for (int k = thread; k < p.parameters.n_components; k += kThreads) {
    const double* const from =
        reinterpret_cast<const double*>(shared + plan.counts) + k % kOwn * plan.counters + k / kOwn;
    double sum = 0.0;
    for (int phase = 0; phase < plan.count_phases; ++phase) {
      sum += from[phase * p.patch.components];
    }
    all_counts[k] = sum;
    out[kCountsAt + k] = sum;
  }
  __syncthreads();
  if (thread < p.patch.pieces()) write_moments<kAboutMeans>(p, block, all_counts, moments);
}

// How the fused step divides its work, and the bytes of shared memory that it needs; a batch of 0
// where it cannot be done. Two blocks on a multiprocessor where that leaves batches of some size.
template <class T>
struct FusedShape {
  FusedShape(const CudaBackend& backend, std::int64_t n_components, std::int64_t n_features) {
    const std::int64_t groups = div_up<std::int64_t>(n_components, kOwn);
    const std::int64_t features = div_up<std::int64_t>(n_features, kVectorSize<T>);
    if (groups > kThreads || features > kThreads || groups * features > kThreads) return;
    patch.components = static_cast<int>(groups);
    patch.features = static_cast<int>(features);
    patch.phases = kThreads / patch.pieces();
    const std::int64_t available = backend.device.shared_bytes() - kStaticBytes;
    for (const std::int64_t most : {available / 2, available}) {
      for (int rows = kThreads; rows >= diagonal::kRows * diagonal::kRowsApart; rows /= 2) {
        const int needed =
            std::max(FusedPlan<T>(patch, rows).end * 16, diagonal::kCombineBytes<Moments<T>>);
        if (needed > most) continue;
        batch = rows;
        bytes = needed;
        return;
      }
    }
  }

  Patch patch;
  int batch = 0;
  int bytes = 0;

 private:
  // Of the kernel itself, and what the system keeps of a multiprocessor's memory for a block.
  static constexpr std::int64_t kStaticBytes = 2048;
};

}  // namespace

template <class T>
bool fused_fits(const CudaBackend& backend, Covariance covariance, std::int64_t n_components,
                std::int64_t n_features) {
  if (covariance != Covariance::diagonal && covariance != Covariance::spherical) return false;
  return FusedShape<T>(backend, n_components, n_features).batch > 0;
}

template <class T>
void expectation_maximisation_diagonal(const CudaBackend& backend, const DeviceRows<T>& rows,
                                       const DeviceFrame<T>& frame,
                                       const DeviceParameters<T>& parameters, bool about_means,
                                       const DevicePartials<T>& partials) {
  constexpr int kSize = kVectorSize<T>;
  const std::int64_t d = rows.n_features;
  const FusedShape<T> shape(backend, parameters.n_components, d);
  const auto whole = [d](const T* data, std::int64_t stride) {
    return device::whole_pieces(data, stride, d, kSize);
  };
  FusedProblem<T> p{};
  p.rows = rows;
  p.frame = frame;
  p.parameters = parameters;
  p.partials = partials;
  p.patch = shape.patch;
  p.batch = shape.batch;
  p.plan = FusedPlan<T>(shape.patch, shape.batch);
  p.whole_rows = whole(rows.data, rows.stride);
  p.whole_features = whole(frame.scale, 0) && whole(frame.offset, 0) &&
                     whole(parameters.shifts, d) && whole(parameters.whitening, d) &&
                     whole(parameters.whitened_means, d);
  const auto kernel = about_means ? fused_kernel<true, T> : fused_kernel<false, T>;
  const std::int64_t n_blocks = div_up(rows.n_rows, kBlockRows);
  for (p.first_block = 0; p.first_block < n_blocks; p.first_block += INT32_MAX) {
    const std::int64_t count = std::min<std::int64_t>(INT32_MAX, n_blocks - p.first_block);
    device::launch(kernel, static_cast<unsigned>(count), kThreads,
                   static_cast<std::size_t>(shape.bytes), backend.device.stream(), p);
  }
}

#define CULATENT_INSTANTIATE(T)                                                                    \
  template bool fused_fits<T>(const CudaBackend&, Covariance, std::int64_t, std::int64_t);         \
  template void expectation_maximisation_diagonal(                                                 \
      const CudaBackend&, const DeviceRows<T>&, const DeviceFrame<T>&, const DeviceParameters<T>&, \
      bool, const DevicePartials<T>&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::gaussian_mixture
