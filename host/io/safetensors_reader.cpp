#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <set>

#include "host/io/checksum.hpp"
#include "host/io/mapped_file.hpp"
#include "host/io/safetensors.hpp"
#include "host/io/safetensors_header.hpp"
#include "host/io/safetensors_parser.hpp"

namespace culatent::io {
namespace {

using nlohmann::json;

constexpr const char* kDamaged = "the file is damaged; copy it again or fit the model again";
constexpr std::int64_t kPrefix = 8;

struct Stored {
  std::string name;
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

// IEEE 754 half precision: 1 sign, 5 exponent, 10 fraction bits.
double from_half(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const double fraction = bits & 1023;
  double value = 0;
  if (exponent == 31) {
    value = fraction == 0 ? INFINITY : NAN;
  } else if (exponent == 0) {
    value = std::ldexp(fraction, -24);
  } else {
    value = std::ldexp(fraction + 1024, exponent - 25);
  }
  return (bits >> 15) != 0 ? -value : value;
}

// bfloat16 is the upper half of a float.
double from_bfloat16(std::uint16_t bits) {
  const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
  float value = 0;
  std::memcpy(&value, &wide, sizeof(value));
  return value;
}

template <class E>
double load(const unsigned char* from) {
  E value;
  std::memcpy(&value, from, sizeof(E));
  return static_cast<double>(value);
}

template <double (*kDecode)(std::uint16_t)>
double load_16(const unsigned char* from) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, from, sizeof(bits));
  return kDecode(bits);
}

struct Type {
  std::string_view name;
  std::int64_t size;
  double (*load)(const unsigned char*);
};
constexpr std::array<Type, 13> kTypes = {{{"F64", 8, load<double>},
                                          {"F32", 4, load<float>},
                                          {"F16", 2, load_16<from_half>},
                                          {"BF16", 2, load_16<from_bfloat16>},
                                          {"I64", 8, load<std::int64_t>},
                                          {"I32", 4, load<std::int32_t>},
                                          {"I16", 2, load<std::int16_t>},
                                          {"I8", 1, load<std::int8_t>},
                                          {"U64", 8, load<std::uint64_t>},
                                          {"U32", 4, load<std::uint32_t>},
                                          {"U16", 2, load<std::uint16_t>},
                                          {"U8", 1, load<std::uint8_t>},
                                          {"BOOL", 1, load<std::uint8_t>}}};

[[noreturn]] void fail(const Bytes& bytes, const std::string& what) {
  throw io_error(what, bytes.name + ", header", kDamaged);
}

std::int64_t read_size(const Bytes& bytes, const std::string& tensor, const json& value) {
  if (!value.is_number_unsigned() ||
      value.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX)) {
    fail(bytes, "tensor '" + tensor + "' has a size that is no 63-bit number");
  }
  return value.get<std::int64_t>();
}

Stored read_entry(const Bytes& bytes, const std::string& name, const json& entry) {
  if (!entry.is_object() || entry.size() != 3 || !entry.contains("dtype") ||
      !entry.contains("shape") || !entry.contains("data_offsets") || !entry["dtype"].is_string() ||
      !entry["shape"].is_array() || !entry["data_offsets"].is_array() ||
      entry["data_offsets"].size() != 2) {
    fail(bytes, "tensor '" + name + "' lacks dtype, shape or data_offsets, or has more");
  }
  Stored stored;
  stored.name = name;
  stored.dtype = entry["dtype"].get<std::string>();
  for (const json& extent : entry["shape"]) {
    stored.shape.push_back(read_size(bytes, name, extent));
  }
  stored.begin = read_size(bytes, name, entry["data_offsets"][0]);
  stored.end = read_size(bytes, name, entry["data_offsets"][1]);
  return stored;
}

