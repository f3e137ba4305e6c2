#include "host/cli/run.hpp"

#include <fmt/format.h>

#include "culatent/version.hpp"
#include "host/cli/interrupt.hpp"

namespace culatent::cli {

void add_dry_run(CLI::App& app, RunOptions& options) {
  app.add_flag("--dry-run", options.dry_run,
               "Do not fit: print the memory plan {rows, columns, chunk_rows, host_bytes, "
               "device_bytes}; status 4 when it cannot fit --memory-limit.")
      ->group("MACHINE OPTIONS");
}

void add_report(CLI::App& app, RunOptions& options) {
  add_file(app, "--report", options.report,
           "Write the JSON object that stdout receives to FILE as well.")
      ->group(kOutputGroup);
}

CLI::Option* add_page(CLI::App& app, RunOptions& options) {
  CLI::Option* html =
      add_file(app, "--html", options.html,
               "Write a page about the fit, self-contained, to look at in a browser.")
          ->group(kOutputGroup);
  add_file(app, "--labels", options.labels,
           "Classes known beforehand, for the colours of the page: .npy or IDX of n integers.")
      ->needs(html)
      ->group(kOutputGroup);
  return html;
}

std::vector<std::int64_t> read_row_labels(const std::string& path, std::int64_t n_rows) {
  std::vector<std::int64_t> labels = read_labels(path);
  if (static_cast<std::int64_t>(labels.size()) != n_rows) {
    throw data_error(fmt::format("{} labels for {} rows", labels.size(), n_rows), path,
                     "give one a row of the data");
  }
  return labels;
}

Observer RunObserver::observer() {
  return [this](const Progress& progress) {
    peak_.look();
    reporter_.show(progress);
    return !stop_requested();
  };
}

Json plan_json(const Plan& plan, std::int64_t held_bytes) {
  return {{"rows", plan.rows},
          {"columns", plan.columns},
          {"chunk_rows", plan.chunk_rows},
          {"host_bytes", plan.host_bytes + held_bytes},
          {"device_bytes", plan.device_bytes},
          {"threads", plan.n_workers}};
}

Json run_report(const RunOptions& options, const RunFacts& facts, const RunOutput& out) {
  Json report = {{"method", facts.method},
                 {"n_rows", facts.data.rows()},
                 {"n_features", facts.data.cols()},
                 {"options", facts.method_options},
                 {"seed", out.seed},
                 {"device", facts.context.device()},
                 {"dtype", name(facts.dtype)}};
  if (out.interrupted) report["interrupted"] = true;
  report.update(out.results);
  report["seconds"] = {{"load", facts.load_seconds},
                       {"init", out.seconds.init},
                       {"fit", out.seconds.fit},
                       {"total", facts.load_seconds + out.seconds.total}};
  report["memory"] = {{"planned_bytes", out.plan.host_bytes + facts.held_bytes},
                      {"peak_host_bytes", facts.peak_bytes},
                      {"peak_device_bytes", facts.context.peak_device_bytes()}};
  report["bytes_read"] = out.bytes_read;
  report["chunk_rows"] = out.plan.chunk_rows;
  report["threads"] = out.plan.n_workers;
  report["data"] = options.data.path;
  // What was done to the values as they were read: whoever applies the model must do the same.
  const DatasetOptions& reading = options.data.reading;
  if (reading.scale != 1.0) report["scale"] = reading.scale;
  if (reading.binarize) report["binarize"] = *reading.binarize;
  report[facts.product] = facts.product_path;
  report["version"] = CULATENT_VERSION;
  report["warnings"] = to_json(out.warnings);
  announce_non_finite(report);
  return report;
}

}  // namespace culatent::cli
