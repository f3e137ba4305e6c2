#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

#include "host/io/bytes.hpp"
#include "host/io/safetensors.hpp"

namespace culatent::io {

/// read_tensors on bytes in memory.
TensorFile parse_tensors(const Bytes& bytes);

/// The JSON object in bytes [first, last): UTF-8, no key twice in an object, nothing behind it but
/// spaces. Throws io_error naming the byte.
nlohmann::json parse_header(const Bytes& bytes, std::int64_t first, std::int64_t last);

/// Refuses the one way to spell the same header in as many bytes that our writer never uses:
/// upper-case digits in \uXXXX. So a flipped bit there is found although the content is the same.
void check_spelling(const Bytes& bytes, std::int64_t first, std::int64_t last);

}  // namespace culatent::io
