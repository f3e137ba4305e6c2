#pragma once

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "culatent/context.hpp"
#include "culatent/dataset.hpp"
#include "host/cli/dtype.hpp"
#include "host/cli/json.hpp"
#include "host/cli/manual.hpp"
#include "host/cli/memory.hpp"
#include "host/cli/options.hpp"
#include "host/cli/run.hpp"
#include "host/io/npy_writer.hpp"
#include "host/io/safetensors.hpp"
#include "host/report/page_input.hpp"

/// What a METHOD tells the verbs. A new method is one file host/cli/<method>.cpp with a
/// `Method <method>_method()`, and one line in methods.cpp.
namespace culatent::cli {

/// What a fit works on.
struct FitInput {
  const Context& context;
  const Dataset& data;
  Dtype dtype;
  bool missing = false;
  std::optional<std::uint64_t> seed;  ///< absent: to be drawn
  std::span<const double> weights;    ///< one a row; empty: all 1
};

/// What a fit leaves.
struct FitOutput : RunOutput {
  std::string words;  ///< what was found, for people; may be empty
  std::function<void(const std::string& path, const std::string& options_json)> save;
  std::function<std::string(const Context& context, const report::PageInput& input)> page;
};

/// `culatent fit METHOD`: its options and the call of the library.
class FitCommand {
 public:
  virtual ~FitCommand() = default;
  virtual Manual manual() const = 0;
  virtual void add_options(CLI::App& app) = 0;
  /// After parsing: checks that need no data, and a look at files that complete the options.
  virtual void prepare() {}
  /// Files that the options name: {option, path}.
  virtual std::vector<std::pair<std::string, std::string>> inputs() const { return {}; }
  virtual std::string checkpoint() const { return ""; }
  virtual std::string weights() const { return ""; }
  virtual std::int64_t n_init() const { return 1; }
  /// False: rows with NaN are always an error, there is no --missing.
  virtual bool takes_missing() const { return true; }
  /// False: there is nothing to stop after, Ctrl-C ends the process.
  virtual bool iterative() const { return true; }
  /// What Progress::objective is called.
  virtual std::string objective() const { return "objective"; }
  /// The method's options as they take effect, for the report and the model file.
  virtual Json options() const = 0;
  virtual Plan plan(const FitInput& input) const = 0;
  virtual FitOutput fit(const FitInput& input) const = 0;
};

/// What predict, transform and score work on.
struct ApplyInput {
  const Context& context;
  const Dataset& data;
  Dtype dtype;
  bool missing = false;
  std::int64_t chunk_bytes = 0;               ///< results in memory at once
  std::int64_t chunk_rows = 0;                ///< 0: as many as chunk_bytes hold
  std::span<const std::int64_t> labels = {};  ///< score --labels, one a row; empty: none
};

/// What sample draws.
struct SampleInput {
  const Context& context;
  std::uint64_t seed = 0;
  std::int64_t rows = 0;
  Dtype dtype;
  std::int64_t chunk_bytes = 0;  ///< rows in memory at once
};

/// A model from a file. What a method cannot do throws invalid_argument, saying so.
class LoadedModel {
 public:
  virtual ~LoadedModel() = default;
  virtual std::int64_t n_features() const = 0;
  virtual std::int64_t memory_bytes() const = 0;

  /// Width of transform's rows.
  virtual std::int64_t n_outputs() const;
  /// Appends one int32 a row.
  virtual void predict(const ApplyInput& input, io::NpyWriter& out) const;
  /// Appends n_outputs() values a row.
  virtual void transform(const ApplyInput& input, io::NpyWriter& out) const;
  /// Keys of the method's row in the table; appends one value a row where `out` is given.
  virtual Json score(const ApplyInput& input, io::NpyWriter* out) const;
  /// Appends input.rows rows, and one int32 a row where `labels` is given.
  virtual void sample(const SampleInput& input, io::NpyWriter& out, io::NpyWriter* labels) const;