std::map<std::string, std::string> read_metadata(const Bytes& bytes, const json& header) {
  std::map<std::string, std::string> metadata;
  if (!header.contains(kMetadataKey)) return metadata;
  const json& entries = header[kMetadataKey];
  if (!entries.is_object()) fail(bytes, "the metadata are no object");
  for (const auto& [key, value] : entries.items()) {
    if (!value.is_string()) fail(bytes, "metadata '" + key + "' is no text");
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

// The tensors must fill the data section end to end, in some order.
void check_layout(const Bytes& bytes, std::vector<Stored> all, std::int64_t data_bytes) {
  std::sort(all.begin(), all.end(), [](const Stored& a, const Stored& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::int64_t end = 0;
  for (const Stored& stored : all) {
    if (stored.begin != end || stored.end < stored.begin) {
      fail(bytes, "tensor '" + stored.name + "' begins at " + std::to_string(stored.begin) +
                      " and ends at " + std::to_string(stored.end) +
                      ", the one before it ends at " + std::to_string(end));
    }
    end = stored.end;
  }
  if (end != data_bytes) {
    fail(bytes, "the tensors take " + std::to_string(end) + " bytes, the file has " +
                    std::to_string(data_bytes));
  }
}

void check_checksums(const Bytes& bytes, const json& header, std::int64_t data_at,
                     const std::map<std::string, std::string>& metadata) {
  const auto has = [&](const char* key) { return metadata.count(key) != 0; };
  if (has(kChecksumListKey)) {
    if (metadata.at(kChecksumListKey) != kChecksumList || !has(kChecksumKey) ||
        !has(kHeaderChecksumKey)) {
      fail(bytes, "a checksum is missing");
    }
  }
  if (has(kHeaderChecksumKey)) {
    if (metadata.at(kHeaderChecksumKey) != header_checksum(header) || !has(kChecksumListKey)) {
      fail(bytes, "the header does not match its checksum");
    }
    check_spelling(bytes, kPrefix, data_at);
  }
  if (has(kChecksumKey) &&
      metadata.at(kChecksumKey) != checksum_hex(bytes.data + data_at, bytes.size - data_at)) {
    throw io_error(
        "the data do not match their checksum",
        bytes.name + ", bytes " + std::to_string(data_at) + " to " + std::to_string(bytes.size),
        kDamaged);
  }
}

Tensor decode(const Bytes& bytes, std::int64_t data_at, const Stored& stored) {
  const auto type = std::find_if(kTypes.begin(), kTypes.end(), [&](const Type& candidate) {
    return candidate.name == stored.dtype;
  });
  if (type == kTypes.end()) {
    fail(bytes, "tensor '" + stored.name + "' has the unknown type '" + stored.dtype + "'");
  }
  std::int64_t count = 1;
  bool fits = true;
  for (const std::int64_t extent : stored.shape) fits = fits && product_fits(count, extent, &count);
  std::int64_t size = 0;
  if (!fits || !product_fits(count, type->size, &size) || size != stored.end - stored.begin) {
    fail(bytes, "the shape of tensor '" + stored.name + "' does not match its " +
                    std::to_string(stored.end - stored.begin) + " bytes");
  }
  Tensor tensor;
  tensor.shape = stored.shape;
  tensor.values.reserve(static_cast<std::size_t>(count));
  const unsigned char* from = bytes.data + data_at + stored.begin;
  for (std::int64_t i = 0; i < count; ++i)
    tensor.values.push_back(type->load(from + i * type->size));
  return tensor;
}

}  // namespace

TensorFile parse_tensors(const Bytes& bytes) {
  const char* cut = "the file is cut or no safetensors file";
  if (bytes.size < kPrefix) fail_at_byte(bytes, bytes.size, "the header length is cut", cut);
  const auto length = little_endian<std::uint64_t>(bytes, 0);
  if (length > static_cast<std::uint64_t>(std::min(kMaxHeaderBytes, bytes.size - kPrefix))) {
    fail_at_byte(bytes, 0, "a header of " + std::to_string(length) + " bytes is not there", cut);
  }
  const std::int64_t data_at = kPrefix + static_cast<std::int64_t>(length);
  const json header = parse_header(bytes, kPrefix, data_at);

  TensorFile file;
  file.metadata = read_metadata(bytes, header);
  std::vector<Stored> all;
  for (const auto& [name, entry] : header.items()) {
    if (name != kMetadataKey) all.push_back(read_entry(bytes, name, entry));
  }
  check_layout(bytes, all, bytes.size - data_at);
  check_checksums(bytes, header, data_at, file.metadata);
  for (const Stored& stored : all) file.tensors[stored.name] = decode(bytes, data_at, stored);
  return file;
}

TensorFile read_tensors(const std::string& path) { return parse_tensors(map_file(path)); }

bool is_tensor_file(const std::string& path) {
  const Bytes bytes = map_file(path);
  if (bytes.size <= kPrefix || bytes.data[kPrefix] != '{') return false;
  return little_endian<std::uint64_t>(bytes, 0) <= static_cast<std::uint64_t>(kMaxHeaderBytes);
}

}  // namespace culatent::io
