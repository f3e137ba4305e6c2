#include "kernels/scan.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>

#include "kernels/cpu/tile.hpp"

namespace culatent {
namespace {

// One block's share of a ColumnScan.
template <class T>
struct BlockScan {
  explicit BlockScan(std::size_t d)
      : low(d, std::numeric_limits<T>::infinity()),
        high(d, -std::numeric_limits<T>::infinity()),
        sums(2 * d, 0.0) {}

  std::vector<T> low, high;
  std::vector<double> sums;
  std::int64_t bad_row = -1, bad_column = -1;
  double bad_value = 0.0;
  std::int64_t n_missing = 0;
};

template <class T>
bool all_finite(const T* row, std::size_t d) {
  bool finite = true;
  for (std::size_t j = 0; j < d; ++j) {
    finite &= std::abs(row[j]) <= std::numeric_limits<T>::max();
  }
  return finite;
}

template <class T>
void scan_row(const T* row, std::size_t d, double weight, std::int64_t index, bool missing,
              bool ranges, BlockScan<T>& s) {
  const bool finite = all_finite(row, d);
  for (std::size_t j = 0; j < d; ++j) {
    if (!finite && !std::isfinite(row[j])) {
      if (missing && std::isnan(row[j])) {
        ++s.n_missing;
      } else if (s.bad_row < 0) {
        s.bad_row = index;
        s.bad_column = static_cast<std::int64_t>(j);
        s.bad_value = static_cast<double>(row[j]);
      }
      continue;
    }
    if (ranges) {
      s.low[j] = std::min(s.low[j], row[j]);
      s.high[j] = std::max(s.high[j], row[j]);
    }
    s.sums[j] += weight * static_cast<double>(row[j]);
    s.sums[d + j] += weight;
  }
}

}  // namespace

ColumnScan::ColumnScan(std::int64_t n_features)
    : minimum(static_cast<std::size_t>(n_features), std::numeric_limits<double>::infinity()),
      maximum(static_cast<std::size_t>(n_features), -std::numeric_limits<double>::infinity()),
      sums(2 * n_features) {}

template <class T>
void scan_columns(const CpuBackend& backend, std::vector<Matrix<T>>& buffers,
                  const RowChunk<T>& chunk, bool missing, ColumnScan& scan, bool weightless) {
  const auto d = static_cast<std::size_t>(chunk.source.cols());
  std::mutex mutex;
  cpu::for_each_block(
      backend, chunk, [&](int worker) { return buffers[static_cast<std::size_t>(worker)].view(); },
      [&](MatrixView<const T> rows, std::int64_t first, int) {
        BlockScan<T> block(d);
        for (std::int64_t i = 0; i < rows.rows; ++i) {
          const double weight = chunk.weight(first + i);
          const bool ranges = weightless || weight != 0.0;
          scan_row(rows.row(i), d, weight, first + i, missing, ranges, block);
        }
        scan.sums.add(block.sums);
        const std::lock_guard lock(mutex);
        for (std::size_t j = 0; j < d; ++j) {
          scan.minimum[j] = std::min(scan.minimum[j], static_cast<double>(block.low[j]));
          scan.maximum[j] = std::max(scan.maximum[j], static_cast<double>(block.high[j]));
        }
        scan.n_missing += block.n_missing;
        if (block.bad_row >= 0 && (scan.bad_row < 0 || block.bad_row < scan.bad_row)) {
          scan.bad_row = block.bad_row;
          scan.bad_column = block.bad_column;
          scan.bad_value = block.bad_value;
        }
      });
}

template void scan_columns(const CpuBackend&, std::vector<Matrix<float>>&, const RowChunk<float>&,
                           bool, ColumnScan&, bool);
template void scan_columns(const CpuBackend&, std::vector<Matrix<double>>&, const RowChunk<double>&,
                           bool, ColumnScan&, bool);

}  // namespace culatent
