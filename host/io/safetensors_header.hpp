#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace culatent::io {

/// The header of a safetensors file is guarded by two metadata keys beside the data's
/// `culatent.checksum`. Damage to one key is caught by the other.
inline constexpr const char* kMetadataKey = "__metadata__";
inline constexpr const char* kChecksumKey = "culatent.checksum";
inline constexpr const char* kHeaderChecksumKey = "culatent.header_checksum";
/// Says which checksums there must be, so that damage to a key's name does not hide its checksum.
inline constexpr const char* kChecksumListKey = "culatent.checksums";
inline constexpr const char* kChecksumList = "data header";
inline constexpr std::int64_t kMaxHeaderBytes = 100'000'000;  // as the safetensors package

/// XXH3-128 over the header as compact JSON with sorted keys, without kHeaderChecksumKey: the same
/// for every program that wrote the same content.
std::string header_checksum(nlohmann::json header);

}  // namespace culatent::io
