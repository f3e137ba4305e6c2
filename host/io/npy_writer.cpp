#include "host/io/npy_writer.hpp"

#include "culatent/error.hpp"
#include "culatent/matrix.hpp"

namespace culatent::io {
namespace {

const char* descriptor(ElementType type) {
  switch (type) {
    case ElementType::f4:
      return "<f4";
    case ElementType::f8:
      return "<f8";
    case ElementType::u1:
      return "|u1";
    case ElementType::i1:
      return "|i1";
    case ElementType::i2:
      return "<i2";
    case ElementType::i4:
      return "<i4";
    case ElementType::i8:
      return "<i8";
  }
  throw invalid_argument("unknown element type", "NpyWriter", "give one of ElementType");
}

// Magic, version 1.0, length and the dictionary, padded so that the data begin at a multiple of 64.
std::string header(ElementType type, const std::vector<std::int64_t>& shape) {
  std::string text =
      std::string("{'descr': '") + descriptor(type) + "', 'fortran_order': False, 'shape': (";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  }
  text += shape.size() == 1 ? ",), }" : "), }";  // as Python writes tuples
  constexpr std::size_t kPreamble = 10;
  while ((kPreamble + text.size() + 1) % 64 != 0) text.push_back(' ');
  text.push_back('\n');
  std::string result("\x93NUMPY\x01\x00", 8);
  result.push_back(static_cast<char>(text.size() & 0xff));
  result.push_back(static_cast<char>(text.size() >> 8));
  return result + text;
}

}  // namespace

NpyWriter::NpyWriter(const std::string& path, ElementType type,
                     const std::vector<std::int64_t>& shape)
    : file_(path), expected_bytes_(element_size(type)) {
  for (const std::int64_t extent : shape) {
    expected_bytes_ = checked_product(expected_bytes_, extent);
  }
  const std::string text = header(type, shape);
  file_.write(text.data(), static_cast<std::int64_t>(text.size()));
}

void NpyWriter::append(const void* data, std::int64_t bytes) {
  if (bytes < 0 || bytes > expected_bytes_ - written_bytes_) {
    throw invalid_argument("more bytes than the shape holds", "NpyWriter",
                           "append rows x columns elements in all");
  }
  file_.write(data, bytes);
  written_bytes_ += bytes;
}

void NpyWriter::commit() {
  if (written_bytes_ != expected_bytes_) {
    throw invalid_argument("only " + std::to_string(written_bytes_) + " of " +
                               std::to_string(expected_bytes_) + " bytes were written",
                           "NpyWriter", "append every row before commit()");
  }
  file_.commit();
}

}  // namespace culatent::io
