#include <fmt/format.h>
#include <unistd.h>

#include "culatent/error.hpp"
#include "culatent/version.hpp"
#include "host/cli/clock.hpp"
#include "host/cli/exit_code.hpp"
#include "host/cli/interrupt.hpp"
#include "host/cli/memory.hpp"
#include "host/cli/method.hpp"
#include "host/cli/paths.hpp"
#include "host/cli/verbs.hpp"
#include "host/cli/workplace.hpp"
#include "host/io/atomic_file.hpp"
#include "host/report/sample_rows.hpp"

namespace culatent::cli {
namespace {

constexpr const char* kOutput = "OUTPUT OPTIONS";

struct FitOptions {
  DataOptions data;
  MachineOptions machine;
  std::optional<std::uint64_t> seed;
  ProgressStyle progress = ProgressStyle::automatic;
  std::string model;
  std::string report;
  std::string html;
  std::string labels;
  std::int64_t image_height = 0;
  std::int64_t image_width = 0;
  bool dry_run = false;
};

// The files that are in memory while the fit runs.
struct Loaded {
  Dataset data;
  std::vector<double> weights;
  std::vector<std::int64_t> labels;

  std::int64_t held_bytes() const {
    return data.bytes_in_memory() + 8 * static_cast<std::int64_t>(weights.size() + labels.size());
  }
};

void add_options(CLI::App& app, FitCommand& command, FitOptions& options) {
  add_data(app, options.data);
  if (command.takes_missing()) add_missing(app, options.data);
  command.add_options(app);
  add_seed(app, options.seed);
  add_machine(app, options.machine);
  app.add_flag("--dry-run", options.dry_run,
               "Do not fit: print the memory plan {rows, columns, chunk_rows, host_bytes, "
               "device_bytes}; status 4 when it cannot fit --memory-limit.")
      ->group("MACHINE OPTIONS");
  add_file(app, "--model", options.model,
           "Where the model goes, a .safetensors. Required except with --dry-run.")
      ->group(kOutput);
  add_file(app, "--report", options.report,
           "Write the JSON object that stdout receives to FILE as well.")
      ->group(kOutput);
  CLI::Option* html =
      add_file(app, "--html", options.html,
               "Write a page about the fit, self-contained, to look at in a browser.")
          ->group(kOutput);
  add_file(app, "--labels", options.labels,
           "Classes known beforehand, for the colours of the page: .npy or IDX of n integers.")
      ->needs(html)
      ->group(kOutput);
  app.add_option_function<std::string>(
         "--image-shape",
         [&options](const std::string& s) {
           std::tie(options.image_height, options.image_width) = parse_shape(s, "--image-shape");
         },
         "Rows are images of H x W pixels: the page shows the means as such.")
      ->type_name("HxW")
      ->needs(html)
      ->group(kOutput);
  add_progress(app, options.progress);
}

void check_paths(const FitCommand& command, const FitOptions& options) {
  Paths paths;
  paths.input("DATA", options.data.path);
  paths.input("--labels", options.labels);
  for (const auto& [option, path] : command.inputs()) paths.input(option, path);
  paths.output("--model", options.model);
  paths.output("--report", options.report);
  paths.output("--html", options.html);
  paths.output("--checkpoint", command.checkpoint());
  paths.check();
}

Loaded load(const FitCommand& command, const FitOptions& options) {
  Loaded loaded{open_data(options.data, options.machine.memory_limit,
                          static_cast<int>(options.machine.threads)),
                {},
                {}};
  const std::int64_t n = loaded.data.rows(), d = loaded.data.cols();
  const std::string weights = command.weights();
  if (!weights.empty()) {
    loaded.weights = read_vector(weights);
    if (static_cast<std::int64_t>(loaded.weights.size()) != n) {
      throw data_error(fmt::format("{} weights for {} rows", loaded.weights.size(), n), weights,
                       "give one a row of the data");
    }
  }
  if (!options.labels.empty()) {
    loaded.labels = read_labels(options.labels);
    if (static_cast<std::int64_t>(loaded.labels.size()) != n) {
      throw data_error(fmt::format("{} labels for {} rows", loaded.labels.size(), n),
                       options.labels, "give one a row of the data");
    }
  }
  if (options.image_height > 0 && checked_product(options.image_height, options.image_width) != d) {
    throw invalid_argument(fmt::format("{}x{} pixels, but rows have {} values",
                                       options.image_height, options.image_width, d),
                           "--image-shape", "give height and width whose product is that");
  }
  return loaded;
}

Json plan_json(const Plan& plan, std::int64_t held) {
  return {{"rows", plan.rows},
          {"columns", plan.columns},
          {"chunk_rows", plan.chunk_rows},
          {"host_bytes", plan.host_bytes + held},
          {"device_bytes", plan.device_bytes},
          {"threads", plan.n_workers}};
}

// The plan under the limit. One that does not fit is printed as it would be without, and refused.
int dry_run(const FitCommand& command, const FitOptions& options, const Loaded& loaded,
            const FitInput& input) {
  try {
    print_result(plan_json(command.plan(input), loaded.held_bytes()));
  } catch (const out_of_memory&) {
    const Context unlimited(context_options(options.machine, 0, input.context.device()));
    FitInput free = {unlimited, input.data, input.dtype, input.missing, input.seed, input.weights};
    print_result(plan_json(command.plan(free), loaded.held_bytes()));
    throw;
  }
  return kDone;
}

std::string page(const FitOptions& options, const Loaded& loaded, const FitInput& input,
                 const FitOutput& out, const Json& report) {
  report::RowSample sample = with_dtype(
      input.dtype, [&]<class T>() { return report::sample_rows<T>(*loaded.data.source<T>()); });
  report::PageInput content;
  content.source = options.data.path;
  content.command = command_line();
  content.dtype = name(input.dtype);
  content.n_rows = loaded.data.rows();
  for (const std::int64_t row : sample.index) {
    if (!loaded.labels.empty()) {
      content.labels.push_back(loaded.labels[static_cast<std::size_t>(row)]);
    }
  }
  content.sample = std::move(sample.rows);
  content.column_names = loaded.data.column_names();
  content.image_height = options.image_height;
  content.image_width = options.image_width;
  content.report_json = to_text(report);
  content.missing = input.missing;
  return out.page(input.context, content);
}

// What the command itself measured.
struct Measured {
  double load_seconds = 0.0;
  std::int64_t held_bytes = 0;
  std::int64_t peak_bytes = 0;
};

Json report_json(const Method& method, const FitOptions& options, const FitInput& input,
                 const FitOutput& out, const Json& method_options, const Measured& measured) {
  Json report = {{"method", method.name},
                 {"n_rows", input.data.rows()},
                 {"n_features", input.data.cols()},
                 {"options", method_options},
                 {"seed", out.seed},
                 {"device", input.context.device()},
                 {"dtype", name(input.dtype)}};
  if (out.interrupted) report["interrupted"] = true;
  report.update(out.results);
  report["seconds"] = {{"load", measured.load_seconds},
                       {"init", out.seconds.init},
                       {"fit", out.seconds.fit},
                       {"total", measured.load_seconds + out.seconds.total}};
  report["memory"] = {{"planned_bytes", out.plan.host_bytes + measured.held_bytes},
                      {"peak_host_bytes", measured.peak_bytes},
                      {"peak_device_bytes", input.context.peak_device_bytes()}};
  report["bytes_read"] = out.bytes_read;
  report["chunk_rows"] = out.plan.chunk_rows;
  report["threads"] = out.plan.n_workers;
  report["data"] = options.data.path;
  // What was done to the values as they were read: whoever applies the model must do the same.
  const DatasetOptions& reading = options.data.reading;
  if (reading.scale != 1.0) report["scale"] = reading.scale;
  if (reading.binarize) report["binarize"] = *reading.binarize;
  report["model"] = options.model;
  report["version"] = CULATENT_VERSION;
  report["warnings"] = to_json(out.warnings);
  announce_non_finite(report);
  return report;
}

int run(const Method& method, FitCommand& command, const FitOptions& options) {
  if (options.model.empty() && !options.dry_run) {
    throw invalid_argument("--model is missing", "culatent fit " + method.name,
                           "name the file that the model goes to");
  }
  const bool missing = options.data.reading.missing;
  const std::string device = choose_device(options.machine, method.runs_on_cuda(missing),
                                           method.name + (missing ? " --missing" : ""));
  check_paths(command, options);
  command.prepare();

  const double start = seconds_since_start();
  const Loaded loaded = load(command, options);
  const double load_seconds = seconds_since_start() - start;
  const Dtype dtype = options.machine.dtype.value_or(default_dtype(loaded.data));
  Context::Options machine = context_options(
      options.machine,
      limit_after(options.machine.memory_limit, loaded.held_bytes(), "what is held of the files"),
      device);
  PeakMemory peak;
  ProgressReporter reporter(options.progress, command.objective(), command.n_init());
  machine.observer = [&](const Progress& progress) {
    peak.look();
    reporter.show(progress);
    return !stop_requested();
  };
  const Context context(machine);
  const FitInput input = {context, loaded.data, dtype, missing, options.seed, loaded.weights};
  if (options.dry_run) return dry_run(command, options, loaded, input);

  if (command.iterative()) on_interrupt(OnInterrupt::stop);
  const FitOutput out = command.fit(input);
  reporter.clear();
  for (const Warning& warning : out.warnings) print_warning(warning.text);

  const Json method_options = command.options();
  const Json report = report_json(method, options, input, out, method_options,
                                  {load_seconds, loaded.held_bytes(), peak.bytes()});
  // The page is made before anything is written: if it cannot be, no file changes.
  const std::string html = options.html.empty() ? "" : page(options, loaded, input, out, report);
  out.save(options.model, to_line(method_options));
  if (!options.report.empty()) io::write_file_atomically(options.report, to_text(report));
  if (!options.html.empty()) io::write_file_atomically(options.html, html);
  // Only now: until the model is there, a checkpoint is all that a killed run would leave.
  if (!command.checkpoint().empty() && !out.interrupted) unlink(command.checkpoint().c_str());
  const bool for_people =
      options.progress != ProgressStyle::none && options.progress != ProgressStyle::json;
  if (for_people) fmt::print(stderr, "{}", out.words);
  print_result(report);
  return out.interrupted ? kStopped : kDone;
}

Manual verb_manual() {
  std::string table;
  for (const Method& method : methods()) {
    table += fmt::format("  {:18}{}\n", method.name, method.summary);
  }
  return {.name = "culatent fit",
          .summary = "fit a model to data",
          .synopsis = "METHOD DATA --model M.safetensors [options]",
          .description = "METHOD is one of\n" + table +
                         "`culatent fit METHOD --help` has the options of each.",
          .files = "",
          .examples = " culatent fit gaussian-mixture x.npy --components 3 --model m.safetensors"};
}

}  // namespace

int fit_verb(const Arguments& arguments) {
  const std::string word = arguments.empty() ? "" : arguments.front();
  if (word == "--help" || word == "-h") {
    CLI::App app;
    set_manual(app, verb_manual());
    parse(app, {word});
    return kDone;
  }
  const Method* method = find_method(word);
  if (method == nullptr) {
    const std::string what = word.empty() ? "METHOD is missing" : "no method '" + word + "'";
    throw invalid_argument(what, "culatent fit", "give one of " + method_names());
  }
  const std::unique_ptr<FitCommand> command = method->command();
  FitOptions options;
  CLI::App app;
  Manual manual = command->manual();
  manual.name = "culatent fit " + method->name;
  set_manual(app, manual);
  add_options(app, *command, options);
  if (!parse(app, Arguments(arguments.begin() + 1, arguments.end()))) return kDone;
  return run(*method, *command, options);
}

}  // namespace culatent::cli
