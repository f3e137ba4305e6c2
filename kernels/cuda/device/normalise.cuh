#pragma once

#include <limits>

#include "kernels/cuda/device/block_counts.cuh"
#include "kernels/cuda/mixture.hpp"

/// From log-densities to responsibilities, for any mixture:
///
///   p_k = exp(l_k − m) / s,  m = max_k l_k,  s = sum_k exp(l_k − m),  log p = m + log s
///   q_k = w p_k              entropy H = log s − sum_k p_k (l_k − m)
///
/// One block for kBlockRows rows, so for one record; a thread owns four rows, a warp reads 32 rows
/// of a component side by side. m, s and the sum in H come of one pass, eight components at a time:
/// where a chunk has a new maximum the sums so far are rescaled, at most once a chunk. The second
/// pass writes q and adds up the counts of the very values written, in double. Exponentials below
/// the smallest normal number are 0, as is that of a NaN (∞ − ∞ within a distance).
///
///   flops about 20 N K, of them 2 N K exponentials     bytes 8 N K read, 4 N K written, from L2
///
/// Both exponentials are expf / exp (1 ulp), so p has the rounding of l: about |l| u relative.
namespace culatent::device {

/// Responsibilities below exp of this are zero: they would be subnormal.
template <class T>
inline constexpr T kLeastLog = sizeof(T) == 4 ? T{-87} : T{-708};

template <class T>
inline constexpr T kInfinity = std::numeric_limits<T>::infinity();

/// Where a block's record begins with what; the counts [K] follow.
struct NormaliseHead {
  static constexpr int kWeight = 0;         // sum w
  static constexpr int kLogLikelihood = 1;  // sum w log p(x)
  static constexpr int kJoint = 2;          // sum w (log p(x) − H)
  static constexpr int kEntropy = 3;        // sum w H
  static constexpr int kSize = 4;
};

// The sums of one row so far. `joint` is never positive, so H is never negative.
template <class T>
struct RowSums {
  T greatest = -kInfinity<T>;
  T total = 0;
  T joint = 0;  // sum of exp(l − greatest) (l − greatest)
};

template <class T>
__device__ __forceinline__ T share_of(T offset) {
  return offset > kLeastLog<T> ? exp(offset) : T{0};
}

template <class T>
__device__ __forceinline__ void add_chunk(const T (&logs)[kCountChunk], RowSums<T>& sums) {
  T greatest = sums.greatest;
#pragma unroll
  for (int c = 0; c < kCountChunk; ++c) greatest = logs[c] > greatest ? logs[c] : greatest;
  if (greatest > sums.greatest) {
    const T change = sums.greatest - greatest;
    const T factor = share_of(change);
    sums.joint = factor > T{0} ? factor * (sums.joint + change * sums.total) : T{0};
    sums.total *= factor;
    sums.greatest = greatest;
  }
#pragma unroll
  for (int c = 0; c < kCountChunk; ++c) {
    const T offset = logs[c] - greatest;
    const T share = share_of(offset);
    sums.total += share;
    if (share > T{0}) sums.joint += share * offset;
  }
}

// The row's values of components k to k + 7; −∞ beyond the last.
template <class T>
__device__ __forceinline__ void load_chunk(const T* cells, std::int64_t stride, int k,
                                           int n_components, bool inside, T (&logs)[kCountChunk]) {
#pragma unroll
  for (int c = 0; c < kCountChunk; ++c) {
    const bool valid = inside && k + c < n_components;
    logs[c] = valid ? *cells : -kInfinity<T>;
    cells += stride;
  }
}

template <class T>
__device__ __forceinline__ RowSums<T> sum_row(const DeviceResponsibilities<T>& resp,
                                              std::int64_t row, int n_components, bool inside) {
  RowSums<T> sums;
  for (int k = 0; k < n_components; k += kCountChunk) {
    T logs[kCountChunk];
    load_chunk(resp.data + k * resp.stride + row, resp.stride, k, n_components, inside, logs);
    add_chunk(logs, sums);
  }
  return sums;
}

/// Normalises the rows of a block of kRecordThreads threads. `weights` null: all 1; `log_prob`
/// null: not wanted; `heads` has a record a block. replace_far(row, far, greatest) is called by
/// whole warps in which some lane's row is `far`, because no density of it is finite: it may change
/// the row's log-densities by a constant, and returns it plus their greatest (`greatest`
/// elsewhere).
template <class T, class ReplaceFar>
__device__ __forceinline__ void normalise_block(const DeviceResponsibilities<T>& resp,
                                                const T* weights, std::int64_t n_rows,
                                                std::int64_t components, double* log_prob,
                                                double* heads, ReplaceFar&& replace_far) {
  CULATENT_SHARED(scratch, double[kRecordWarps]);
  const int n_components = static_cast<int>(components);
  const std::int64_t first_row = static_cast<std::int64_t>(blockIdx.x) * kBlockRows;
  double* const record = heads + blockIdx.x * (NormaliseHead::kSize + components);
  CULATENT_SHARED(greatest, T[kBlockRows]);  // each of these one thread's own
  CULATENT_SHARED(factor, T[kBlockRows]);
  double head[NormaliseHead::kSize] = {};

#pragma unroll 1
  for (int r = 0; r < kRecordRows; ++r) {
    const std::int64_t row = first_row + record_row(r);
    const bool inside = row < n_rows;
    RowSums<T> sums = sum_row(resp, row, n_components, inside);
    double log_greatest = static_cast<double>(sums.greatest);
    const bool far = inside && !isfinite(sums.greatest);
    if (__any_sync(kAllLanes, far)) {
      log_greatest = replace_far(row, far, log_greatest);
      sums = sum_row(resp, row, n_components, inside);
    }
    const T weight = inside ? (weights == nullptr ? T{1} : weights[row]) : T{0};
    greatest[record_row(r)] = sums.greatest;
    factor[record_row(r)] = inside ? weight / sums.total : T{0};
    if (!inside) continue;
    const double total = static_cast<double>(sums.total);
    const double log_density = log_greatest + log(total);
    if (log_prob != nullptr) log_prob[row] = log_density;
    if (weight == T{0}) continue;  // and its density may be 0
    const double w = static_cast<double>(weight);
    const double entropy = log(total) - static_cast<double>(sums.joint) / total;
    head[NormaliseHead::kWeight] += w;
    head[NormaliseHead::kLogLikelihood] += w * log_density;
    head[NormaliseHead::kJoint] += w * (log_density - entropy);
    head[NormaliseHead::kEntropy] += w * entropy;
  }

  block_counts(n_components, record + NormaliseHead::kSize,
               [&](int k, double(&values)[kCountChunk]) {
#pragma unroll
                 for (int c = 0; c < kCountChunk; ++c) values[c] = 0.0;
#pragma unroll 1
                 for (int r = 0; r < kRecordRows; ++r) {
                   const int row = record_row(r);
                   const bool inside = first_row + row < n_rows;
                   T* const cells = resp.data + k * resp.stride + first_row + row;
                   T logs[kCountChunk];
                   load_chunk(cells, resp.stride, k, n_components, inside, logs);
#pragma unroll
                   for (int c = 0; c < kCountChunk; ++c) {
                     if (k + c >= n_components) continue;
                     const T q = inside ? factor[row] * share_of(logs[c] - greatest[row]) : T{0};
                     cells[c * resp.stride] = q;
                     values[c] += static_cast<double>(q);
                   }
                 }
               });
#pragma unroll
  for (int i = 0; i < NormaliseHead::kSize; ++i) {
    const double sum = block_sum<kRecordThreads>(head[i], scratch);
    if (threadIdx.x == 0) record[i] = sum;
  }
}

}  // namespace culatent::device
