#include "culatent/matrix.hpp"

#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "culatent/error.hpp"

namespace culatent {

std::int64_t checked_product(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &product)) {
    throw out_of_memory("size overflows: " + std::to_string(a) + " x " + std::to_string(b), "",
                        "check the shape");
  }
  return product;
}

namespace {

constexpr std::int64_t kAlignment = 64;

template <class T>
T* allocate(std::int64_t rows, std::int64_t cols) {
  const std::int64_t bytes = checked_product(checked_product(rows, cols), sizeof(T));
  if (bytes == 0) return nullptr;
  if (bytes > INT64_MAX - kAlignment) checked_product(bytes, INT64_MAX);
  const std::int64_t padded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* data = std::aligned_alloc(kAlignment, static_cast<std::size_t>(padded));
  if (data == nullptr) {
    throw out_of_memory("cannot allocate " + std::to_string(bytes) + " bytes",
                        std::to_string(rows) + " x " + std::to_string(cols),
                        "use fewer rows or --memory-limit");
  }
  std::memset(data, 0, static_cast<std::size_t>(padded));
  return static_cast<T*>(data);
}

}  // namespace

template <class T>
Matrix<T>::Matrix(std::int64_t rows, std::int64_t cols)
    : data_(allocate<T>(rows, cols)), rows_(rows), cols_(cols) {}

template <class T>
Matrix<T>::Matrix(const Matrix& other) : Matrix(other.rows_, other.cols_) {
  if (size() > 0) std::memcpy(data_, other.data_, static_cast<std::size_t>(size()) * sizeof(T));
}

template <class T>
Matrix<T>::Matrix(Matrix&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      rows_(std::exchange(other.rows_, 0)),
      cols_(std::exchange(other.cols_, 0)) {}

template <class T>
Matrix<T>& Matrix<T>::operator=(Matrix other) noexcept {
  std::swap(data_, other.data_);
  std::swap(rows_, other.rows_);
  std::swap(cols_, other.cols_);
  return *this;
}

template <class T>
Matrix<T>::~Matrix() {
  std::free(data_);
}

template class Matrix<float>;
template class Matrix<double>;
template class Matrix<std::int32_t>;
template class Matrix<std::int64_t>;
template class Matrix<std::uint8_t>;

}  // namespace culatent
