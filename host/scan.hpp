#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "host/row_pass.hpp"
#include "kernels/backend.hpp"

namespace culatent {

/// What a fit knows of its rows before it begins.
struct DataSummary {
  Frame frame;                ///< about the means, scaled by the ranges
  double weight_scale = 1.0;  ///< FitRows::weight_scale
  double total_weight = 0.0;  ///< scaled
  std::int64_t n_missing = 0;
  std::uint64_t fingerprint =
      0;  ///< of shape and, when asked for, every value: the same data or not
};

struct ScanOptions {
  bool missing = false;
  bool fingerprint = false;  ///< hash the values
};

/// Reads all rows once. Throws data_error naming the first bad row and column, a bad weight, a
/// feature without values, or values whose squares leave float64.
template <class T>
DataSummary scan(const Context& context, const CpuBackend& backend, const RowSource<T>& rows,
                 std::span<const double> weights, const ScanOptions& options);

}  // namespace culatent
