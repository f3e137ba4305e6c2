#include "host/io/atomic_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "culatent/error.hpp"
#include "host/io/mapped_file.hpp"

namespace culatent::io {
namespace {

// Names of the temporary files that exist now, in memory that a signal handler may read: a handler
// must not allocate or lock. A name is read only between the two stores of `used`.
struct Slot {
  std::atomic<bool> taken{false};
  std::atomic<bool> used{false};
  std::array<char, PATH_MAX> name{};
};
static_assert(std::atomic<bool>::is_always_lock_free);
std::array<Slot, 64> slots;
std::atomic<bool> ending{false};  // remove_unfinished_files() has begun

int take_slot(const std::string& name) {
  if (name.size() >= PATH_MAX) return -1;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (slots[i].taken.exchange(true)) continue;
    std::memcpy(slots[i].name.data(), name.c_str(), name.size() + 1);
    slots[i].used = true;
    return static_cast<int>(i);
  }
  return -1;  // more than 64 at once: the destructor still removes it
}

void free_slot(int slot) {
  if (slot < 0) return;
  slots[static_cast<std::size_t>(slot)].used = false;
  slots[static_cast<std::size_t>(slot)].taken = false;
}

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// rename() would replace a symbolic link rather than the file that it names.
std::string resolve_link(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISLNK(status.st_mode)) return path;
  char* resolved = ::realpath(path.c_str(), nullptr);
  if (resolved == nullptr) {
    throw io_error("cannot follow the link: " + errno_text(errno), path, "remove the link");
  }
  std::string target(resolved);
  std::free(resolved);
  return target;
}

[[noreturn]] void fail_to_write(const std::string& path, int code) {
  throw io_error("cannot write: " + errno_text(code), path,
                 code == ENOSPC || code == EDQUOT || code == EFBIG
                     ? "make room or choose another folder"
                     : "check the folder and its permissions");
}

// Some files (devices, pipes) know no fsync; that is no failure.
void flush(int fd, const std::string& path) {
  if (::fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP) fail_to_write(path, errno);
}

}  // namespace

AtomicFile::AtomicFile(const std::string& path) : path_(resolve_link(path)) {
  struct stat status {};
  const bool exists = ::stat(path_.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) throw io_error("is a folder", path_, "name a file");
  if (path_.empty() || path_.back() == '/') throw io_error("names no file", path_, "name a file");
  if (exists && !S_ISREG(status.st_mode)) {
    // A device or pipe is written as it is: a rename would put a file in its place.
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd_ < 0) fail_to_write(path_, errno);
    return;
  }
  if (exists && ::access(path_.c_str(), W_OK) != 0) fail_to_write(path_, errno);
  static std::atomic<unsigned> counter{0};
  const std::string folder = folder_of(path_);
  int code = 0;
  do {
    free_slot(slot_);
    temporary_ = folder + "/.culatent-" + std::to_string(::getpid()) + "-" +
                 std::to_string(counter.fetch_add(1)) + ".tmp";
    // Known before it is there: a signal may come right after.
    slot_ = take_slot(temporary_);
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    code = fd_ < 0 ? errno : 0;
  } while (code == EEXIST);
  if (fd_ < 0) {
    free_slot(slot_);
    fail_to_write(path_, code);
  }
  if (ending) ::unlink(temporary_.c_str());  // a handler on another thread looked before
  // A replaced file keeps its permissions; where that is not allowed the umask's stand.
  if (exists) ::fchmod(fd_, status.st_mode & 07777);
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  free_slot(slot_);
}

void AtomicFile::write(const void* data, std::int64_t bytes) {
  constexpr std::int64_t kMaxWrite = std::int64_t{1} << 30;  // Linux writes at most 2 GiB at once
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const auto written = ::write(fd_, next, static_cast<std::size_t>(std::min(bytes, kMaxWrite)));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail_to_write(path_, written == 0 ? ENOSPC : errno);
    next += written;
    bytes -= written;
  }
}

void AtomicFile::commit() {
  flush(fd_, path_);
  const int fd = fd_;
  fd_ = -1;
  if (::close(fd) != 0 && errno != EINTR) fail_to_write(path_, errno);
  if (temporary_.empty()) return;
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_to_write(path_, errno);
  temporary_.clear();
  // The name itself is safe only when the folder is on the disk. Folders that cannot be opened or
  // flushed (some network file systems) leave that to the system.
  const int folder = ::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  ::fsync(folder);
  ::close(folder);
}

void remove_unfinished_files() noexcept {
  ending = true;
  for (Slot& slot : slots) {
    if (slot.used) ::unlink(slot.name.data());
  }
}

void write_file_atomically(const std::string& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content.data(), static_cast<std::int64_t>(content.size()));
  file.commit();
}

}  // namespace culatent::io
