#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "culatent/rows.hpp"

/// Data files: .npy, .npz member, CSV, IDX, fvecs/bvecs, raw.
namespace culatent {

/// How an element is stored in a file.
enum class ElementType { f4, f8, u1, i1, i2, i4, i8 };

std::int64_t element_size(ElementType type);
const char* element_name(ElementType type);  ///< "float32", "uint8", …

/// Half-open range; `last` absent: to the end.
struct Range {
  std::int64_t first = 0;
  std::optional<std::int64_t> last = {};
};

struct DatasetOptions {
  Range rows = {};
  Range columns = {};
  double scale = 1.0;  ///< every value is multiplied by it when read
  /// Values, scaled, become 1 where they are greater than it and 0 elsewhere; NaN stays.
  std::optional<double> binarize = {};
  std::optional<std::int64_t> raw_rows = {};  ///< raw files: shape and type are given by the caller
  std::optional<std::int64_t> raw_cols = {};
  ElementType raw_type = ElementType::f4;
  bool missing = false;           ///< CSV: an empty field is NaN rather than an error
  std::int64_t memory_limit = 0;  ///< formats that cannot be mapped may take this much; 0: no limit
  int n_threads = 0;              ///< CSV: threads that parse; 0: all processors of this process
};

/// An open data file: a matrix of n_rows x n_cols elements of one type, mapped where the format
/// allows (nothing is read yet), otherwise decoded into memory. Copies share the mapping.
class Dataset {
 public:
  std::int64_t rows() const;
  std::int64_t cols() const;
  ElementType type() const;
  const std::string& format() const;  ///< "npy", "npz", "csv", "idx", "fvecs", "bvecs", "raw"
  const std::string& path() const;
  std::int64_t bytes_in_memory() const;  ///< anonymous bytes held: 0 when mapped
  std::int64_t bytes_on_disk() const;
  const std::vector<std::string>& column_names() const;  ///< CSV header, otherwise empty

  /// The rows as T (float or double). The source keeps the file open.
  template <class T>
  std::unique_ptr<RowSource<T>> source() const;

  struct State;  ///< internal
  explicit Dataset(std::shared_ptr<const State> state);

 private:
  std::shared_ptr<const State> state_;
};

/// Opens `path`; "file.npz:member" names one array of an archive. The format follows from the name
/// and the first bytes. Throws io_error naming path and byte (or line) for every malformed file,
/// out_of_memory when the data must be decoded into memory and do not fit memory_limit.
Dataset open_dataset(const std::string& path, const DatasetOptions& options = {});

/// One column of n numbers (row weights) as double. Throws like open_dataset.
std::vector<double> read_vector(const std::string& path);

/// One integer a row (class labels) from .npy or IDX. Throws like open_dataset.
std::vector<std::int64_t> read_labels(const std::string& path);

}  // namespace culatent
