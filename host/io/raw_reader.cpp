#include "host/io/readers.hpp"

namespace culatent::io {

Table read_raw(const Bytes& bytes, std::optional<std::int64_t> wanted_rows, std::int64_t cols,
               ElementType type) {
  if (cols < 1) {
    throw io_error("a raw file needs its number of columns", bytes.name,
                   "give the shape (rows x columns) and the element type");
  }
  std::int64_t row_bytes = 0;
  if (!product_fits(cols, element_size(type), &row_bytes)) {
    throw io_error(std::to_string(cols) + " columns are too many", bytes.name, "check the shape");
  }
  const std::int64_t rows = wanted_rows.value_or(bytes.size / row_bytes);
  std::int64_t total = 0;
  if (!product_fits(rows, row_bytes, &total) || total != bytes.size) {
    throw io_error(std::to_string(rows) + " x " + std::to_string(cols) + " " + element_name(type) +
                       " are not the file's " + std::to_string(bytes.size) + " bytes",
                   bytes.name, "check the shape and the element type");
  }
  Table table;
  table.format = "raw";
  table.owner = bytes.owner;
  table.bytes_in_memory = bytes.in_memory;
  table.elements = row_major(bytes.data, type, rows, cols);
  return table;
}

}  // namespace culatent::io
