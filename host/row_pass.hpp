#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "culatent/context.hpp"
#include "host/communicator.hpp"
#include "host/exact_sums.hpp"
#include "kernels/backend.hpp"

namespace culatent {

/// Chunks hold whole blocks; this many rows unless the caller says otherwise.
inline constexpr std::int64_t kDefaultChunkRows = 1024 * kBlockRows;

inline std::int64_t chunk_rows(const Context& context) {
  const std::int64_t wanted = context.options().chunk_rows;
  if (wanted == 0) return kDefaultChunkRows;
  return std::max(std::min(wanted, INT64_MAX / 2) / kBlockRows, std::int64_t{1}) * kBlockRows;
}

/// The rows of a fit with what belongs to them.
template <class T>
struct FitRows {
  const RowSource<T>& source;
  std::span<const double> weights;
  double weight_scale = 1.0;
};

/// Calls visit(chunk) for all rows, in order.
template <class T, class Visit>
void for_each_chunk(const Context& context, const FitRows<T>& rows, Visit&& visit) {
  const std::int64_t step = chunk_rows(context);
  for (std::int64_t first = 0; first < rows.source.rows(); first += step) {
    const std::int64_t count = std::min(step, rows.source.rows() - first);
    visit(RowChunk<T>{rows.source, first, count, rows.weights, rows.weight_scale});
  }
}

/// The pass that every row model is fitted by: sums = total over chunks and processes of
/// pass(chunk).
template <class T, class Pass>
void row_pass(const Context& context, const Communicator& communicator, const FitRows<T>& rows,
              ExactSums& sums, Pass&& pass) {
  sums.clear();
  for_each_chunk(context, rows, pass);
  communicator.sum(sums);
}

}  // namespace culatent
