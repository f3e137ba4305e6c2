#pragma once

#include <cstdint>

#include "kernels/backend.hpp"
#include "kernels/cuda/exact_sums.hpp"

/// A look at rows in device memory. Pointers are to device memory, calls are ordered on the stream.
namespace culatent {

/// Per block of kBlockRows rows: range of the finite values, sums of weight * x and of weights over
/// finite values, and the first value that is not finite.
struct DeviceScan {
  double* minimum = nullptr;         // [n_blocks, D] +inf where none is finite
  double* maximum = nullptr;         // [n_blocks, D] −inf
  double* sums = nullptr;            // [n_blocks, 2 D] sum w x, then sum w
  std::int64_t* bad_cell = nullptr;  // [n_blocks] row * D + column within the block, −1: none
  /// [1] gains the number of NaN, which are missing values then; null: NaN is bad.
  std::int64_t* n_missing = nullptr;
};

/// `weights` null: all 1. `weightless`: rows of weight 0 count in the ranges.
template <class T>
void scan_columns(const CudaBackend& backend, const T* rows, std::int64_t n_rows,
                  std::int64_t n_features, std::int64_t stride, const T* weights,
                  const DeviceScan& out, bool weightless = true);

/// What the blocks of a scan tell together.
struct DeviceScanTotals {
  double* minimum = nullptr;         // [D]
  double* maximum = nullptr;         // [D]
  DeviceSum* sums = nullptr;         // [2 D]
  std::int64_t* bad_cell = nullptr;  // [1] the first, row * D + column, −1: none
};
/// Adds the records of the blocks that begin at row `first_row` to the totals.
void merge_scans(const CudaBackend& backend, const DeviceScan& records, std::int64_t n_blocks,
                 std::int64_t n_features, std::int64_t first_row, const DeviceScanTotals& totals);

/// out[i * n_features + j] = rows[index[i] * stride + j], 0 ≤ i < count.
template <class T>
void gather_rows(const CudaBackend& backend, const T* rows, std::int64_t stride,
                 std::int64_t n_features, const std::int64_t* index, std::int64_t count, T* out);

}  // namespace culatent
