#pragma once

#include <string>
#include <vector>

namespace culatent::cli {

/// The files of one command. An output that is an input or another output, by whatever name or
/// link, is refused before anything is read; so is one that could not be written at the end.
class Paths {
 public:
  /// `option` is what the user knows the file by ("--model", "DATA"). Empty paths are left out.
  /// "file.npz:member" stands for file.npz.
  void input(const std::string& option, const std::string& path);
  void output(const std::string& option, const std::string& path);

  /// Throws invalid_argument for a collision, io_error for an output whose folder is missing or
  /// not writable, or that is a folder or a device.
  void check() const;

 private:
  struct File {
    std::string option;
    std::string path;
    bool output = false;
  };
  std::vector<File> files_;
};

}  // namespace culatent::cli
