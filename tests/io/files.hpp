#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "culatent/dataset.hpp"
#include "culatent/error.hpp"
#include "host/io/bytes.hpp"
#include "tests/errors.hpp"

/// Files made byte by byte, and what to expect of a reader.
namespace culatent::io::testing {

/// A folder of its own for each test, removed at the end.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "culatent-io-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make " + name);
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string path(const std::string& name) const { return (path_ / name).string(); }
  /// Writes `content` and returns the file's path.
  std::string file(const std::string& name, const std::string& content) const {
    std::ofstream(path(name), std::ios::binary) << content;
    return path(name);
  }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
      all.push_back(entry.path().filename().string());
    }
    return all;
  }

 private:
  std::filesystem::path path_;
};

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// The bytes of numbers one after the other, least significant byte first.
template <class T>
std::string little(std::initializer_list<T> values) {
  std::string bytes;
  for (const T value : values) {
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    bytes.append(raw, sizeof(T));
  }
  return bytes;
}

/// Most significant byte first.
template <class T>
std::string big(std::initializer_list<T> values) {
  std::string bytes;
  for (const T value : values) {
    const std::string one = little<T>({value});
    bytes.append(one.rbegin(), one.rend());
  }
  return bytes;
}

/// A .npy of version `major` with the given header text and data.
inline std::string npy(const std::string& dictionary, const std::string& data, int major = 1) {
  std::string text = dictionary + "\n";
  std::string bytes("\x93NUMPY");
  bytes.push_back(static_cast<char>(major));
  bytes.push_back('\0');
  bytes += major == 1 ? little<std::uint16_t>({static_cast<std::uint16_t>(text.size())})
                      : little<std::uint32_t>({static_cast<std::uint32_t>(text.size())});
  return bytes + text + data;
}

inline std::string npy_header(const std::string& descr, const std::string& shape,
                              const std::string& fortran = "False") {
  return "{'descr': '" + descr + "', 'fortran_order': " + fortran + ", 'shape': " + shape + ", }";
}

inline Bytes bytes_of(const std::string& content, const std::string& name = "test") {
  Bytes bytes;
  bytes.data = reinterpret_cast<const unsigned char*>(content.data());
  bytes.size = static_cast<std::int64_t>(content.size());
  bytes.name = name;
  return bytes;
}

/// Every value, row by row, through source<T>().
template <class T = double>
std::vector<T> values(const Dataset& dataset) {
  const auto source = dataset.source<T>();
  std::vector<T> all;
  for (std::int64_t i = 0; i < source->rows(); ++i) {
    std::vector<T> buffer(static_cast<std::size_t>(source->cols()));
    const auto row = source->read(i, {buffer.data(), 1, source->cols()});
    all.insert(all.end(), row.data, row.data + row.cols);
  }
  return all;
}

using errors::expect_contains;

/// The text of the io_error that `action` must throw.
template <class Action>
std::string io_error_of(const Action& action) {
  return errors::error_of<io_error>(action);
}

/// Every proper prefix of a good file must be refused. Each is a heap block of its exact size, so
/// that a sanitizer sees a read beyond it.
template <class Read>
void expect_every_cut_refused(const std::string& content, const Read& read) {
  for (std::size_t length = 0; length < content.size(); ++length) {
    const std::vector<char> cut(content.begin(),
                                content.begin() + static_cast<std::ptrdiff_t>(length));
    Bytes bytes;
    bytes.data = reinterpret_cast<const unsigned char*>(cut.data());
    bytes.size = static_cast<std::int64_t>(length);
    bytes.name = "cut";
    EXPECT_THROW(read(bytes), io_error) << "cut to " << length << " bytes";
  }
}

}  // namespace culatent::io::testing
