#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "culatent/error.hpp"

namespace culatent::io {

/// The bytes of a file, mapped or decoded into memory, as the readers see them.
struct Bytes {
  const unsigned char* data = nullptr;
  std::int64_t size = 0;
  std::string name;                   ///< what error texts call it
  std::shared_ptr<const void> owner;  ///< keeps `data` alive; null when the caller does
  std::int64_t in_memory = 0;         ///< anonymous bytes that `owner` holds; 0 when mapped

  std::string_view text(std::int64_t first, std::int64_t count) const {
    return {reinterpret_cast<const char*>(data) + first, static_cast<std::size_t>(count)};
  }
  bool starts_with(std::string_view magic) const {
    const auto length = static_cast<std::int64_t>(magic.size());
    return size >= length && text(0, length) == magic;
  }
};

[[noreturn]] inline void fail_at_byte(const Bytes& bytes, std::int64_t offset,
                                      std::string_view what, std::string_view remedy) {
  throw io_error(what, bytes.name + ", byte " + std::to_string(offset), remedy);
}

/// The unsigned little-endian number of sizeof(U) bytes at `offset`, which must lie inside.
template <class U>
U little_endian(const Bytes& bytes, std::int64_t offset) {
  U value = 0;
  for (int i = static_cast<int>(sizeof(U)) - 1; i >= 0; --i) {
    value = static_cast<U>((static_cast<std::uint64_t>(value) << 8) | bytes.data[offset + i]);
  }
  return value;
}

/// The same in big-endian order.
template <class U>
U big_endian(const Bytes& bytes, std::int64_t offset) {
  U value = 0;
  for (int i = 0; i < static_cast<int>(sizeof(U)); ++i) {
    value = static_cast<U>((static_cast<std::uint64_t>(value) << 8) | bytes.data[offset + i]);
  }
  return value;
}

/// a * b into `product`; false when either is negative or the product does not fit.
inline bool product_fits(std::int64_t a, std::int64_t b, std::int64_t* product) {
  return a >= 0 && b >= 0 && !__builtin_mul_overflow(a, b, product);
}

/// The bytes of rows x cols elements into `total`; false when these, or those of a single row or
/// column, do not fit: an empty array too may have a stride.
inline bool matrix_fits(std::int64_t rows, std::int64_t cols, std::int64_t element,
                        std::int64_t* total) {
  std::int64_t row = 0;
  std::int64_t column = 0;
  return product_fits(cols, element, &row) && product_fits(rows, element, &column) &&
         product_fits(rows, row, total);
}

}  // namespace culatent::io
