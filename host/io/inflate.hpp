#pragma once

#include <cstdint>
#include <string>

#include "host/io/bytes.hpp"

namespace culatent::io {

enum class Deflate {
  raw,   ///< one deflate stream (a zip member)
  gzip,  ///< one or more gzip members, each with its checksum
};

/// Decodes `in` into memory that grows with what is really decoded, so a size claimed by a file
/// takes nothing. Throws io_error for damaged or cut data, out_of_memory beyond `memory_limit`
/// (0: what the machine has).
Bytes inflate(const Bytes& in, Deflate format, std::int64_t memory_limit);

/// `memory_limit`, or the machine's memory when it is 0.
std::int64_t effective_limit(std::int64_t memory_limit);

}  // namespace culatent::io
