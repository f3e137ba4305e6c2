#pragma once

#include <cstdint>
#include <functional>

#include "culatent/matrix.hpp"

namespace culatent {

/// Rows that a fit reads again and again, in any order and from many threads: a matrix in memory,
/// a mapped file, a generator, a rank's slice. T is the type that the fit computes in.
template <class T>
class RowSource {
 public:
  virtual ~RowSource() = default;
  virtual std::int64_t rows() const = 0;
  virtual std::int64_t cols() const = 0;

  /// Rows [first, first + buffer.rows). Returns a view of the source's own memory where that
  /// holds T already, otherwise converts into `buffer` ([count, cols]) and returns it. The view
  /// lasts until the next read with the same buffer. Must be callable from several threads at
  /// once and must give the same values every time. Throws io_error.
  virtual MatrixView<const T> read(std::int64_t first, MatrixView<T> buffer) const = 0;

  /// False when read() fills the buffer: the plan then counts one buffer a thread.
  virtual bool in_place() const { return false; }

  /// Where the views of read() point to. Rows in device memory need a context on that device, are
  /// in place, and are read on its stream.
  virtual MemorySpace space() const { return MemorySpace::host; }
};

/// Rows of a matrix that outlives the source, in host or device memory.
template <class T>
class MatrixRows final : public RowSource<T> {
 public:
  explicit MatrixRows(MatrixView<const T> matrix) : matrix_(matrix) {}
  std::int64_t rows() const override { return matrix_.rows; }
  std::int64_t cols() const override { return matrix_.cols; }
  MatrixView<const T> read(std::int64_t first, MatrixView<T> buffer) const override {
    return matrix_.slice(first, buffer.rows);
  }
  bool in_place() const override { return true; }
  MemorySpace space() const override { return matrix_.space; }

 private:
  MatrixView<const T> matrix_;
};

/// Rows made on demand: `fill(first, buffer)` writes rows [first, first + buffer.rows).
template <class T>
class GeneratedRows final : public RowSource<T> {
 public:
  using Fill = std::function<void(std::int64_t first, MatrixView<T> buffer)>;
  GeneratedRows(std::int64_t rows, std::int64_t cols, Fill fill)
      : rows_(rows), cols_(cols), fill_(std::move(fill)) {}
  std::int64_t rows() const override { return rows_; }
  std::int64_t cols() const override { return cols_; }
  MatrixView<const T> read(std::int64_t first, MatrixView<T> buffer) const override {
    fill_(first, buffer);
    return buffer;
  }

 private:
  std::int64_t rows_;
  std::int64_t cols_;
  Fill fill_;
};

/// Rows [first, first + count) of another source that outlives this one.
template <class T>
class SlicedRows final : public RowSource<T> {
 public:
  SlicedRows(const RowSource<T>& source, std::int64_t first, std::int64_t count)
      : source_(source), first_(first), count_(count) {}
  std::int64_t rows() const override { return count_; }
  std::int64_t cols() const override { return source_.cols(); }
  MatrixView<const T> read(std::int64_t first, MatrixView<T> buffer) const override {
    return source_.read(first_ + first, buffer);
  }
  bool in_place() const override { return source_.in_place(); }
  MemorySpace space() const override { return source_.space(); }

 private:
  const RowSource<T>& source_;
  std::int64_t first_;
  std::int64_t count_;
};

}  // namespace culatent
