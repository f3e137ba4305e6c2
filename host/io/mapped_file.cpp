#include "host/io/mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace culatent::io {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

std::string errno_text(int code) { return std::generic_category().message(code); }

Bytes map_file(const std::string& path) {
  // O_NONBLOCK: opening a named pipe that nobody writes to must not hang.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) {
    const int code = errno;
    throw io_error("cannot open the file: " + errno_text(code), path,
                   code == ENOENT ? "check the name" : "check the permissions");
  }
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    throw io_error("cannot look at the file: " + errno_text(errno), path, "check the disk");
  }
  if (S_ISDIR(status.st_mode)) throw io_error("is a folder", path, "name a file in it");
  if (!S_ISREG(status.st_mode)) {
    throw io_error("is not a regular file", path, "copy the data to a file first");
  }
  Bytes bytes;
  bytes.name = path;
  bytes.size = status.st_size;
  if (bytes.size == 0) return bytes;
  const auto length = static_cast<std::size_t>(bytes.size);
  void* address = ::mmap(nullptr, length, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (address == MAP_FAILED) {
    throw io_error("cannot map the file: " + errno_text(errno), path,
                   "check the limit on address space (ulimit -v)");
  }
  bytes.owner = std::shared_ptr<const void>(
      address, [length](const void* p) { ::munmap(const_cast<void*>(p), length); });
  bytes.data = static_cast<const unsigned char*>(address);
  return bytes;
}

}  // namespace culatent::io
