#pragma once

#include <cstdint>

#include "host/exact_sum_bins.hpp"
#include "kernels/backend.hpp"

/// ExactSums (host/exact_sums.hpp) in device memory: the same bins, so the same bits for any order
/// of the additions.
namespace culatent {

/// One sum; all zero bytes: nothing added yet.
using DeviceSum = ExactSumBins;

/// sums[i] += partials[b * stride + i] for the blocks 0 ≤ b < n_blocks and 0 ≤ i < size. T is float
/// or double. NaN and infinities do to a sum what they do to a plain one.
template <class T>
void add_partials(const CudaBackend& backend, const T* partials, std::int64_t n_blocks,
                  std::int64_t stride, std::int64_t size, DeviceSum* sums);

/// values[i] = sums[i] correctly rounded. All in device memory.
void round_sums(const CudaBackend& backend, const DeviceSum* sums, std::int64_t size,
                double* values);

}  // namespace culatent
