#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "culatent/matrix.hpp"
#include "kernels/cuda/cuda_device.hpp"

/// Rows of which every sum is known as an integer, however many there are: a pattern that repeats,
/// and a few marked rows far from it, the last ones among them.
namespace culatent {

class PatternRows {
 public:
  static constexpr std::int64_t kPeriod = 1500;  // no multiple of a block of rows
  static constexpr std::int64_t kSpread = 5;     // no row is farther from its centre
  static constexpr std::int64_t kMarked = -512;  // the centre of the marked rows

  /// Rows of the pattern lie near −64, 64, 192, … in turns, `n_groups` of these.
  PatternRows(std::int64_t n_rows, std::int64_t n_features, std::int64_t n_groups)
      : n(n_rows), d(n_features), n_groups_(n_groups), pattern_(at(kPeriod * d)) {
    std::mt19937_64 engine(7);
    for (std::int64_t& value : pattern_) value = static_cast<std::int64_t>(engine() % 7) - 3;
    for (std::int64_t i = 0; i < kPeriod; ++i) {
      for (std::int64_t j = 0; j < d; ++j) pattern_[at(i * d + j)] += centre(i % n_groups);
    }
    marked_ = {n / 4, n / 2, n - n / 4, n - 3, n - 2, n - 1};
  }

  /// What group g lies around in every feature; the marked rows are the last group.
  std::int64_t centre(std::int64_t g) const { return g == n_groups_ ? kMarked : 128 * g - 64; }
  bool is_marked(std::int64_t row) const {
    return std::binary_search(marked_.begin(), marked_.end(), row);
  }
  std::int64_t group(std::int64_t row) const {
    return is_marked(row) ? n_groups_ : pattern_group(row);
  }
  std::int64_t pattern_group(std::int64_t row) const { return row % kPeriod % n_groups_; }
  std::int64_t pattern(std::int64_t row, std::int64_t j) const {
    return pattern_[at(row % kPeriod * d + j)];
  }
  std::int64_t value(std::int64_t row, std::int64_t j) const {
    const auto mark = std::lower_bound(marked_.begin(), marked_.end(), row);
    if (mark == marked_.end() || *mark != row) return pattern(row, j);
    return kMarked - kSpread + (7 * (mark - marked_.begin()) + 3 * j) % (2 * kSpread + 1);
  }
  const std::vector<std::int64_t>& marked() const { return marked_; }

  /// Calls add(row, times) so that all rows are met: those of the pattern together.
  template <class Add>
  void for_each(Add&& add) const {
    for (std::int64_t i = 0; i < std::min(n, kPeriod); ++i) {
      std::int64_t times = (n - i + kPeriod - 1) / kPeriod;
      for (const std::int64_t row : marked_) times -= row % kPeriod == i ? 1 : 0;
      std::int64_t row = i;  // one that is not marked
      while (times > 0 && group(row) == n_groups_) row += kPeriod;
      if (times > 0) add(row, times);
    }
    for (const std::int64_t row : marked_) add(row, std::int64_t{1});
  }

  template <class T>
  DeviceArray<T> on_device(CudaDevice& device) const {
    DeviceArray<T> rows(device, checked_product(n, d), "rows");
    const std::int64_t row_bytes = d * static_cast<std::int64_t>(sizeof(T));
    std::int64_t done = std::min(n, kPeriod);
    const std::vector<T> pattern(pattern_.begin(), pattern_.end());
    rows.upload(pattern.data(), done * d);
    for (std::int64_t count = 0; done < n; done += count) {
      count = std::min(done, n - done);
      device.copy(rows.data() + done * d, rows.data(), count * row_bytes);
    }
    for (const std::int64_t row : marked_) {
      Matrix<T> values(1, d);
      fill(row, values.view());
      device.to_device(rows.data() + row * d, values.data(), row_bytes);
    }
    device.synchronize();
    return rows;
  }
  /// Rows [first, first + target.rows).
  template <class T>
  void fill(std::int64_t first, MatrixView<T> target) const {
    for (std::int64_t i = 0; i < target.rows; ++i) {
      const bool marked = is_marked(first + i);
      for (std::int64_t j = 0; j < d; ++j) {
        target(i, j) = static_cast<T>(marked ? value(first + i, j) : pattern(first + i, j));
      }
    }
  }

  std::int64_t n, d;

 private:
  static std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

  std::int64_t n_groups_;
  std::vector<std::int64_t> pattern_;  // [kPeriod, d]
  std::vector<std::int64_t> marked_;   // ascending
};

}  // namespace culatent
