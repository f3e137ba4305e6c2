#include "culatent/dataset.hpp"

#include <sys/stat.h>

#include <cmath>

#include "culatent/error.hpp"
#include "host/io/mapped_file.hpp"
#include "host/io/readers.hpp"

namespace culatent {

struct Dataset::State {
  std::string path;
  io::Table table;
  double scale = 1.0;
  std::optional<double> binarize;
  std::int64_t bytes_on_disk = 0;
};

namespace {

template <class T>
class DatasetRows final : public RowSource<T> {
 public:
  explicit DatasetRows(std::shared_ptr<const Dataset::State> state)
      : state_(std::move(state)),
        in_place_(state_->scale == 1.0 && !state_->binarize &&
                  io::is_in_place<T>(state_->table.elements)) {}
  std::int64_t rows() const override { return state_->table.elements.rows; }
  std::int64_t cols() const override { return state_->table.elements.cols; }
  bool in_place() const override { return in_place_; }

  MatrixView<const T> read(std::int64_t first, MatrixView<T> buffer) const override {
    if (first < 0 || buffer.rows < 0 || first > rows() - buffer.rows) {
      throw invalid_argument("rows " + std::to_string(first) + " and " +
                                 std::to_string(buffer.rows) + " on are not in the file",
                             state_->path, "it has " + std::to_string(rows()) + " rows");
    }
    if (in_place_) return io::in_place_view<T>(state_->table.elements, first, buffer.rows);
    io::convert<T>(state_->table.elements, state_->scale, first, buffer);
    if (state_->binarize) binarize(static_cast<T>(*state_->binarize), buffer);
    return buffer;
  }

 private:
  static void binarize(T threshold, MatrixView<T> rows) {
    for (std::int64_t i = 0; i < rows.rows; ++i) {
      for (std::int64_t j = 0; j < rows.cols; ++j) {
        T& value = rows(i, j);
        if (!std::isnan(value)) value = value > threshold ? T{1} : T{0};
      }
    }
  }

  std::shared_ptr<const Dataset::State> state_;
  bool in_place_;
};

bool exists(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0;
}

struct Location {
  std::string file;
  std::string member;  // what follows the ':', if anything
};

// "file.npz:member", unless a file of that whole name exists. The name of a missing file stays
// whole, for the error that follows.
Location locate(const std::string& path) {
  if (exists(path)) return {path, ""};
  for (auto colon = path.find(':'); colon != std::string::npos; colon = path.find(':', colon + 1)) {
    const std::string file = path.substr(0, colon);
    struct stat status {};
    if (::stat(file.c_str(), &status) == 0 && S_ISREG(status.st_mode)) {
      return {file, path.substr(colon + 1)};
    }
  }
  return {path, ""};
}

std::shared_ptr<const Dataset::State> open(const std::string& path, const DatasetOptions& options) {
  if (!std::isfinite(options.scale)) {
    throw invalid_argument("scale is not a finite number", path, "give one");
  }
  if (options.binarize && !std::isfinite(*options.binarize)) {
    throw invalid_argument("binarize is not a finite number", path, "give a threshold");
  }
  if (options.memory_limit < 0) {
    throw invalid_argument("memory_limit is negative", path, "give bytes, or 0 for no limit");
  }
  const Location location = locate(path);
  const io::Bytes bytes = io::map_file(location.file);
  auto state = std::make_shared<Dataset::State>();
  state->path = path;
  state->scale = options.scale;
  state->binarize = options.binarize;
  state->bytes_on_disk = bytes.size;
  state->table = io::read_table(bytes, location.member, options);
  if (state->table.format != "csv") {  // read_csv has applied them
    state->table.elements = io::select(state->table.elements, options.rows, options.columns, path);
  }
  return state;
}

template <class T>
std::vector<T> read_column(const Dataset::State& state) {
  const io::Elements& elements = state.table.elements;
  if (elements.cols != 1) {
    throw io_error(std::to_string(elements.cols) + " columns instead of 1", state.path,
                   "give one number a row");
  }
  std::vector<T> values(static_cast<std::size_t>(elements.rows));
  io::convert<T>(elements, 1.0, 0, {values.data(), elements.rows, 1});
  return values;
}

}  // namespace

std::int64_t element_size(ElementType type) {
  switch (type) {
    case ElementType::u1:
    case ElementType::i1:
      return 1;
    case ElementType::i2:
      return 2;
    case ElementType::f4:
    case ElementType::i4:
      return 4;
    case ElementType::f8:
    case ElementType::i8:
      return 8;
  }
  throw invalid_argument("unknown element type", "element_size", "give one of ElementType");
}

const char* element_name(ElementType type) {
  switch (type) {
    case ElementType::f4:
      return "float32";
    case ElementType::f8:
      return "float64";
    case ElementType::u1:
      return "uint8";
    case ElementType::i1:
      return "int8";
    case ElementType::i2:
      return "int16";
    case ElementType::i4:
      return "int32";
    case ElementType::i8:
      return "int64";
  }
  throw invalid_argument("unknown element type", "element_name", "give one of ElementType");
}

Dataset::Dataset(std::shared_ptr<const State> state) : state_(std::move(state)) {}
std::int64_t Dataset::rows() const { return state_->table.elements.rows; }
std::int64_t Dataset::cols() const { return state_->table.elements.cols; }
ElementType Dataset::type() const { return state_->table.elements.type; }
const std::string& Dataset::format() const { return state_->table.format; }
const std::string& Dataset::path() const { return state_->path; }
std::int64_t Dataset::bytes_in_memory() const { return state_->table.bytes_in_memory; }
std::int64_t Dataset::bytes_on_disk() const { return state_->bytes_on_disk; }
const std::vector<std::string>& Dataset::column_names() const { return state_->table.column_names; }

template <class T>
std::unique_ptr<RowSource<T>> Dataset::source() const {
  return std::make_unique<DatasetRows<T>>(state_);
}
template std::unique_ptr<RowSource<float>> Dataset::source() const;
template std::unique_ptr<RowSource<double>> Dataset::source() const;

Dataset open_dataset(const std::string& path, const DatasetOptions& options) {
  return Dataset(open(path, options));
}

std::vector<double> read_vector(const std::string& path) {
  return read_column<double>(*open(path, {}));
}

std::vector<std::int64_t> read_labels(const std::string& path) {
  const auto state = open(path, {});
  const ElementType type = state->table.elements.type;
  if (type != ElementType::f4 && type != ElementType::f8) return read_column<std::int64_t>(*state);
  std::vector<std::int64_t> labels;
  for (const double value : read_column<double>(*state)) {
    constexpr double kExact = 9007199254740992.0;  // 2^53: integers up to here are exact
    if (!(std::abs(value) <= kExact) || value != std::floor(value)) {
      throw io_error("label " + std::to_string(value) + " is not an integer",
                     path + ", row " + std::to_string(labels.size()), "give integers");
    }
    labels.push_back(static_cast<std::int64_t>(value));
  }
  return labels;
}

}  // namespace culatent
