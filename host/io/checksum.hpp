#pragma once

#include <cstdint>
#include <string>

namespace culatent::io {

/// XXH3-128 (https://xxhash.com) of some bytes: 32 lower-case hexadecimal digits, high half first.
std::string checksum_hex(const void* data, std::int64_t bytes);

}  // namespace culatent::io
