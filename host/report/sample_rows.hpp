#pragma once

#include <cstdint>
#include <vector>

#include "culatent/matrix.hpp"
#include "culatent/rows.hpp"

namespace culatent::report {

/// As many points as a chart shows well.
constexpr std::int64_t kMaxSampleRows = 5000;

/// Some rows of a source and where they came from, ascending.
struct RowSample {
  Matrix<double> rows;              ///< [m, D]
  std::vector<std::int64_t> index;  ///< [m], row of the source
};

/// All rows when there are at most `max_rows`; otherwise one from each of max_rows equal stretches,
/// at a place drawn by a fixed hash (a fixed stride would fall in step with periodic data).
/// Reads no more rows than it returns. Throws io_error from the source.
template <class T>
RowSample sample_rows(const RowSource<T>& source, std::int64_t max_rows = kMaxSampleRows);

}  // namespace culatent::report
