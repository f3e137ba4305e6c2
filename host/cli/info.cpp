#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "host/cli/exit_code.hpp"
#include "host/cli/json.hpp"
#include "host/cli/manual.hpp"
#include "host/cli/method.hpp"
#include "host/cli/verbs.hpp"
#include "host/cli/workplace.hpp"

namespace culatent::cli {
namespace {

// The method that the metadata name or, for files from elsewhere, the tensors show.
Json method_name(const io::TensorFile& file) {
  const auto named = file.metadata.find("culatent.method");
  if (named != file.metadata.end()) return named->second;
  for (const Method& method : methods()) {
    if (method.recognises(file)) return method.name;
  }
  return nullptr;
}

Json tensor_info(const std::string& path) {
  const io::TensorFile file = io::read_tensors(path);  // throws when the checksum is wrong
  Json metadata = Json::object();
  for (const auto& [key, value] : file.metadata) metadata[key] = value;
  Json tensors = Json::array();
  for (const auto& [tensor, content] : file.tensors) {
    tensors.push_back({{"name", tensor}, {"shape", content.shape}});
  }
  Json info = {{"file", path}, {"kind", "model"}, {"method", method_name(file)}};
  for (const char* key : {"culatent.version", "culatent.format"}) {
    const auto found = file.metadata.find(key);
    if (found != file.metadata.end()) info[std::string(key).substr(9)] = found->second;
  }
  const auto width = file.metadata.find("culatent.n_features");
  if (width != file.metadata.end()) info["n_features"] = Json::parse(width->second, nullptr, false);
  info["checksum"] = file.metadata.contains("culatent.checksum") ? "verified" : "absent";
  info["tensors"] = tensors;
  info["metadata"] = metadata;
  return info;
}

struct ColumnSummary {
  double min = std::numeric_limits<double>::infinity();
  double max = -std::numeric_limits<double>::infinity();
  long double sum = 0.0L;  // wide enough that no column of doubles overflows it
  std::int64_t count = 0;
  std::int64_t nan = 0;
  std::int64_t infinite = 0;

  void add(double value) {
    if (std::isnan(value)) {
      ++nan;
      return;
    }
    if (std::isinf(value)) {
      ++infinite;
      return;
    }
    min = std::min(min, value);
    max = std::max(max, value);
    sum += static_cast<long double>(value);
    ++count;
  }
};

Json data_info(const Dataset& data) {
  const auto source = data.source<double>();
  constexpr std::int64_t kBufferBytes = std::int64_t{4} << 20;
  const std::int64_t row_bytes = std::max<std::int64_t>(8, 8 * data.cols());
  const std::int64_t chunk = std::max<std::int64_t>(1, kBufferBytes / row_bytes);
  Matrix<double> buffer(std::min(chunk, data.rows()), data.cols());
  std::vector<ColumnSummary> columns(static_cast<std::size_t>(data.cols()));
  for (std::int64_t first = 0; first < data.rows(); first += chunk) {
    const std::int64_t count = std::min(chunk, data.rows() - first);
    const MatrixView<const double> rows = source->read(first, buffer.view().slice(0, count));
    for (std::int64_t i = 0; i < count; ++i) {
      for (std::int64_t j = 0; j < rows.cols; ++j) {
        columns[static_cast<std::size_t>(j)].add(rows(i, j));
      }
    }
  }
  Json list = Json::array();
  for (std::size_t j = 0; j < columns.size(); ++j) {
    const ColumnSummary& column = columns[j];
    const bool any = column.count > 0;
    Json entry = Json::object();
    if (!data.column_names().empty()) entry["name"] = data.column_names()[j];
    entry["min"] = any ? Json(column.min) : Json(nullptr);
    entry["max"] = any ? Json(column.max) : Json(nullptr);
    entry["mean"] =
        any ? Json(static_cast<double>(column.sum / static_cast<long double>(column.count)))
            : Json(nullptr);
    entry["nan"] = column.nan;
    entry["infinite"] = column.infinite;
    list.push_back(entry);
  }
  return {{"file", data.path()},
          {"kind", "data"},
          {"format", data.format()},
          {"type", element_name(data.type())},
          {"n_rows", data.rows()},
          {"n_features", data.cols()},
          {"bytes_on_disk", data.bytes_on_disk()},
          {"bytes_in_memory", data.bytes_in_memory()},
          {"columns", list}};
}

}  // namespace

int info_verb(const Arguments& arguments) {
  DataOptions options;
  std::int64_t memory_limit = 0;
  CLI::App app;
  set_manual(
      app, {.name = "culatent info",
            .summary = "describe a model or data file",
            .synopsis = "FILE [options]",
            .description =
                "Of a model: its method, tensors and metadata; its checksum is verified, and a "
                "damaged file ends with status 3. Of data: format, type, shape, and of each column "
                "the least, greatest and mean value and the number of NaN and infinite ones, which "
                "the others leave out.",
            .files = "stdout receives one JSON object. Model: file, kind, method, version, format, "
                     "n_features, checksum (verified or absent), tensors, metadata. Data: file, "
                     "kind, format, type, n_rows, n_features, bytes_on_disk, bytes_in_memory, "
                     "columns.",
            .examples = " culatent info m.safetensors\n culatent info points.csv"});
  add_data(app, options, "FILE");
  add_memory_limit(app, memory_limit);
  if (!parse(app, arguments)) return kDone;
  if (io::is_tensor_file(options.path)) {
    print_result(tensor_info(options.path));
  } else {
    options.reading.missing = true;  // counted, not refused
    print_result(data_info(open_data(options, memory_limit)));
  }
  return kDone;
}

}  // namespace culatent::cli
