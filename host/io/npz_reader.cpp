#include <zlib.h>

#include <algorithm>

#include "host/io/inflate.hpp"
#include "host/io/readers.hpp"

// PKWARE's APPNOTE.TXT 6.3: end of central directory (4.3.16), its zip64 form (4.3.14, 4.3.15),
// central headers (4.3.12), local headers (4.3.7), zip64 extra field (4.5.3).
namespace culatent::io {
namespace {

constexpr const char* kRemedy = "the archive is damaged; save it again with numpy.savez";
constexpr std::uint32_t kLocalHeader = 0x04034b50;
constexpr std::uint32_t kCentralHeader = 0x02014b50;
constexpr std::uint32_t kEnd = 0x06054b50;
constexpr std::uint32_t kZip64End = 0x06064b50;
constexpr std::uint32_t kZip64Locator = 0x07064b50;
constexpr std::int64_t kEndSize = 22;
constexpr std::int64_t kLocatorSize = 20;
constexpr std::int64_t kZip64EndSize = 56;
constexpr std::int64_t kCentralSize = 46;
constexpr std::int64_t kLocalSize = 30;

struct Member {
  std::string name;  // as the user gives it: without ".npy"
  int flags = 0;
  int method = 0;
  std::uint32_t crc = 0;
  std::int64_t compressed = 0;
  std::int64_t size = 0;
  std::int64_t local_at = 0;
};

struct Directory {
  std::int64_t at = 0;
  std::int64_t size = 0;
  std::int64_t count = 0;
};

std::int64_t number64(const Bytes& bytes, std::int64_t offset) {
  const auto value = little_endian<std::uint64_t>(bytes, offset);
  if (value > static_cast<std::uint64_t>(INT64_MAX)) {
    fail_at_byte(bytes, offset, "a size in the archive is beyond 2^63", kRemedy);
  }
  return static_cast<std::int64_t>(value);
}

std::int64_t find_end(const Bytes& bytes) {
  constexpr std::int64_t kMaxComment = 0xffff;
  const std::int64_t lowest = std::max<std::int64_t>(0, bytes.size - kEndSize - kMaxComment);
  for (std::int64_t at = bytes.size - kEndSize; at >= lowest; --at) {
    if (little_endian<std::uint32_t>(bytes, at) == kEnd &&
        at + kEndSize + little_endian<std::uint16_t>(bytes, at + 20) == bytes.size) {
      return at;
    }
  }
  fail_at_byte(bytes, bytes.size, "the archive has no end record",
               "the file is cut; copy it again");
}

Directory find_directory(const Bytes& bytes) {
  const std::int64_t end = find_end(bytes);
  Directory directory{little_endian<std::uint32_t>(bytes, end + 16),
                      little_endian<std::uint32_t>(bytes, end + 12),
                      little_endian<std::uint16_t>(bytes, end + 10)};
  std::int64_t limit = end;
  const std::int64_t locator = end - kLocatorSize;
  if (locator >= 0 && little_endian<std::uint32_t>(bytes, locator) == kZip64Locator) {
    const std::int64_t at = number64(bytes, locator + 8);
    if (at > locator - kZip64EndSize || little_endian<std::uint32_t>(bytes, at) != kZip64End) {
      fail_at_byte(bytes, locator, "the zip64 end record is not where it should be", kRemedy);
    }
    directory = {number64(bytes, at + 48), number64(bytes, at + 40), number64(bytes, at + 32)};
    limit = at;
  }
  if (directory.at > limit || directory.size > limit - directory.at) {
    fail_at_byte(bytes, end, "the central directory does not lie inside the file", kRemedy);
  }
  return directory;
}

// Sizes and offset that do not fit 32 bits are all ones there and stand in an extra field.
void read_zip64_extra(const Bytes& bytes, std::int64_t at, std::int64_t last, Member* member) {
  constexpr std::int64_t kElsewhere = 0xffffffff;
  while (at + 4 <= last) {
    const int id = little_endian<std::uint16_t>(bytes, at);
    const std::int64_t field_end = at + 4 + little_endian<std::uint16_t>(bytes, at + 2);
    if (field_end > last) break;
    if (id == 1) {
      std::int64_t field = at + 4;
      for (std::int64_t* value : {&member->size, &member->compressed, &member->local_at}) {
        if (*value != kElsewhere) continue;
        if (field + 8 > field_end) fail_at_byte(bytes, at, "a zip64 field is too short", kRemedy);
        *value = number64(bytes, field);
        field += 8;
      }
    }
    at = field_end;
  }
}

std::vector<Member> read_directory(const Bytes& bytes) {
  const Directory directory = find_directory(bytes);
  const std::int64_t last = directory.at + directory.size;
  std::vector<Member> members;
  std::int64_t at = directory.at;
  for (std::int64_t i = 0; i < directory.count; ++i) {
    if (last - at < kCentralSize || little_endian<std::uint32_t>(bytes, at) != kCentralHeader) {
      fail_at_byte(bytes, at, "the central directory is cut or damaged", kRemedy);
    }
    Member member;
    member.flags = little_endian<std::uint16_t>(bytes, at + 8);
    member.method = little_endian<std::uint16_t>(bytes, at + 10);
    member.crc = little_endian<std::uint32_t>(bytes, at + 16);
    member.compressed = little_endian<std::uint32_t>(bytes, at + 20);
    member.size = little_endian<std::uint32_t>(bytes, at + 24);
    member.local_at = little_endian<std::uint32_t>(bytes, at + 42);
    const std::int64_t name_size = little_endian<std::uint16_t>(bytes, at + 28);
    const std::int64_t extra_at = at + kCentralSize + name_size;
    const std::int64_t extra_end = extra_at + little_endian<std::uint16_t>(bytes, at + 30);
    const std::int64_t next = extra_end + little_endian<std::uint16_t>(bytes, at + 32);
    if (next > last) fail_at_byte(bytes, at, "the central directory is cut or damaged", kRemedy);
    member.name = bytes.text(at + kCentralSize, name_size);
    if (member.name.ends_with(".npy")) member.name.resize(member.name.size() - 4);
    read_zip64_extra(bytes, extra_at, extra_end, &member);
    members.push_back(std::move(member));
    at = next;
  }
  return members;
}

const Member& choose(const std::vector<Member>& members, const Bytes& bytes,
                     const std::string& wanted) {
  if (members.empty()) throw io_error("the archive holds no array", bytes.name, "save it again");
  if (wanted.empty() && members.size() == 1) return members[0];
  const Member* found = nullptr;
  std::string names;
  for (const Member& member : members) {
    if (!names.empty()) names += ", ";
    names += member.name;
    if (member.name != wanted && member.name + ".npy" != wanted) continue;
    if (found != nullptr) {
      throw io_error("two arrays are called '" + wanted + "'", bytes.name, "rename one");
    }
    found = &member;
  }
  if (found != nullptr) return *found;
  throw io_error(wanted.empty() ? "the archive holds " + std::to_string(members.size()) + " arrays"
                                : "the archive has no array '" + wanted + "'",
                 bytes.name, "name one as " + bytes.name + ":NAME, NAME one of " + names);
}

// Where the member's bytes lie, after its local header.
Bytes content(const Bytes& bytes, const Member& member) {
  const std::int64_t at = member.local_at;
  if (at > bytes.size - kLocalSize || little_endian<std::uint32_t>(bytes, at) != kLocalHeader) {
    fail_at_byte(bytes, std::min(at, bytes.size), "no local header for array '" + member.name + "'",
                 kRemedy);
  }
  const std::int64_t first = at + kLocalSize + little_endian<std::uint16_t>(bytes, at + 26) +
                             little_endian<std::uint16_t>(bytes, at + 28);
  if (first > bytes.size || member.compressed > bytes.size - first) {
    fail_at_byte(bytes, at, "array '" + member.name + "' reaches beyond the file", kRemedy);
  }
  Bytes inside = bytes;
  inside.data = bytes.data + first;
  inside.size = member.compressed;
  inside.name = bytes.name + ":" + member.name;
  return inside;
}

std::uint32_t checksum(const Bytes& bytes) {
  return static_cast<std::uint32_t>(::crc32_z(0, bytes.data, static_cast<z_size_t>(bytes.size)));
}

}  // namespace

Table read_npz(const Bytes& bytes, const std::string& wanted, std::int64_t memory_limit) {
  const std::vector<Member> members = read_directory(bytes);
  const Member& member = choose(members, bytes, wanted);
  if ((member.flags & 1) != 0) {
    throw io_error("array '" + member.name + "' is encrypted", bytes.name, "save it unencrypted");
  }
  Bytes inside = content(bytes, member);
  constexpr int kStored = 0, kDeflated = 8;
  if (member.method == kDeflated) {
    inside = inflate(inside, Deflate::raw, memory_limit);
    if (inside.size == member.size && checksum(inside) != member.crc) {
      throw io_error("array '" + member.name + "' does not match its checksum", bytes.name,
                     kRemedy);
    }
  } else if (member.method != kStored) {
    throw io_error(
        "array '" + member.name + "' is compressed by method " + std::to_string(member.method),
        bytes.name, "save it with numpy.savez or numpy.savez_compressed");
  }
  if (inside.size != member.size) {
    throw io_error("array '" + member.name + "' has " + std::to_string(inside.size) +
                       " bytes, the directory says " + std::to_string(member.size),
                   bytes.name, kRemedy);
  }
  Table table = read_npy(inside);
  table.format = "npz";
  return table;
}

}  // namespace culatent::io
