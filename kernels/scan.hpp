#pragma once

#include <cstdint>
#include <vector>

#include "host/exact_sums.hpp"
#include "kernels/backend.hpp"

namespace culatent {

/// What one look at all rows tells: the ranges and means of the features, and whether the values
/// can be computed with.
struct ColumnScan {
  explicit ColumnScan(std::int64_t n_features);

  std::vector<double> minimum, maximum;  ///< of the finite values; +inf, −inf when there is none
  ExactSums sums;                        ///< [D] sum w x, then [D] sum w over observed values
  std::int64_t bad_row = -1;             ///< first row with a NaN or infinite value, −1: none
  std::int64_t bad_column = -1;
  double bad_value = 0.0;
  std::int64_t n_missing = 0;  ///< NaN where they are allowed
};

/// Adds the chunk to `scan`. With `missing` a NaN is not bad, an infinity is. `weightless`: rows of
/// weight 0 count in the ranges.
///   bytes: N D sizeof(T)
template <class T>
void scan_columns(const CpuBackend& backend, std::vector<Matrix<T>>& buffers,
                  const RowChunk<T>& chunk, bool missing, ColumnScan& scan, bool weightless = true);

}  // namespace culatent
