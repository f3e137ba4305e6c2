#pragma once

#include <cstdint>

#include "kernels/cuda/gaussian_mixture_diagonal_densities.cuh"

/// Responsibilities of a batch of rows in shared memory: the second step of
/// expectation_maximisation_diagonal().
namespace culatent::gaussian_mixture::diagonal {

// Responsibilities below exp of this are zero: they would be subnormal.
template <class T>
inline constexpr T kLeastLog = sizeof(T) == 4 ? T{-87} : T{-708};

inline constexpr int kCountsAt = 4;  // of the heads, by Layout

// Four sums of one thread, which lie in shared memory: registers are needed for better.
struct OwnSums {
  double* first;
  int pitch;  // from one to the next
  __device__ double& operator[](int i) const { return first[i * pitch]; }
};

// sum_j (y_j / unit)² of a row and component in double, y = (x' − μ) / σ; `largest` is raised to
// the largest |y_j|.
template <class T>
__device__ __forceinline__ double wide_norm(const FusedProblem<T>& p, const Vector<T>* x, int pitch,
                                            std::int64_t k, double unit, double& largest) {
  double norm = 0.0;
#pragma unroll 1
  for (std::int64_t j = 0; j < p.rows.n_features; ++j) {
    const std::int64_t at = k * p.rows.n_features + j;
    const T value = x[j / kVectorSize<T> * pitch].v[j % kVectorSize<T>];
    const double z = static_cast<double>(value) - static_cast<double>(p.parameters.shifts[at]);
    const double y = z * static_cast<double>(p.parameters.whitening[at]);
    largest = fmax(largest, fabs(y));
    norm += y / unit * (y / unit);
  }
  return norm;
}

// One row in double, its distances in units of the largest, so that no square overflows. Seldom
// called: for rows so far from all components that every density leaves T; so nothing is unrolled.
template <class T>
__device__ void rescue(const FusedProblem<T>& p, const Vector<T>* x, int pitch, T weight, T* q,
                       double& log_prob, double& entropy) {
  const std::int64_t n_components = p.parameters.n_components;
  const T* const constants = p.parameters.log_constants;
  double unit = 1.0;
#pragma unroll 1
  for (std::int64_t k = 0; k < n_components; ++k) {
    double largest = 0.0;
    wide_norm(p, x, pitch, k, 1.0, largest);
    unit = fmax(unit, largest);
  }
  // The component with the greatest density; differences of norms before they are scaled up.
  std::int64_t best = 0;
  double ignored = 0.0, best_norm = wide_norm(p, x, pitch, 0, unit, ignored);
  const auto lead = [&](std::int64_t k, double norm) {
    return static_cast<double>(constants[k]) - static_cast<double>(constants[best]) -
           0.5 * ((norm - best_norm) * unit) * unit;
  };
#pragma unroll 1
  for (std::int64_t k = 1; k < n_components; ++k) {
    const double norm = wide_norm(p, x, pitch, k, unit, ignored);
    if (!(lead(k, norm) > 0.0)) continue;
    best = k;
    best_norm = norm;
  }
  double total = 0.0, joint = 0.0;
#pragma unroll 1
  for (int pass = 0; pass < 2; ++pass) {
#pragma unroll 1
    for (std::int64_t k = 0; k < n_components; ++k) {
      const double offset = lead(k, wide_norm(p, x, pitch, k, unit, ignored));
      const double share = exp(offset);  // 0 for a component without weight
      if (pass == 1) {
        q[k] = static_cast<T>(static_cast<double>(weight) * (share / total));
      } else if (share > 0.0) {
        total += share;
        joint += share * offset;
      }
    }
  }
  log_prob = static_cast<double>(constants[best]) - 0.5 * (best_norm * unit) * unit + log(total);
  entropy = log(total) - joint / total;
}

// Turns the densities of one row into q.
template <class T>
__device__ __forceinline__ void responsibilities(const FusedProblem<T>& p, std::int64_t row,
                                                 int vectors, const Vector<T>* x, int pitch,
                                                 Vector<T>* q, OwnSums heads) {
  constexpr int kSize = kVectorSize<T>;
  T greatest = -kInfinity<T>;
  for (int v = 0; v < vectors; ++v) {
    const Vector<T> value = q[v];
#pragma unroll
    for (int i = 0; i < kSize; ++i) greatest = fmax(greatest, value.v[i]);
  }
  const T weight = p.rows.weights == nullptr ? T{1} : p.rows.weights[row];
  T total = 0, joint = 0;
  for (int v = 0; v < vectors; ++v) {
    Vector<T> value = q[v];
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      // False for NaN (inf − inf inside a density): such a density is nothing too.
      const T offset = value.v[i] - greatest;
      const bool counts = offset > kLeastLog<T>;
      const T share = counts ? exp(offset) : T{0};
      total += share;
      joint += share * (counts ? offset : T{0});
      value.v[i] = share;
    }
    q[v] = value;
  }
  double log_prob = 0.0, entropy = 0.0;
  if (isfinite(greatest)) {
    const T factor = weight / total;
    for (int v = 0; v < vectors; ++v) {
      Vector<T> value = q[v];
#pragma unroll
      for (int i = 0; i < kSize; ++i) value.v[i] *= factor;
      q[v] = value;
    }
    const auto log_total = static_cast<double>(log(total));
    log_prob = static_cast<double>(greatest) + log_total;
    entropy = log_total - static_cast<double>(joint / total);
  } else {
    rescue(p, x, pitch, weight, q->v, log_prob, entropy);
  }
  if (weight == T{0}) return;
  const auto w = static_cast<double>(weight);
  heads[Layout::kWeight] += w;
  heads[Layout::kLogLikelihood] += w * log_prob;
  heads[Layout::kJoint] += w * (log_prob - entropy);
  heads[Layout::kEntropy] += w * entropy;
}

// Sums of q over some rows of a batch in T, over batches in double.
template <class T>
__device__ __forceinline__ void add_counts(const Patch& patch, const FusedPlan<T>& plan, int batch,
                                           const Vector<T>* q, OwnSums counts) {
  constexpr int kSize = kVectorSize<T>;
  const int thread = static_cast<int>(threadIdx.x);
  const Vector<T>* from = q + thread % patch.components * (kOwn / kSize);
  T sum[kOwn] = {};
#pragma unroll 4
  for (int row = thread / patch.components; row < batch; row += plan.count_phases) {
#pragma unroll
    for (int k = 0; k < kOwn; ++k) sum[k] += from[row * plan.q_pitch + k / kSize].v[k % kSize];
  }
#pragma unroll
  for (int k = 0; k < kOwn; ++k) counts[k] += static_cast<double>(sum[k]);
}

}  // namespace culatent::gaussian_mixture::diagonal