 protected:
  explicit LoadedModel(std::string method) : method_(std::move(method)) {}

 private:
  [[noreturn]] void unavailable(const std::string& verb, const std::string& what) const;
  std::string method_;
};

struct Method {
  std::string name;     ///< the METHOD word, and `culatent.method` in files
  std::string summary;  ///< half a line
  bool has_cuda_steps = false;
  bool has_cuda_missing = false;  ///< and with --missing
  bool scores_labels = false;     ///< score takes --labels
  std::unique_ptr<FitCommand> (*command)();
  /// True when a file without `culatent.method` holds such a model, by its tensors.
  bool (*recognises)(const io::TensorFile& file);
  /// Adds the options of predict, transform or score for such models; `load` sees their values.
  void (*add_apply_options)(CLI::App& app, const std::string& verb) = [](auto&, auto&) {};
  std::unique_ptr<LoadedModel> (*load)(const std::string& path, const CLI::App& app);

  bool runs_on_cuda(bool missing) const { return has_cuda_steps && (!missing || has_cuda_missing); }
};

const std::vector<Method>& methods();
/// Null when there is none of that name.
const Method* find_method(const std::string& name);
/// "gaussian-mixture, kde"
std::string method_names();
/// The method of a model file, and its metadata. Throws io_error for other files.
const Method& method_of(const std::string& path, const io::TensorFile& file);

/// What fit(rows) returns for the data's rows in input.dtype; counts what is read of their file.
template <class Work>
auto fit_counted(const FitInput& input, std::int64_t& bytes_read, Work&& fit) {
  return with_dtype(input.dtype, [&]<class T>() {
    const auto source = input.data.source<T>();
    const CountedRows<T> rows(*source, source->cols() * element_size(input.data.type()));
    auto result = fit(rows);
    bytes_read = rows.bytes();
    return result;
  });
}

/// Calls work(rows) for pieces of the data that take at most input.chunk_bytes of results.
template <class T, class Work>
void for_each_chunk(const ApplyInput& input, std::int64_t row_bytes, Work&& work) {
  const auto source = input.data.source<T>();
  const std::int64_t n = source->rows();
  // Whole blocks of 1024 rows, the library's unit of work.
  const std::int64_t fitting = input.chunk_bytes / std::max<std::int64_t>(row_bytes, 1);
  std::int64_t chunk = std::max<std::int64_t>(1024, fitting / 1024 * 1024);
  if (input.chunk_rows > 0) chunk = input.chunk_rows;
  for (std::int64_t first = 0; first < n; first += chunk) {
    const std::int64_t count = std::min(chunk, n - first);
    work(SlicedRows<T>(*source, first, count));
  }
}

/// Appends one Value for each of the data's rows: what work(rows, values) finds of a chunk.
template <class T, class Value, class Work>
void write_values(const ApplyInput& input, io::NpyWriter& out, Work&& work) {
  std::vector<Value> values;
  for_each_chunk<T>(input, sizeof(Value), [&](const RowSource<T>& rows) {
    values.resize(static_cast<std::size_t>(rows.rows()));
    work(rows, std::span(values));
    out.append(values.data(), rows.rows() * static_cast<std::int64_t>(sizeof(Value)));
  });
}

/// The same with `width` values a row.
template <class T, class Work>
void write_matrix(const ApplyInput& input, std::int64_t width, io::NpyWriter& out, Work&& work) {
  const std::int64_t row_bytes = width * static_cast<std::int64_t>(sizeof(T));
  Matrix<T> values;
  for_each_chunk<T>(input, row_bytes, [&](const RowSource<T>& rows) {
    if (values.rows() < rows.rows()) values = Matrix<T>(rows.rows(), width);
    work(rows, values.view().slice(0, rows.rows()));
    out.append(values.data(), rows.rows() * row_bytes);
  });
}

}  // namespace culatent::cli
