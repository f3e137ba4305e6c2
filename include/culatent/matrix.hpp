#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

/// Views and owning storage of row-major matrices. Sizes are int64; every product of sizes is
/// checked.
namespace culatent {

enum class MemorySpace { host, device };

/// a * b, or out_of_memory when it does not fit int64 (or either is negative).
std::int64_t checked_product(std::int64_t a, std::int64_t b);

/// A matrix that someone else owns: element (i, j) is data[i * stride + j].
template <class T>
struct MatrixView {
  T* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;  ///< elements from one row to the next, at least cols
  MemorySpace space = MemorySpace::host;

  MatrixView() = default;
  MatrixView(T* data_, std::int64_t rows_, std::int64_t cols_)
      : MatrixView(data_, rows_, cols_, cols_) {}
  MatrixView(T* data_, std::int64_t rows_, std::int64_t cols_, std::int64_t stride_,
             MemorySpace space_ = MemorySpace::host)
      : data(data_), rows(rows_), cols(cols_), stride(stride_), space(space_) {}
  /// A view of mutable elements is a view of constant ones.
  template <class U>
  requires std::is_same_v<const U, T> MatrixView(const MatrixView<U>& other)
      : MatrixView(other.data, other.rows, other.cols, other.stride, other.space) {}

  T* row(std::int64_t i) const { return data + i * stride; }
  T& operator()(std::int64_t i, std::int64_t j) const { return data[i * stride + j]; }
  MatrixView slice(std::int64_t first, std::int64_t count) const {
    return {row(first), count, cols, stride, space};
  }
};

/// A dense host matrix, rows end to end, 64-byte aligned, zero at the start.
/// Throws out_of_memory, with the bytes asked for, when it cannot be had.
template <class T>
class Matrix {
 public:
  Matrix() = default;
  Matrix(std::int64_t rows, std::int64_t cols);
  Matrix(const Matrix& other);
  Matrix(Matrix&& other) noexcept;
  Matrix& operator=(Matrix other) noexcept;
  ~Matrix();

  std::int64_t rows() const { return rows_; }
  std::int64_t cols() const { return cols_; }
  std::int64_t size() const { return rows_ * cols_; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator()(std::int64_t i, std::int64_t j) { return data_[i * cols_ + j]; }
  const T& operator()(std::int64_t i, std::int64_t j) const { return data_[i * cols_ + j]; }
  MatrixView<T> view() { return {data_, rows_, cols_}; }
  MatrixView<const T> view() const { return {data_, rows_, cols_}; }

 private:
  T* data_ = nullptr;
  std::int64_t rows_ = 0;
  std::int64_t cols_ = 0;
};

}  // namespace culatent
