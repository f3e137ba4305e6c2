#include <fmt/format.h>

#include <cmath>

#include "culatent/error.hpp"
#include "host/cli/exit_code.hpp"
#include "host/cli/json.hpp"
#include "host/cli/manual.hpp"
#include "host/cli/paths.hpp"
#include "host/cli/verbs.hpp"
#include "host/cli/workplace.hpp"
#include "host/io/atomic_file.hpp"
#include "host/io/npy_writer.hpp"

namespace culatent::cli {
namespace {

constexpr std::int64_t kChunkBytes = std::int64_t{8} << 20;

// Calls work(view) for the rows, piece after piece.
template <class T, class Work>
void for_each_piece(const Dataset& data, Work&& work) {
  const auto source = data.source<T>();
  const std::int64_t row_bytes =
      std::max<std::int64_t>(1, data.cols() * static_cast<std::int64_t>(sizeof(T)));
  const std::int64_t chunk = std::max<std::int64_t>(1, kChunkBytes / row_bytes);
  Matrix<T> buffer(std::min(chunk, data.rows()), data.cols());
  for (std::int64_t first = 0; first < data.rows(); first += chunk) {
    const std::int64_t count = std::min(chunk, data.rows() - first);
    work(source->read(first, buffer.view().slice(0, count)));
  }
}

template <class T>
void write_npy(const Dataset& data, Dtype dtype, const std::string& path) {
  io::NpyWriter out(path, element_type(dtype), data.rows(), data.cols());
  const std::int64_t row_bytes = data.cols() * static_cast<std::int64_t>(sizeof(T));
  for_each_piece<T>(data, [&](MatrixView<const T> rows) {
    if (rows.stride == rows.cols) return out.append(rows.data, rows.rows * row_bytes);
    for (std::int64_t i = 0; i < rows.rows; ++i) out.append(rows.row(i), row_bytes);
  });
  out.commit();
}

// A field with a separator or a quote in it needs quotes.
std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + "\"";
}

// The shortest decimals that read back as the same bits; "nan" for a missing value.
template <class T>
void write_csv(const Dataset& data, const std::string& path) {
  io::AtomicFile file(path);
  std::string text;
  for (const std::string& column : data.column_names()) {
    text += (text.empty() ? "" : ",") + csv_field(column);
  }
  if (!text.empty()) text += '\n';
  for_each_piece<T>(data, [&](MatrixView<const T> rows) {
    for (std::int64_t i = 0; i < rows.rows; ++i) {
      for (std::int64_t j = 0; j < rows.cols; ++j) {
        if (j > 0) text += ',';
        const T value = rows(i, j);
        if (std::isnan(value)) {
          text += "nan";
        } else {
          fmt::format_to(std::back_inserter(text), "{}", value);
        }
      }
      text += '\n';
      if (text.size() > (std::size_t{1} << 20)) {
        file.write(text.data(), static_cast<std::int64_t>(text.size()));
        text.clear();
      }
    }
  });
  file.write(text.data(), static_cast<std::int64_t>(text.size()));
  file.commit();
}

}  // namespace

int convert_verb(const Arguments& arguments) {
  DataOptions data_options;
  std::string output;
  std::optional<Dtype> chosen;
  std::int64_t memory_limit = 0;
  CLI::App app;
  set_manual(
      app,
      {.name = "culatent convert",
       .summary = "write data in another format",
       .synopsis = "IN OUT [options]",
       .description = "Reads any format that `culatent fit` reads and writes .npy or .csv, by the "
                      "name of OUT. .npy files are mapped by later commands: converting a CSV once "
                      "saves reading it every time. Memory stays bounded except for what must be "
                      "decoded whole (CSV, .gz).",
       .files = "OUT receives the rows, [n,d]. CSV has the shortest decimals that read "
                "back as the same bits, and a header where IN had one.\n"
                "stdout receives one JSON object: n_rows, n_features, dtype, output.",
       .examples = " culatent convert points.csv points.npy --dtype float32\n"
                   " culatent convert train-images-idx3-ubyte.gz mnist.npy --scale "
                   "0.00392156862745098"});
  add_data(app, data_options, "IN");
  add_missing(app, data_options);
  app.add_option("OUT", output, "The file to write: NAME.npy or NAME.csv.")
      ->required()
      ->group("ARGUMENTS");
  add_dtype(app, chosen,
            "Type to write. Default: float64 for data of 8 bytes an element and CSV, otherwise "
            "float32.");
  add_memory_limit(app, memory_limit);
  if (!parse(app, arguments)) return kDone;

  const bool csv = output.ends_with(".csv");
  if (!csv && !output.ends_with(".npy")) {
    throw invalid_argument(fmt::format("'{}' names no format that can be written", output), "OUT",
                           "end it with .npy or .csv");
  }
  Paths paths;
  paths.input("IN", data_options.path);
  paths.output("OUT", output);
  paths.check();
  const Dataset data = open_data(data_options, memory_limit);
  const Dtype dtype = chosen.value_or(default_dtype(data));
  with_dtype(dtype, [&]<class T>() {
    if (csv) return write_csv<T>(data, output);
    write_npy<T>(data, dtype, output);
  });
  print_result({{"n_rows", data.rows()},
                {"n_features", data.cols()},
                {"dtype", name(dtype)},
                {"output", output}});
  return kDone;
}

}  // namespace culatent::cli
