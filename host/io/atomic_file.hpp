#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace culatent::io {

/// A file that appears whole or not at all: written beside `path` under a temporary name, then
/// flushed to the disk (fsync) and renamed. The destructor removes what was not committed; so does
/// remove_unfinished_files(), which is safe in a signal handler.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, std::int64_t bytes);  ///< throws io_error (disk full, …)
  void commit();                                     ///< fsync, rename, fsync of the folder

 private:
  std::string path_;
  std::string temporary_;
  int fd_ = -1;
  int slot_ = -1;
};

/// Unlinks the temporary files of every AtomicFile that is open. Async-signal-safe.
void remove_unfinished_files() noexcept;

void write_file_atomically(const std::string& path, std::string_view content);

}  // namespace culatent::io
