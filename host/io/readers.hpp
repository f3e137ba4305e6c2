#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/io/bytes.hpp"
#include "host/io/elements.hpp"

/// One function a format. Each looks at bytes alone, so that tests and fuzzers need no files, and
/// throws io_error naming byte or line for everything that the format does not allow.
namespace culatent::io {

/// What a reader found: elements that lie in the file's bytes, or in memory of their own.
struct Table {
  std::string format;
  Elements elements;
  std::shared_ptr<const void> owner;
  std::int64_t bytes_in_memory = 0;
  std::vector<std::string> column_names;
};

/// NumPy's .npy, versions 1 to 3, C or Fortran order, either byte order. One dimension is n x 1;
/// dimensions after the first are flattened in C order.
Table read_npy(const Bytes& bytes);

/// One array of a .npz. `member` may be empty when there is only one. Stored members stay mapped;
/// deflated ones are inflated into at most `memory_limit` bytes.
Table read_npz(const Bytes& bytes, const std::string& member, std::int64_t memory_limit);

/// IDX (the format of MNIST): rows of the first dimension, the others flattened.
Table read_idx(const Bytes& bytes);

/// fvecs (f4), bvecs (u1) and ivecs (i4): before every row its length as int32.
Table read_vecs(const Bytes& bytes, ElementType type);

/// Nothing but elements, row by row. `rows` absent: as many as the file holds.
Table read_raw(const Bytes& bytes, std::optional<std::int64_t> rows, std::int64_t cols,
               ElementType type);

struct CsvOptions {
  Range rows = {};  ///< only these rows and columns are read as numbers; the rest may be text
  Range columns = {};
  bool missing = false;           ///< empty, NA and nan are NaN rather than an error
  std::int64_t memory_limit = 0;  ///< bytes that the numbers may take; 0: no limit
  int n_threads = 0;              ///< 0: every processor of this process
};

/// Text, one row a line: see csv_reader.cpp for what is understood. The ranges are applied.
Table read_csv(const Bytes& bytes, const CsvOptions& options);

/// The bytes in a .gz, in at most `memory_limit` bytes of memory.
Bytes read_gzip(const Bytes& bytes, std::int64_t memory_limit);

/// Reads `bytes` in the format that the first bytes and the name tell; decompresses .gz first.
/// `member` is what followed the file's name and a ':'. The row and column ranges of `options` are
/// applied to CSV alone.
Table read_table(Bytes bytes, const std::string& member, const DatasetOptions& options);

}  // namespace culatent::io
