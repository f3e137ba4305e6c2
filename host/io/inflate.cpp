#include "host/io/inflate.hpp"

#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cstdlib>

#include "host/io/readers.hpp"

namespace culatent::io {
namespace {

// malloc'ed, because realloc moves large blocks without a copy and without a second one beside.
class GrowingBuffer {
 public:
  GrowingBuffer() = default;
  GrowingBuffer(const GrowingBuffer&) = delete;
  GrowingBuffer& operator=(const GrowingBuffer&) = delete;
  ~GrowingBuffer() { std::free(data_); }

  unsigned char* data() const { return data_; }
  std::int64_t capacity() const { return capacity_; }
  bool resize(std::int64_t capacity) {
    void* moved =
        std::realloc(data_, static_cast<std::size_t>(std::max<std::int64_t>(1, capacity)));
    if (moved == nullptr) return false;
    data_ = static_cast<unsigned char*>(moved);
    capacity_ = capacity;
    return true;
  }
  std::shared_ptr<const void> release() {
    std::shared_ptr<const void> owner(data_,
                                      [](const void* p) { std::free(const_cast<void*>(p)); });
    data_ = nullptr;
    return owner;
  }

 private:
  unsigned char* data_ = nullptr;
  std::int64_t capacity_ = 0;
};

class Stream {
 public:
  explicit Stream(Deflate format) {
    constexpr int kGzipWindow = 15 + 16;
    constexpr int kRawWindow = -15;
    if (inflateInit2(&z_, format == Deflate::gzip ? kGzipWindow : kRawWindow) != Z_OK) {
      throw out_of_memory("cannot start decoding", "zlib", "free some memory");
    }
  }
  ~Stream() { inflateEnd(&z_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  z_stream* operator->() { return &z_; }
  z_stream* get() { return &z_; }

 private:
  z_stream z_{};
};

constexpr std::int64_t kMaxStep = 1 << 30;  // zlib counts in 32 bits

[[noreturn]] void fail_too_large(std::int64_t bytes, const std::string& name) {
  throw out_of_memory("the decoded data are larger than " + std::to_string(bytes) + " bytes", name,
                      "raise the memory limit, or decompress the file: .npy is mapped");
}

// One byte above the limit, so that data of exactly that size end before the buffer does.
void grow(GrowingBuffer* out, std::int64_t limit, const std::string& name) {
  constexpr std::int64_t kFirst = 1 << 16;
  const std::int64_t wanted =
      std::min(limit + 1, std::max(kFirst, out->capacity() + out->capacity() / 2));
  if (wanted <= out->capacity()) fail_too_large(limit, name);
  if (!out->resize(wanted)) fail_too_large(out->capacity(), name);
}

bool is_padding(const Bytes& bytes, std::int64_t first) {
  return std::all_of(bytes.data + first, bytes.data + bytes.size,
                     [](unsigned char c) { return c == 0; });
}

}  // namespace

std::int64_t effective_limit(std::int64_t memory_limit) {
  if (memory_limit > 0) return memory_limit;
  return static_cast<std::int64_t>(::sysconf(_SC_PHYS_PAGES)) *
         static_cast<std::int64_t>(::sysconf(_SC_PAGESIZE));
}

Bytes inflate(const Bytes& in, Deflate format, std::int64_t memory_limit) {
  const std::int64_t limit = std::min(effective_limit(memory_limit), INT64_MAX - 1);
  const char* remedy = "the file is damaged or cut; copy it again";
  GrowingBuffer out;
  Stream z(format);
  std::int64_t read = 0;
  std::int64_t written = 0;
  for (;;) {
    if (written == out.capacity()) grow(&out, limit, in.name);
    const std::int64_t input = std::min(kMaxStep, in.size - read);
    const std::int64_t room = std::min(kMaxStep, out.capacity() - written);
    z->next_in = const_cast<unsigned char*>(in.data + read);  // zlib does not write to it
    z->avail_in = static_cast<uInt>(input);
    z->next_out = out.data() + written;
    z->avail_out = static_cast<uInt>(room);
    const int code = ::inflate(z.get(), Z_NO_FLUSH);
    read += input - z->avail_in;
    written += room - z->avail_out;
    if (code == Z_STREAM_END) {
      if (read == in.size) break;
      if (format == Deflate::gzip && in.data[read] == 0x1f) {
        inflateReset(z.get());  // another member follows: their contents are one after the other
        continue;
      }
      if (format == Deflate::gzip && is_padding(in, read)) break;
      fail_at_byte(in, read, "bytes after the end of the compressed data", remedy);
    }
    if (code == Z_MEM_ERROR) throw out_of_memory("cannot decode", in.name, "free some memory");
    if (code != Z_OK && code != Z_BUF_ERROR) {
      fail_at_byte(in, read,
                   std::string("the compressed data are wrong") +
                       (z->msg != nullptr ? std::string(", ") + z->msg : ""),
                   remedy);
    }
    if (read == in.size && z->avail_out > 0) {
      fail_at_byte(in, read, "the compressed data end too early", remedy);
    }
  }
  if (written > limit) fail_too_large(limit, in.name);
  if (written < out.capacity()) out.resize(written);
  Bytes bytes;
  bytes.data = out.data();
  bytes.size = written;
  bytes.name = in.name;
  bytes.in_memory = written;
  bytes.owner = out.release();
  return bytes;
}

Bytes read_gzip(const Bytes& bytes, std::int64_t memory_limit) {
  return inflate(bytes, Deflate::gzip, memory_limit);
}

}  // namespace culatent::io
