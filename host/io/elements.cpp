#include "host/io/elements.hpp"

#include <algorithm>
#include <cstring>

#include "culatent/error.hpp"

namespace culatent::io {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are read as little-endian");

// memcpy: the bytes of a file need not be aligned for E.
template <class E, bool kSwapped>
E load(const unsigned char* from) {
  E value;
  if constexpr (kSwapped) {
    unsigned char reversed[sizeof(E)];
    std::reverse_copy(from, from + sizeof(E), reversed);
    std::memcpy(&value, reversed, sizeof(E));
  } else {
    std::memcpy(&value, from, sizeof(E));
  }
  return value;
}

template <class T, class E, bool kSwapped>
void convert_as(const Elements& in, double scale, std::int64_t first, MatrixView<T> out) {
  const bool scaled = scale != 1.0;
  const auto value = [scaled, scale](E x) {
    return scaled ? static_cast<T>(static_cast<double>(x) * scale) : static_cast<T>(x);
  };
  if (in.col_stride == static_cast<std::int64_t>(sizeof(E))) {
    for (std::int64_t i = 0; i < out.rows; ++i) {
      const unsigned char* row = in.data + (first + i) * in.row_stride;
      T* to = out.row(i);
      for (std::int64_t j = 0; j < out.cols; ++j) {
        to[j] = value(load<E, kSwapped>(row + j * static_cast<std::int64_t>(sizeof(E))));
      }
    }
    return;
  }
  // Fortran order: down the columns, where the file is contiguous.
  for (std::int64_t j = 0; j < out.cols; ++j) {
    const unsigned char* column = in.data + first * in.row_stride + j * in.col_stride;
    for (std::int64_t i = 0; i < out.rows; ++i) {
      out(i, j) = value(load<E, kSwapped>(column + i * in.row_stride));
    }
  }
}

template <class T, class E>
void convert_from(const Elements& in, double scale, std::int64_t first, MatrixView<T> out) {
  if (in.swapped) {
    convert_as<T, E, true>(in, scale, first, out);
  } else {
    convert_as<T, E, false>(in, scale, first, out);
  }
}

template <class T>
constexpr bool is_stored_as(ElementType type) {
  return type == (sizeof(T) == sizeof(float) ? ElementType::f4 : ElementType::f8);
}

}  // namespace

Elements row_major(const unsigned char* data, ElementType type, std::int64_t rows,
                   std::int64_t cols) {
  const std::int64_t size = element_size(type);
  return {data, type, false, rows, cols, cols * size, size};
}

Range resolve(const Range& range, std::int64_t count, const char* what, const std::string& name) {
  const std::int64_t last = range.last.value_or(count);
  if (range.first < 0 || last < range.first || last > count) {
    throw io_error(std::string(what) + " " + std::to_string(range.first) + ":" +
                       (range.last ? std::to_string(*range.last) : "") + " are out of bounds",
                   name, "the file has " + std::to_string(count) + " " + what);
  }
  return {range.first, last};
}

Elements select(const Elements& elements, const Range& rows, const Range& columns,
                const std::string& name) {
  const Range r = resolve(rows, elements.rows, "rows", name);
  const Range c = resolve(columns, elements.cols, "columns", name);
  Elements part = elements;
  part.rows = *r.last - r.first;
  part.cols = *c.last - c.first;
  // An empty part may begin where the strides have no meaning (past the end of nothing).
  if (part.rows > 0 && part.cols > 0) {
    part.data += r.first * elements.row_stride + c.first * elements.col_stride;
  }
  return part;
}

template <class T>
bool is_in_place(const Elements& e) {
  constexpr auto kSize = static_cast<std::int64_t>(sizeof(T));
  return is_stored_as<T>(e.type) && !e.swapped && (e.col_stride == kSize || e.cols == 1) &&
         e.row_stride % kSize == 0 && e.row_stride / kSize >= e.cols &&
         reinterpret_cast<std::uintptr_t>(e.data) % alignof(T) == 0;
}

template <class T>
MatrixView<const T> in_place_view(const Elements& e, std::int64_t first, std::int64_t count) {
  const auto stride = e.row_stride / static_cast<std::int64_t>(sizeof(T));
  return {reinterpret_cast<const T*>(e.data) + first * stride, count, e.cols, stride};
}

template <class T>
void convert(const Elements& in, double scale, std::int64_t first, MatrixView<T> out) {
  switch (in.type) {
    case ElementType::f4:
      return convert_from<T, float>(in, scale, first, out);
    case ElementType::f8:
      return convert_from<T, double>(in, scale, first, out);
    case ElementType::u1:
      return convert_from<T, std::uint8_t>(in, scale, first, out);
    case ElementType::i1:
      return convert_from<T, std::int8_t>(in, scale, first, out);
    case ElementType::i2:
      return convert_from<T, std::int16_t>(in, scale, first, out);
    case ElementType::i4:
      return convert_from<T, std::int32_t>(in, scale, first, out);
    case ElementType::i8:
      return convert_from<T, std::int64_t>(in, scale, first, out);
  }
}

template bool is_in_place<float>(const Elements&);
template bool is_in_place<double>(const Elements&);
template MatrixView<const float> in_place_view(const Elements&, std::int64_t, std::int64_t);
template MatrixView<const double> in_place_view(const Elements&, std::int64_t, std::int64_t);
template void convert(const Elements&, double, std::int64_t, MatrixView<float>);
template void convert(const Elements&, double, std::int64_t, MatrixView<double>);
template void convert(const Elements&, double, std::int64_t, MatrixView<std::int64_t>);

}  // namespace culatent::io
