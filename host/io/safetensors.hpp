#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

/// Model and checkpoint files: safetensors (8-byte header length, JSON header, data section).
/// https://github.com/huggingface/safetensors, "Format".
namespace culatent::io {

struct Tensor {
  std::vector<std::int64_t> shape;  ///< empty: a scalar
  std::vector<double> values;  ///< row-major; written as F64; F32, F64 and integer types are read
};

struct TensorFile {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

/// Writes whole or not at all. Adds metadata `culatent.checksum`: XXH3-128 of the data section,
/// hex.
void write_tensors(const std::string& path, const TensorFile& file);

/// Reads and verifies: header and offsets against the file's length, no overlap, no gap, checksum
/// where there is one. Throws io_error naming path and byte.
TensorFile read_tensors(const std::string& path);

/// True when the file begins like safetensors (a plausible header length and '{').
bool is_tensor_file(const std::string& path);

}  // namespace culatent::io
