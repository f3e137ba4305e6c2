#include "host/io/checksum.hpp"

#include <xxhash.h>

#include <array>

namespace culatent::io {

std::string checksum_hex(const void* data, std::int64_t bytes) {
  const XXH128_hash_t hash = XXH3_128bits(data, static_cast<std::size_t>(bytes));
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  constexpr std::array<char, 17> kDigits = {"0123456789abcdef"};
  std::string text;
  for (const unsigned char byte : canonical.digest) {
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 15]);
  }
  return text;
}

}  // namespace culatent::io
