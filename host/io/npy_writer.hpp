#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "culatent/dataset.hpp"
#include "host/io/atomic_file.hpp"

namespace culatent::io {

/// Writes one .npy (version 1, C order) row block by row block; nothing appears under `path`
/// before commit().
class NpyWriter {
 public:
  NpyWriter(const std::string& path, ElementType type, const std::vector<std::int64_t>& shape);
  /// A matrix; with cols = 0 a vector.
  NpyWriter(const std::string& path, ElementType type, std::int64_t rows, std::int64_t cols)
      : NpyWriter(path, type, cols == 0 ? Shape{rows} : Shape{rows, cols}) {}
  void append(const void* data, std::int64_t bytes);
  /// Checks that all rows came, then puts the file in place. Throws io_error.
  void commit();

 private:
  using Shape = std::vector<std::int64_t>;

  AtomicFile file_;
  std::int64_t expected_bytes_ = 0;
  std::int64_t written_bytes_ = 0;
};

}  // namespace culatent::io
