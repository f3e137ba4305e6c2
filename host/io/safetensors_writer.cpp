#include "culatent/error.hpp"
#include "culatent/matrix.hpp"
#include "host/io/atomic_file.hpp"
#include "host/io/checksum.hpp"
#include "host/io/safetensors.hpp"
#include "host/io/safetensors_header.hpp"

namespace culatent::io {
namespace {

using nlohmann::json;

void check(const std::string& path, const std::string& name, const Tensor& tensor) {
  std::int64_t count = 1;
  for (const std::int64_t extent : tensor.shape) count = checked_product(count, extent);
  if (count != static_cast<std::int64_t>(tensor.values.size())) {
    throw invalid_argument("tensor '" + name + "' has " + std::to_string(tensor.values.size()) +
                               " values, its shape " + std::to_string(count),
                           path, "give as many as the shape");
  }
  if (name == kMetadataKey) {
    throw invalid_argument("a tensor cannot be called " + name, path, "choose another name");
  }
}

std::string serialised(const json& header, const std::string& path) {
  try {
    return header.dump();
  } catch (const json::exception&) {
    throw invalid_argument("a name or metadata text is not UTF-8", path, "give UTF-8");
  }
}

}  // namespace

std::string header_checksum(json header) {
  header[kMetadataKey].erase(kHeaderChecksumKey);
  const std::string text = header.dump();
  return checksum_hex(text.data(), static_cast<std::int64_t>(text.size()));
}

void write_tensors(const std::string& path, const TensorFile& file) {
  json header = json::object();
  std::vector<double> data;
  std::int64_t end = 0;
  for (const auto& [name, tensor] : file.tensors) {
    check(path, name, tensor);
    data.insert(data.end(), tensor.values.begin(), tensor.values.end());
    const std::int64_t begin = end;
    end = checked_product(static_cast<std::int64_t>(data.size()), sizeof(double));
    header[name] = {{"dtype", "F64"}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
  }
  json& metadata = header[kMetadataKey] = file.metadata;
  metadata[kChecksumKey] = checksum_hex(data.data(), end);
  metadata[kChecksumListKey] = kChecksumList;
  serialised(header, path);
  metadata[kHeaderChecksumKey] = header_checksum(header);

  std::string text = serialised(header, path);
  while (text.size() % 8 != 0) text.push_back(' ');  // the data begin at a multiple of 8
  const auto length = static_cast<std::int64_t>(text.size());
  if (length > kMaxHeaderBytes) {
    throw invalid_argument("the header has " + std::to_string(length) + " bytes", path,
                           "keep names and metadata below 100 MB");
  }
  std::string prefix;
  for (int shift = 0; shift < 64; shift += 8) {
    prefix.push_back(static_cast<char>((length >> shift) & 0xff));
  }
  AtomicFile out(path);
  out.write(prefix.data(), 8);
  out.write(text.data(), length);
  out.write(data.data(), end);
  out.commit();
}

}  // namespace culatent::io
