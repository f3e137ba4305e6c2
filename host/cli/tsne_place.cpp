#include <fmt/format.h>

#include "culatent/error.hpp"
#include "culatent/version.hpp"
#include "host/cli/clock.hpp"
#include "host/cli/exit_code.hpp"
#include "host/cli/paths.hpp"
#include "host/cli/tsne.hpp"
#include "host/io/atomic_file.hpp"

namespace culatent::cli {
namespace {

// The reference as DATA are read, but all of its rows; its embedding as it is.
Dataset open_reference(const RunOptions& options, const std::string& path, std::int64_t limit) {
  DataOptions data = options.data;
  data.path = path;
  data.reading.rows = {};
  data.reading.raw_rows.reset();
  data.reading.raw_cols.reset();
  return open_data(data, limit, static_cast<int>(options.machine.threads));
}

}  // namespace

int place_rows(const RunOptions& options, const PlaceOptions& place, const std::string& output) {
  const std::string device = choose_device(options.machine, false, "tsne --reference");
  Paths paths;
  paths.input("DATA", options.data.path);
  paths.input("--reference", place.reference);
  paths.input("--reference-embedding", place.embedding);
  paths.output("--output", output);
  paths.output("--report", options.report);
  paths.check();

  const double start = seconds_since_start();
  std::int64_t limit = options.machine.memory_limit;
  const Dataset data = open_data(options.data, limit, static_cast<int>(options.machine.threads));
  limit = limit_after(limit, data.bytes_in_memory(), "the decoded data");
  const Dataset reference = open_reference(options, place.reference, limit);
  limit = limit_after(limit, reference.bytes_in_memory(), "the decoded reference");
  const Matrix<float> embedding = read_embedding(place.embedding, limit);
  limit = limit_after(limit, checked_product(embedding.size(), sizeof(float)), "the embedding");
  const double loaded = seconds_since_start();

  RunObserver watch(options.progress, "kl");
  Context::Options machine = context_options(options.machine, limit, device);
  machine.observer = watch.observer();
  const Context context(machine);
  const Matrix<float> placed =
      tsne::transform(context, *reference.source<float>(), embedding.view(), *data.source<float>(),
                      place.transform);
  watch.clear();
  const double done = seconds_since_start();
  const tsne::TransformOptions& used = place.transform;
  const Json report = {
      {"method", "tsne"},
      {"n_rows", data.rows()},
      {"n_features", data.cols()},
      {"n_reference_rows", reference.rows()},
      {"options",
       {{"perplexity", used.perplexity},
        {"max_iter", used.max_iter},
        {"learning_rate", used.learning_rate},
        {"momentum", used.momentum},
        {"exaggeration", used.exaggeration}}},
      {"device", context.device()},
      {"dtype", "float32"},
      {"seconds",
       {{"load", loaded - start}, {"init", 0.0}, {"fit", done - loaded}, {"total", done - start}}},
      {"memory",
       {{"peak_host_bytes", watch.peak_bytes()},
        {"peak_device_bytes", context.peak_device_bytes()}}},
      {"data", options.data.path},
      {"reference", place.reference},
      {"reference_embedding", place.embedding},
      {"output", output},
      {"version", CULATENT_VERSION},
      {"warnings", Json::array()}};
  write_embedding(output, placed);
  if (!options.report.empty()) io::write_file_atomically(options.report, to_text(report));
  print_result(report);
  return kDone;
}

}  // namespace culatent::cli
