#include "tests/fuzz/targets.hpp"

#include <algorithm>
#include <cstdlib>

#include "host/io/readers.hpp"
#include "host/io/safetensors_parser.hpp"

namespace culatent::io::fuzz {
namespace {

constexpr std::int64_t kMemoryLimit = 1 << 20;

Bytes bytes_of(const std::uint8_t* data, std::size_t size) {
  Bytes bytes;
  bytes.data = data;
  bytes.size = static_cast<std::int64_t>(size);
  bytes.name = "input";
  return bytes;
}

// Reads all rows, a block at a time, as a fit would; a sanitizer sees what lies outside.
void read_all(const Elements& elements) {
  if (elements.rows < 0 || elements.cols < 0) std::abort();
  if (elements.rows == 0 || elements.cols == 0) return;  // the other extent may be anything
  const std::int64_t block = std::clamp<std::int64_t>(1024 / elements.cols, 1, 64);
  Matrix<float> buffer(block, elements.cols);
  for (std::int64_t first = 0; first < elements.rows; first += block) {
    const std::int64_t count = std::min(block, elements.rows - first);
    if (is_in_place<float>(elements)) in_place_view<float>(elements, first, count);
    convert<float>(elements, 0.5, first, buffer.view().slice(0, count));
  }
}

template <class Read>
bool accepts(const Read& read) {
  try {
    read();
    return true;
  } catch (const io_error&) {
    return false;
  } catch (const out_of_memory&) {
    return false;
  }
}

// What the first byte of an input chooses, so that options are explored too.
struct Choice {
  unsigned bits = 0;
  const std::uint8_t* data;
  std::size_t size;
};

Choice choose(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return {0, data, 0};
  return {data[0], data + 1, size - 1};
}

}  // namespace

bool npy(const std::uint8_t* data, std::size_t size) {
  return accepts([&] { read_all(read_npy(bytes_of(data, size)).elements); });
}

bool npz(const std::uint8_t* data, std::size_t size) {
  const bool only = accepts([&] {
    const Table table = read_npz(bytes_of(data, size), "", kMemoryLimit);
    read_all(table.elements);
  });
  const bool named = accepts([&] {
    const Table table = read_npz(bytes_of(data, size), "a", kMemoryLimit);
    read_all(table.elements);
  });
  return only || named;
}

bool csv(const std::uint8_t* data, std::size_t size) {
  const Choice choice = choose(data, size);
  CsvOptions options;
  options.missing = (choice.bits & 1) != 0;
  options.memory_limit = kMemoryLimit;
  options.n_threads = 1;
  if ((choice.bits & 2) != 0) options.rows.first = 1;
  if ((choice.bits & 4) != 0) options.columns.last = 1;
  return accepts([&] { read_all(read_csv(bytes_of(choice.data, choice.size), options).elements); });
}

bool idx(const std::uint8_t* data, std::size_t size) {
  return accepts([&] { read_all(read_idx(bytes_of(data, size)).elements); });
}

bool fvecs(const std::uint8_t* data, std::size_t size) {
  const Choice choice = choose(data, size);
  const ElementType type = (choice.bits & 1) != 0 ? ElementType::u1 : ElementType::f4;
  return accepts([&] { read_all(read_vecs(bytes_of(choice.data, choice.size), type).elements); });
}

bool raw(const std::uint8_t* data, std::size_t size) {
  // Rows, columns (8 bytes each) and the type come from the input.
  constexpr std::size_t kShape = 17;
  if (size < kShape) return false;
  const Bytes all = bytes_of(data, size);
  const auto rows = static_cast<std::int64_t>(little_endian<std::uint64_t>(all, 0));
  const auto cols = static_cast<std::int64_t>(little_endian<std::uint64_t>(all, 8));
  const auto type = static_cast<ElementType>(data[16] % 7);
  return accepts([&] {
    read_all(read_raw(bytes_of(data + kShape, size - kShape), rows, cols, type).elements);
  });
}

bool gzip(const std::uint8_t* data, std::size_t size) {
  return accepts([&] {
    const Bytes bytes = read_gzip(bytes_of(data, size), kMemoryLimit);
    if (bytes.size > kMemoryLimit) std::abort();
  });
}

bool safetensors(const std::uint8_t* data, std::size_t size) {
  return accepts([&] { parse_tensors(bytes_of(data, size)); });
}

}  // namespace culatent::io::fuzz
