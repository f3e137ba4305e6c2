#include <optional>

#include "host/io/readers.hpp"

// http://yann.lecun.com/exdb/mnist: two zero bytes, the type, the number of dimensions, each
// dimension as a 32-bit big-endian number, then the elements in C order, big-endian.
namespace culatent::io {
namespace {

std::optional<ElementType> element_type(int code) {
  switch (code) {
    case 0x08:
      return ElementType::u1;
    case 0x09:
      return ElementType::i1;
    case 0x0b:
      return ElementType::i2;
    case 0x0c:
      return ElementType::i4;
    case 0x0d:
      return ElementType::f4;
    case 0x0e:
      return ElementType::f8;
    default:
      return std::nullopt;
  }
}

}  // namespace

Table read_idx(const Bytes& bytes) {
  const char* cut = "the file is cut or damaged; copy it again";
  if (bytes.size < 4) fail_at_byte(bytes, bytes.size, "the IDX header is incomplete", cut);
  if (bytes.data[0] != 0 || bytes.data[1] != 0) {
    fail_at_byte(bytes, 0, "does not begin like an IDX file", "check the format");
  }
  const std::optional<ElementType> type = element_type(bytes.data[2]);
  if (!type) {
    fail_at_byte(bytes, 2, "unknown IDX element type " + std::to_string(bytes.data[2]),
                 "types are 8, 9, 11, 12, 13 and 14");
  }
  const int dimensions = bytes.data[3];
  if (dimensions == 0) fail_at_byte(bytes, 3, "no dimensions", "check the format");
  const std::int64_t data_at = 4 + 4 * dimensions;
  if (bytes.size < data_at) fail_at_byte(bytes, bytes.size, "the IDX header is incomplete", cut);

  const std::int64_t element = element_size(*type);
  const std::int64_t rows = big_endian<std::uint32_t>(bytes, 4);
  std::int64_t cols = 1;
  bool fits = true;
  for (int i = 1; i < dimensions; ++i) {
    fits = fits && product_fits(cols, big_endian<std::uint32_t>(bytes, 4 + 4 * i), &cols);
  }
  std::int64_t total = 0;
  fits = fits && matrix_fits(rows, cols, element, &total);
  const std::int64_t present = bytes.size - data_at;
  if (!fits || total != present) {
    fail_at_byte(bytes, 4,
                 "the dimensions need " + (fits ? std::to_string(total) : "more than 2^63") +
                     " bytes of data, the file has " + std::to_string(present),
                 cut);
  }
  Table table;
  table.format = "idx";
  table.owner = bytes.owner;
  table.bytes_in_memory = bytes.in_memory;
  table.elements = row_major(bytes.data + data_at, *type, rows, cols);
  table.elements.swapped = element > 1;
  return table;
}

}  // namespace culatent::io
