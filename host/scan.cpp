#include "host/scan.hpp"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>

#include "culatent/error.hpp"
#include "kernels/scan.hpp"

namespace culatent {
namespace {

// Squares of what is wider than this, summed over rows and divided by a tiny variance, leave
// float64.
constexpr double kWidest = 1e140;

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.6g", value);
  return text;
}

// 1 / value, rounded to a power of two so that multiplying by it is exact, and no larger than T
// holds.
template <class T>
double reciprocal(double value) {
  return std::ldexp(1.0, std::min(-std::ilogb(value), std::numeric_limits<T>::max_exponent - 2));
}

// Rows that add up a hash of what is read, block by block: the same for any order of the blocks.
template <class T>
class FingerprintedRows final : public RowSource<T> {
 public:
  explicit FingerprintedRows(const RowSource<T>& source) : source_(source) {}
  std::int64_t rows() const override { return source_.rows(); }
  std::int64_t cols() const override { return source_.cols(); }
  bool in_place() const override { return source_.in_place(); }
  MemorySpace space() const override { return source_.space(); }
  MatrixView<const T> read(std::int64_t first, MatrixView<T> buffer) const override {
    const MatrixView<const T> view = source_.read(first, buffer);
    std::uint64_t hash = static_cast<std::uint64_t>(first);
    for (std::int64_t i = 0; i < view.rows; ++i) {
      hash =
          XXH3_64bits_withSeed(view.row(i), static_cast<std::size_t>(view.cols) * sizeof(T), hash);
    }
    hash_ += hash;
    return view;
  }
  std::uint64_t hash() const { return hash_; }

 private:
  const RowSource<T>& source_;
  mutable std::atomic<std::uint64_t> hash_{0};
};

// Largest weight; throws for one that is no weight.
double check_weights(std::span<const double> weights, std::int64_t n_rows) {
  if (weights.empty()) return 1.0;
  if (static_cast<std::int64_t>(weights.size()) != n_rows) {
    throw data_error(
        std::to_string(weights.size()) + " row weights for " + std::to_string(n_rows) + " rows",
        "weights", "give one weight a row");
  }
  double greatest = 0.0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (!(weights[i] >= 0.0) || !std::isfinite(weights[i])) {
      throw data_error("row weight is " + number(weights[i]), "row " + std::to_string(i),
                       "weights must be finite and not negative");
    }
    greatest = std::max(greatest, weights[i]);
  }
  if (greatest == 0.0) {
    throw data_error("all row weights are zero", "weights", "give some row a positive weight");
  }
  return greatest;
}

void check_values(const ColumnScan& columns, const ScanOptions& options) {
  if (columns.bad_row >= 0) {
    const bool nan = std::isnan(columns.bad_value);
    throw data_error(
        std::string(nan ? "NaN" : "infinite value") + " in the data",
        "row " + std::to_string(columns.bad_row) + ", column " + std::to_string(columns.bad_column),
        nan && options.can_miss && !options.missing
            ? "remove or fill it, or mark NaN as missing (missing / --missing)"
            : "remove or fill it");
  }
  for (std::size_t j = 0; j < columns.minimum.size(); ++j) {
    const std::string where = "column " + std::to_string(j);
    if (columns.minimum[j] > columns.maximum[j]) {
      throw data_error("no values in the data", where, "leave the column out");
    }
    const double width = columns.maximum[j] - columns.minimum[j];
    if (!(width < kWidest) || (width > 0.0 && width < 1.0 / kWidest)) {
      throw data_error("values from " + number(columns.minimum[j]) + " to " +
                           number(columns.maximum[j]) + ": their squares leave float64",
                       where, "rescale the data (--scale)");
    }
  }
}

}  // namespace

template <class T>
DataSummary summarise(const ColumnScan& columns, std::span<const double> weights,
                      std::int64_t n_rows, std::uint64_t values_hash, const ScanOptions& options) {
  check_values(columns, options);
  const std::int64_t d = static_cast<std::int64_t>(columns.minimum.size());
  DataSummary summary;
  summary.weight_scale = weight_scale(weights, n_rows);
  summary.n_missing = columns.n_missing;
  for (const double weight : weights) summary.total_weight += weight * summary.weight_scale;
  if (weights.empty()) summary.total_weight = static_cast<double>(n_rows);
  for (std::int64_t j = 0; j < d; ++j) {
    const auto i = static_cast<std::size_t>(j);
    const double observed = columns.sums.value(d + j);
    // A constant has no rounded mean, and its sum may leave float64. A column that only rows of
    // weight zero have has no mean; any of its values will do.
    const bool varies = columns.maximum[i] > columns.minimum[i] && observed > 0.0;
    const double mean = varies ? columns.sums.value(j) / observed : columns.minimum[i];
    const double centre = static_cast<double>(static_cast<T>(mean));
    const double reach = std::max(columns.maximum[i] - centre, centre - columns.minimum[i]);
    summary.frame.centre.push_back(centre);
    summary.frame.scale.push_back(reach > 0.0 ? reciprocal<T>(reach) : 0.0);
  }
  // A constant feature has no scale of its own; that of the narrowest keeps it from setting the
  // metric.
  std::vector<double>& scale = summary.frame.scale;
  const double narrowest = *std::max_element(scale.begin(), scale.end());
  for (double& s : scale) {
    if (s == 0.0) s = narrowest > 0.0 ? narrowest : 1.0;
  }
  const std::array<std::uint64_t, 4> parts = {
      static_cast<std::uint64_t>(n_rows), static_cast<std::uint64_t>(d), sizeof(T), values_hash};
  summary.fingerprint = XXH3_64bits(parts.data(), sizeof(parts));
  return summary;
}

double weight_scale(std::span<const double> weights, std::int64_t n_rows) {
  return reciprocal<double>(check_weights(weights, n_rows));
}

template <class T>
DataSummary scan(const Context& context, const CpuBackend& backend, const RowSource<T>& rows,
                 std::span<const double> weights, const ScanOptions& options) {
  const double scale = weight_scale(weights, rows.rows());
  ColumnScan columns(rows.cols());
  std::vector<Matrix<T>> buffers;
  for (int worker = 0; worker < backend.n_workers; ++worker) {
    buffers.emplace_back(rows.in_place() ? 0 : kBlockRows, rows.cols());
  }
  const FingerprintedRows<T> fingerprinted(rows);
  const RowSource<T>& source = options.fingerprint ? fingerprinted : rows;
  const FitRows<T> fit_rows{source, weights, scale};
  row_pass(context, Communicator(), fit_rows, columns.sums, [&](const RowChunk<T>& chunk) {
    scan_columns(backend, buffers, chunk, options.missing, columns, options.weightless);
  });
  return summarise<T>(columns, weights, rows.rows(), fingerprinted.hash(), options);
}

#define CULATENT_INSTANTIATE(T)                                                               \
  template DataSummary summarise<T>(const ColumnScan&, std::span<const double>, std::int64_t, \
                                    std::uint64_t, const ScanOptions&);                       \
  template DataSummary scan(const Context&, const CpuBackend&, const RowSource<T>&,           \
                            std::span<const double>, const ScanOptions&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent
