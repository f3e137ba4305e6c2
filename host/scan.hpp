#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "host/row_pass.hpp"
#include "kernels/scan.hpp"

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
  /// Rows of weight 0 count in the ranges: for methods that multiply what they compute of such rows
  /// by 0, where it must be finite. Otherwise these may lie anywhere.
  bool weightless = false;
  bool can_miss = true;  ///< the method knows missing values: advice names them
};

/// What a look at all rows means: their frame, or a data_error that names what is wrong.
/// `values_hash` goes into the fingerprint.
template <class T>
DataSummary summarise(const ColumnScan& columns, std::span<const double> weights,
                      std::int64_t n_rows, std::uint64_t values_hash, const ScanOptions& options);

/// A power of two that brings the largest weight near 1. Throws data_error for a bad weight.
double weight_scale(std::span<const double> weights, std::int64_t n_rows);

/// Reads all rows once. Throws data_error naming the first bad row and column, a bad weight, a
/// feature without values, or values whose squares leave float64.
template <class T>
DataSummary scan(const Context& context, const CpuBackend& backend, const RowSource<T>& rows,
                 std::span<const double> weights, const ScanOptions& options);

}  // namespace culatent
