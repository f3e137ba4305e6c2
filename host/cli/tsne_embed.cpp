#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <string_view>

#include "culatent/error.hpp"
#include "host/cli/clock.hpp"
#include "host/cli/exit_code.hpp"
#include "host/cli/interrupt.hpp"
#include "host/cli/manual.hpp"
#include "host/cli/numbers.hpp"
#include "host/cli/paths.hpp"
#include "host/cli/tsne.hpp"
#include "host/cli/tsne_snapshots.hpp"
#include "host/cli/verbs.hpp"
#include "host/io/atomic_file.hpp"
#include "host/report/sample_rows.hpp"
#include "host/report/tsne_page.hpp"

namespace culatent::cli {
namespace {

// The files that are in memory while the fit runs.
struct Loaded {
  Dataset data;
  std::vector<std::int64_t> labels;
  Matrix<float> start;

  std::int64_t held_bytes() const {
    return data.bytes_in_memory() + 8 * static_cast<std::int64_t>(labels.size()) + 4 * start.size();
  }
};

Loaded load(EmbedOptions& options, const CLI::App& app) {
  const std::int64_t limit = options.machine.memory_limit;
  Loaded loaded{open_data(options.data, limit, static_cast<int>(options.machine.threads)), {}, {}};
  const std::int64_t n = loaded.data.rows();
  if (!options.labels.empty()) loaded.labels = read_row_labels(options.labels, n);
  if (!options.has_init_file()) return loaded;
  loaded.start = read_embedding(
      options.init, limit_after(limit, loaded.held_bytes(), "what is held of the files"));
  const std::int64_t q = loaded.start.cols();
  if (app.count("--dimensions") == 0 && q >= 1 && q <= 3) options.dimensions = q;
  if (loaded.start.rows() != n || q != options.dimensions) {
    throw data_error(fmt::format("{}x{} positions for {} rows in {} dimensions",
                                 loaded.start.rows(), q, n, options.dimensions),
                     options.init, "give a position a row");
  }
  return loaded;
}

Json results_json(const tsne::Fit& fit) {
  Json trace = Json::array();
  for (const tsne::TraceEntry& entry : fit.trace) {
    Json values = {{"gradient_norm", entry.gradient_norm}};
    if (!std::isnan(entry.kl)) values["kl"] = entry.kl;
    trace.push_back(values);
  }
  return {{"n_iter", fit.n_iter},
          {"converged", fit.converged},
          {"objective", fit.kl},
          {"kl", fit.kl},
          {"exact_kl", fit.exact_kl},
          {"repulsion", tsne::name(fit.repulsion)},
          {"affinities", tsne::name(fit.affinities)},
          {"n_affinities", fit.n_affinities},
          {"recall", fit.recall},
          {"n_unreached", fit.n_unreached},
          {"trace", trace}};
}

std::string page(const EmbedOptions& options, const Loaded& loaded, const tsne::Fit& fit,
                 PageFrames& frames, const Json& report) {
  report::RowSample sample =
      report::sample_rows(MatrixRows<float>(fit.embedding.view()), frames.rows());
  report::PageInput content;
  content.source = options.data.path;
  content.command = command_line();
  content.dtype = name(Dtype::float32);
  content.n_rows = loaded.data.rows();
  for (const std::int64_t row : sample.index) {
    if (!loaded.labels.empty()) {
      content.labels.push_back(loaded.labels[static_cast<std::size_t>(row)]);
    }
  }
  content.sample = std::move(sample.rows);
  content.report_json = to_text(report);
  return report::tsne_page(fit, content,
                           {std::move(sample.index), loaded.data.cols(), frames.take()});
}

void check_paths(const EmbedOptions& options) {
  Paths paths;
  paths.input("DATA", options.data.path);
  paths.input("--labels", options.labels);
  paths.input("--init", options.has_init_file() ? options.init : "");
  paths.output("--output", options.output);
  paths.output("--report", options.report);
  paths.output("--html", options.html);
  paths.output("--snapshots", options.snapshots);
  paths.output("--checkpoint", options.checkpoint.path);
  paths.check();
}

int fit_rows(EmbedOptions& options, const CLI::App& app) {
  const std::string device = choose_device(options.machine, true, "tsne");
  check_paths(options);
  const double start = seconds_since_start();
  Loaded loaded = load(options, app);
  const double load_seconds = seconds_since_start() - start;
  PageFrames frames(options, loaded.data.rows());
  const std::int64_t held = loaded.held_bytes() + frames.bytes();

  Context::Options machine = context_options(
      options.machine, limit_after(options.machine.memory_limit, held, "what is held of the files"),
      device);
  RunObserver watch(options.progress, "kl");
  machine.observer = watch.observer();
  const Context context(machine);
  tsne::Options to = library_options(options);
  to.start = std::move(loaded.start);
  const auto source = loaded.data.source<float>();
  if (options.dry_run) {
    return dry_run(options, context, held,
                   [&](const Context& place) { return tsne::plan(place, *source, to); });
  }

  on_interrupt(OnInterrupt::stop);
  SnapshotFile snapshots(options.snapshots);
  if (options.shows_frames() || snapshots.wanted()) {
    to.snapshot = [&](const tsne::Snapshot& snapshot) {
      if (options.shows_frames()) frames.add(snapshot);
      if (snapshots.wanted()) snapshots.add(snapshot);
      return true;
    };
  }
  const CountedRows<float> rows(*source, source->cols() * element_size(loaded.data.type()));
  const tsne::Fit fit = tsne::fit(context, rows, to);
  watch.clear();
  for (const Warning& warning : fit.warnings) print_warning(warning.text);

  Json results = results_json(fit);
  if (snapshots.wanted()) results["snapshots"] = snapshots.iterations();
  const RunOutput out = {.seed = fit.seed,
                         .interrupted = fit.interrupted,
                         .results = results,
                         .seconds = fit.seconds,
                         .plan = fit.plan,
                         .bytes_read = rows.bytes(),
                         .warnings = fit.warnings};
  const Json method_options = to_json(options);
  const Json report = run_report(options,
                                 {.method = "tsne",
                                  .data = loaded.data,
                                  .context = context,
                                  .dtype = Dtype::float32,
                                  .method_options = method_options,
                                  .load_seconds = load_seconds,
                                  .held_bytes = held,
                                  .peak_bytes = watch.peak_bytes(),
                                  .product = "output",
                                  .product_path = options.output},
                                 out);
  // The page is made before anything is written: if it cannot be, no file changes.
  const std::string html = options.html.empty() ? "" : page(options, loaded, fit, frames, report);
  write_embedding(options.output, fit.embedding);
  if (snapshots.wanted()) snapshots.commit(fit.embedding.rows(), fit.embedding.cols());
  if (!options.report.empty()) io::write_file_atomically(options.report, to_text(report));
  if (!options.html.empty()) io::write_file_atomically(options.html, html);
  // Only now: until the embedding is there, a checkpoint is all that a killed run would leave.
  if (!options.checkpoint.path.empty() && !fit.interrupted) {
    ::unlink(options.checkpoint.path.c_str());
  }
  const bool for_people =
      options.progress != ProgressStyle::none && options.progress != ProgressStyle::json;
  if (for_people) fmt::print(stderr, "{}", report::describe(fit));
  print_result(report);
  return fit.interrupted ? kStopped : kDone;
}

}  // namespace

int embed_tsne(const Arguments& arguments) {
  EmbedOptions options;
  CLI::App app;
  set_manual(app, embed_tsne_manual());
  add_embed_options(app, options);
  if (!parse(app, arguments)) return kDone;
  if (options.output.empty() && !options.dry_run) {
    throw invalid_argument("--output is missing", "culatent embed tsne",
                           "name the file that the embedding goes to");
  }
  check_embed_options(options, app);
  if (!options.place.reference.empty()) return place_rows(options, options.place, options.output);
  return fit_rows(options, app);
}

}  // namespace culatent::cli
