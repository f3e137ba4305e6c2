#include <array>
#include <optional>

#include "host/io/readers.hpp"

// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
namespace culatent::io {
namespace {

struct Header {
  std::string descr;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

// The header is a Python dictionary of three keys; this reads that and nothing more of Python.
class HeaderParser {
 public:
  HeaderParser(const Bytes& bytes, std::int64_t first, std::int64_t last)
      : bytes_(bytes), at_(first), last_(last) {}

  Header parse() {
    std::optional<std::string> descr;
    std::optional<bool> fortran_order;
    std::optional<std::vector<std::int64_t>> shape;
    expect('{');
    while (!accept('}')) {
      const std::int64_t key_at = at_;
      const std::string key = string();
      expect(':');
      if (key == "descr" && !descr) {
        descr = descriptor();
      } else if (key == "fortran_order" && !fortran_order) {
        fortran_order = boolean();
      } else if (key == "shape" && !shape) {
        shape = tuple();
      } else {
        at_ = key_at;
        fail("unexpected or repeated key '" + key + "' in the header");
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_blanks();
    if (at_ != last_) fail("text after the header's dictionary");
    if (!descr || !fortran_order || !shape) {
      fail("the header lacks one of 'descr', 'fortran_order', 'shape'");
    }
    return {*descr, *fortran_order, *shape};
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    fail_at_byte(bytes_, at_, what, "the file is damaged; save it again with numpy.save");
  }
  char peek() const { return at_ < last_ ? static_cast<char>(bytes_.data[at_]) : '\0'; }
  void skip_blanks() {
    while (peek() == ' ' || peek() == '\n') ++at_;
  }
  bool accept(char wanted) {
    skip_blanks();
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }
  void expect(char wanted) {
    if (!accept(wanted)) fail(std::string("expected '") + wanted + "' in the header");
  }
  std::string string() {
    skip_blanks();
    const char quote = peek();
    if (quote != '\'' && quote != '"') fail("expected a quoted string in the header");
    std::string text;
    for (++at_; peek() != quote; ++at_) {
      if (at_ >= last_ || text.size() > 64) fail("a string of the header does not end");
      text.push_back(peek());
    }
    ++at_;
    return text;
  }
  std::string descriptor() {
    skip_blanks();
    if (peek() == '[') {
      throw io_error("the array has named fields", bytes_.name,
                     "save one field at a time: numpy.save(path, a['name'])");
    }
    return string();
  }
  bool boolean() {
    skip_blanks();
    for (const auto& [word, value] : {std::pair{"True", true}, std::pair{"False", false}}) {
      const auto length = static_cast<std::int64_t>(std::string_view(word).size());
      if (last_ - at_ >= length && bytes_.text(at_, length) == word) {
        at_ += length;
        return value;
      }
    }
    fail("'fortran_order' is neither True nor False");
  }
  std::int64_t integer() {
    skip_blanks();
    if (peek() < '0' || peek() > '9') fail("expected a number in 'shape'");
    std::int64_t value = 0;
    for (; peek() >= '0' && peek() <= '9'; ++at_) {
      if (__builtin_mul_overflow(value, 10, &value) ||
          __builtin_add_overflow(value, peek() - '0', &value)) {
        fail("a dimension does not fit 64 bits");
      }
    }
    if (peek() == 'L') ++at_;  // Python 2 wrote long integers so
    return value;
  }
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> values;
    expect('(');
    while (!accept(')')) {
      if (values.size() == 64) fail("more than 64 dimensions");
      values.push_back(integer());
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return values;
  }

  const Bytes& bytes_;
  std::int64_t at_;
  std::int64_t last_;
};

struct NumpyType {
  std::string_view code;
  ElementType type;
};
constexpr std::array<NumpyType, 8> kTypes = {{{"f4", ElementType::f4},
                                              {"f8", ElementType::f8},
                                              {"u1", ElementType::u1},
                                              {"b1", ElementType::u1},
                                              {"i1", ElementType::i1},
                                              {"i2", ElementType::i2},
                                              {"i4", ElementType::i4},
                                              {"i8", ElementType::i8}}};

// "<f4": byte order, kind, bytes.
void set_type(const std::string& descr, const std::string& name, Elements* elements) {
  if (descr.find('O') != std::string::npos) {
    throw io_error("the array holds Python objects", name,
                   "save numbers instead: numpy.save(path, a.astype('float64'))");
  }
  const char order = descr.empty() ? '\0' : descr[0];
  for (const NumpyType& known : kTypes) {
    if (std::string_view(descr).substr(descr.empty() ? 0 : 1) != known.code) continue;
    const bool one_byte = element_size(known.type) == 1;
    if (order != '<' && order != '>' && !(order == '|' && one_byte)) break;
    elements->type = known.type;
    elements->swapped = order == '>' && !one_byte;
    return;
  }
  throw io_error("elements of type '" + descr + "' are not understood", name,
                 "save float32, float64, uint8, int8, int16, int32 or int64: "
                 "numpy.save(path, a.astype('float32'))");
}

}  // namespace

Table read_npy(const Bytes& bytes) {
  constexpr std::string_view kMagic("\x93NUMPY", 6);
  if (!bytes.starts_with(kMagic)) {
    fail_at_byte(bytes, 0, "does not begin like a .npy file", "save it with numpy.save");
  }
  const char* cut = "the file is cut; copy or save it again";
  if (bytes.size < 10) fail_at_byte(bytes, bytes.size, "the header is incomplete", cut);
  const int major = bytes.data[6];
  if (major < 1 || major > 3 || bytes.data[7] != 0) {
    fail_at_byte(bytes, 6, "unknown .npy version " + std::to_string(major), "save it again");
  }
  const std::int64_t header_at = major == 1 ? 10 : 12;
  if (bytes.size < header_at) fail_at_byte(bytes, bytes.size, "the header is incomplete", cut);
  const std::int64_t length =
      major == 1 ? little_endian<std::uint16_t>(bytes, 8) : little_endian<std::uint32_t>(bytes, 8);
  const std::int64_t data_at = header_at + length;
  if (data_at > bytes.size) fail_at_byte(bytes, bytes.size, "the header is incomplete", cut);
  const Header header = HeaderParser(bytes, header_at, data_at).parse();

  Table table;
  table.format = "npy";
  table.owner = bytes.owner;
  table.bytes_in_memory = bytes.in_memory;
  Elements& e = table.elements;
  set_type(header.descr, bytes.name, &e);
  const std::int64_t element = element_size(e.type);
  const std::vector<std::int64_t>& shape = header.shape;
  e.rows = shape.empty() ? 1 : shape[0];
  e.cols = 1;
  std::int64_t total = 0;
  bool fits = true;
  for (std::size_t i = 1; i < shape.size(); ++i) {
    fits = fits && product_fits(e.cols, shape[i], &e.cols);
  }
  fits = fits && matrix_fits(e.rows, e.cols, element, &total);
  const std::int64_t present = bytes.size - data_at;
  if (!fits || total != present) {
    fail_at_byte(bytes, data_at,
                 "the shape needs " + (fits ? std::to_string(total) : "more than 2^63") +
                     " bytes of data, the file has " + std::to_string(present),
                 cut);
  }
  e.data = bytes.data + data_at;
  e.row_stride = e.cols * element;
  e.col_stride = element;
  if (header.fortran_order && shape.size() >= 2) {
    if (shape.size() > 2) {
      throw io_error("more than two dimensions in Fortran order", bytes.name,
                     "save it in C order: numpy.save(path, numpy.ascontiguousarray(a))");
    }
    e.row_stride = element;
    e.col_stride = e.cols == 1 ? element : e.rows * element;
  }
  return table;
}

}  // namespace culatent::io
