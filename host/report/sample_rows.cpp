#include "host/report/sample_rows.hpp"

#include <algorithm>

namespace culatent::report {
namespace {

// The finaliser of SplitMix64 (Steele, Lea & Flood 2014): any fixed hash of the stretch will do.
std::uint64_t hash(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31U);
}

std::vector<std::int64_t> spread_indices(std::int64_t n, std::int64_t count) {
  std::vector<std::int64_t> index(static_cast<std::size_t>(count));
  const std::int64_t whole = count > 0 ? n / count : 0;
  const std::int64_t rest = count > 0 ? n % count : 0;
  for (std::int64_t i = 0; i < count; ++i) {
    // Stretches of whole or whole + 1 rows; i * n may not fit int64, this does.
    const std::int64_t first = i * whole + std::min(i, rest);
    const std::int64_t length = whole + (i < rest ? 1 : 0);
    const std::uint64_t draw = hash(static_cast<std::uint64_t>(i));
    index[static_cast<std::size_t>(i)] =
        first + static_cast<std::int64_t>(draw % static_cast<std::uint64_t>(length));
  }
  return index;
}

}  // namespace

template <class T>
RowSample sample_rows(const RowSource<T>& source, std::int64_t max_rows) {
  const std::int64_t count = std::clamp<std::int64_t>(max_rows, 0, source.rows());
  RowSample sample{Matrix<double>(count, source.cols()), spread_indices(source.rows(), count)};
  Matrix<T> buffer(1, source.cols());
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t from = sample.index[static_cast<std::size_t>(i)];
    const MatrixView<const T> row = source.read(from, buffer.view());
    std::copy_n(row.row(0), source.cols(), sample.rows.view().row(i));
  }
  return sample;
}

template RowSample sample_rows(const RowSource<float>&, std::int64_t);
template RowSample sample_rows(const RowSource<double>&, std::int64_t);

}  // namespace culatent::report
