#pragma once

#include <zlib.h>

#include <string>
#include <vector>

#include "tests/io/files.hpp"

/// Archives made by zlib and by hand.
namespace culatent::io::testing {

/// `content` deflated; window bits as zlib's: −15 raw, 31 gzip.
inline std::string deflated(const std::string& content, int window_bits) {
  z_stream z{};
  if (deflateInit2(&z, 9, Z_DEFLATED, window_bits, 9, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::runtime_error("deflateInit2");
  }
  std::string out(deflateBound(&z, content.size()) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  z.avail_in = static_cast<uInt>(content.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  if (deflate(&z, Z_FINISH) != Z_STREAM_END) throw std::runtime_error("deflate");
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

inline std::string gzip(const std::string& content) { return deflated(content, 31); }

struct ZipMember {
  std::string name;
  std::string content;
  bool deflate = false;
};

/// A zip archive; with `zip64` every size and offset stands in the 64-bit fields, as in archives
/// beyond 4 GiB.
inline std::string zip(const std::vector<ZipMember>& members, bool zip64 = false) {
  std::string out, directory;
  const auto u16 = [](std::size_t v) {
    return little<std::uint16_t>({static_cast<std::uint16_t>(v)});
  };
  const auto u32 = [](std::size_t v) {
    return little<std::uint32_t>({static_cast<std::uint32_t>(v)});
  };
  const auto u64 = [](std::size_t v) { return little<std::uint64_t>({v}); };
  for (const ZipMember& member : members) {
    const std::string data = member.deflate ? deflated(member.content, -15) : member.content;
    const auto crc = ::crc32(0, reinterpret_cast<const Bytef*>(member.content.data()),
                             static_cast<uInt>(member.content.size()));
    const std::size_t full = 0xffffffff;
    const std::size_t at = out.size();
    const std::string sizes =
        u32(zip64 ? full : data.size()) + u32(zip64 ? full : member.content.size());
    const std::string common = u16(zip64 ? 45 : 20) + u16(0) + u16(member.deflate ? 8 : 0) +
                               u16(0) + u16(0) + u32(crc) + sizes + u16(member.name.size());
    const std::string sizes64 = u64(member.content.size()) + u64(data.size());
    const std::string local_extra = zip64 ? u16(1) + u16(16) + sizes64 : "";
    const std::string central_extra = zip64 ? u16(1) + u16(24) + sizes64 + u64(at) : "";
    out += u32(0x04034b50) + common + u16(local_extra.size()) + member.name + local_extra + data;
    directory += u32(0x02014b50) + u16(45) + common + u16(central_extra.size()) + u16(0) + u16(0) +
                 u16(0) + u32(0) + u32(zip64 ? full : at) + member.name + central_extra;
  }
  const std::size_t directory_at = out.size();
  out += directory;
  if (zip64) {
    const std::size_t end_at = out.size();
    out += u32(0x06064b50) + u64(44) + u16(45) + u16(45) + u32(0) + u32(0) + u64(members.size()) +
           u64(members.size()) + u64(directory.size()) + u64(directory_at);
    out += u32(0x07064b50) + u32(0) + u64(end_at) + u32(1);
  }
  const std::size_t count = zip64 ? 0xffff : members.size();
  return out + u32(0x06054b50) + u16(0) + u16(0) + u16(count) + u16(count) +
         u32(zip64 ? 0xffffffff : directory.size()) + u32(zip64 ? 0xffffffff : directory_at) +
         u16(0);
}

}  // namespace culatent::io::testing
