#include "host/io/readers.hpp"

// http://corpus-texmex.irisa.fr: each row is its length as a 32-bit number, then the elements.
namespace culatent::io {

Table read_vecs(const Bytes& bytes, ElementType type) {
  constexpr std::int64_t kPrefix = 4;
  const char* remedy = "the file is cut or of another format; copy it again";
  if (bytes.size < kPrefix) fail_at_byte(bytes, bytes.size, "the first row is cut", remedy);
  const auto cols =
      static_cast<std::int64_t>(static_cast<std::int32_t>(little_endian<std::uint32_t>(bytes, 0)));
  if (cols <= 0) {
    fail_at_byte(bytes, 0, "the first row has length " + std::to_string(cols), remedy);
  }
  const std::int64_t row_bytes = kPrefix + cols * element_size(type);
  const std::int64_t rows = bytes.size / row_bytes;
  // One pass over all prefixes now, so that reading rows later cannot fail.
  for (std::int64_t i = 0; i < rows; ++i) {
    if (little_endian<std::uint32_t>(bytes, i * row_bytes) != static_cast<std::uint32_t>(cols)) {
      fail_at_byte(bytes, i * row_bytes,
                   "row " + std::to_string(i) + " has another length than the first (" +
                       std::to_string(cols) + ")",
                   remedy);
    }
  }
  if (rows * row_bytes != bytes.size) {
    fail_at_byte(bytes, rows * row_bytes, "the last row is cut", remedy);
  }
  Table table;
  table.format = type == ElementType::f4 ? "fvecs" : type == ElementType::u1 ? "bvecs" : "ivecs";
  table.owner = bytes.owner;
  table.bytes_in_memory = bytes.in_memory;
  table.elements = row_major(bytes.data + kPrefix, type, rows, cols);
  table.elements.row_stride = row_bytes;
  return table;
}

}  // namespace culatent::io
