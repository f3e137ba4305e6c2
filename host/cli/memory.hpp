#pragma once

#include <atomic>
#include <cstdint>

#include "culatent/rows.hpp"

namespace culatent::cli {

/// Anonymous memory that this process has in RAM now: heap and stacks, no mapped files. 0 where the
/// system does not tell.
std::int64_t anonymous_bytes();

/// The largest anonymous_bytes() that was seen.
class PeakMemory {
 public:
  /// Looks, but no more often than every 20 ms.
  void look();
  std::int64_t bytes();

 private:
  std::int64_t peak_ = 0;
  double last_look_ = -1.0;
};

/// Another source's rows, counting the bytes of the file that are asked for.
template <class T>
class CountedRows final : public RowSource<T> {
 public:
  CountedRows(const RowSource<T>& source, std::int64_t row_bytes)
      : source_(source), row_bytes_(row_bytes) {}
  std::int64_t rows() const override { return source_.rows(); }
  std::int64_t cols() const override { return source_.cols(); }
  MatrixView<const T> read(std::int64_t first, MatrixView<T> buffer) const override {
    bytes_.fetch_add(buffer.rows * row_bytes_, std::memory_order_relaxed);
    return source_.read(first, buffer);
  }
  bool in_place() const override { return source_.in_place(); }
  MemorySpace space() const override { return source_.space(); }
  std::int64_t bytes() const { return bytes_; }

 private:
  const RowSource<T>& source_;
  std::int64_t row_bytes_;
  mutable std::atomic<std::int64_t> bytes_{0};
};

}  // namespace culatent::cli
