#pragma once

#include <cstdint>
#include <string>

#include "culatent/dataset.hpp"
#include "culatent/matrix.hpp"

namespace culatent::io {

/// A matrix of elements as it lies in a file: element (i, j) begins at
/// data + i * row_stride + j * col_stride (bytes), aligned or not.
struct Elements {
  const unsigned char* data = nullptr;
  ElementType type = ElementType::f8;
  bool swapped = false;  ///< stored big-endian
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t row_stride = 0;
  std::int64_t col_stride = 0;
};

/// Rows end to end, in the byte order of the machine.
Elements row_major(const unsigned char* data, ElementType type, std::int64_t rows,
                   std::int64_t cols);

/// The rows and columns of two ranges. Throws io_error naming `name` when one is out of bounds.
Elements select(const Elements& elements, const Range& rows, const Range& columns,
                const std::string& name);

/// `range` within [0, count), its end filled in. Throws io_error; `what` is "rows" or "columns".
Range resolve(const Range& range, std::int64_t count, const char* what, const std::string& name);

/// True when the elements are T already, so that `view` may stand for rows without a copy.
template <class T>
bool is_in_place(const Elements& elements);

/// Rows [first, first + count) without a copy; only when is_in_place.
template <class T>
MatrixView<const T> in_place_view(const Elements& elements, std::int64_t first, std::int64_t count);

/// Rows [first, first + out.rows) times `scale`, as T: float, double or int64 (rounding to the
/// nearest for float and double, the caller's care for int64). One bytes-to-T loop a type.
template <class T>
void convert(const Elements& elements, double scale, std::int64_t first, MatrixView<T> out);

}  // namespace culatent::io
