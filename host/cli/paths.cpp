#include "host/cli/paths.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "culatent/error.hpp"

namespace culatent::cli {
namespace {

namespace fs = std::filesystem;

bool exists(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

// The file that "archive.npz:member" or "file.h5:/path" lies in, unless the whole is a file's name.
std::string without_member(const std::string& path) {
  const auto colon = path.rfind(':');
  if (colon == std::string::npos || colon == 0 || exists(path)) return path;
  return path.substr(0, colon);
}

bool same_file(const std::string& a, const std::string& b) {
  std::error_code error;
  if (exists(a) && exists(b)) return fs::equivalent(a, b, error);  // also through hard links
  const fs::path canonical_a = fs::weakly_canonical(fs::absolute(a), error);
  const fs::path canonical_b = fs::weakly_canonical(fs::absolute(b), error);
  return canonical_a == canonical_b;
}

void check_writable(const std::string& option, const std::string& path) {
  std::error_code error;
  if (exists(path) && !fs::is_regular_file(path, error)) {
    throw io_error(fmt::format("{} is not a regular file", path), option,
                   "give the name of a file to write");
  }
  fs::path folder = fs::path(path).parent_path();
  if (folder.empty()) folder = ".";
  if (!fs::is_directory(folder, error)) {
    throw io_error(fmt::format("{} is no folder", folder.string()), option,
                   "make it, or give another place for " + path);
  }
  if (access(folder.c_str(), W_OK | X_OK) != 0) {
    throw io_error(
        fmt::format("{} cannot be written to, {}", folder.string(), std::strerror(errno)), option,
        "give another place for " + path);
  }
}

}  // namespace

void Paths::input(const std::string& option, const std::string& path) {
  if (!path.empty()) files_.push_back({option, without_member(path), false});
}

void Paths::output(const std::string& option, const std::string& path) {
  if (!path.empty()) files_.push_back({option, path, true});
}

void Paths::check() const {
  for (const File& file : files_) {
    if (!file.output) continue;
    for (const File& other : files_) {
      if (&other == &file || (other.output && &other > &file)) continue;
      if (same_file(file.path, other.path)) {
        throw invalid_argument(fmt::format("{} is also {}", file.path, other.option), file.option,
                               "write to another file");
      }
    }
  }
  for (const File& file : files_) {
    if (file.output) check_writable(file.option, file.path);
  }
}

}  // namespace culatent::cli
