#include <fmt/format.h>
#include <unistd.h>

#include "culatent/error.hpp"
#include "host/cli/clock.hpp"
#include "host/cli/interrupt.hpp"
#include "host/cli/method.hpp"
#include "host/cli/paths.hpp"
#include "host/cli/run.hpp"
#include "host/cli/verbs.hpp"
#include "host/io/atomic_file.hpp"
#include "host/report/sample_rows.hpp"

namespace culatent::cli {
namespace {

struct FitOptions : RunOptions {
  std::string model;
  std::int64_t image_height = 0;
  std::int64_t image_width = 0;
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
  add_dry_run(app, options);
  add_file(app, "--model", options.model,
           "Where the model goes, a .safetensors. Required except with --dry-run.")
      ->group(kOutputGroup);
  add_report(app, options);
  CLI::Option* html = add_page(app, options);
  app.add_option_function<std::string>(
         "--image-shape",
         [&options](const std::string& s) {
           std::tie(options.image_height, options.image_width) = parse_shape(s, "--image-shape");
         },
         "Rows are images of H x W pixels: the page shows the means as such.")
      ->type_name("HxW")
      ->needs(html)
      ->group(kOutputGroup);
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
  if (!options.labels.empty()) loaded.labels = read_row_labels(options.labels, n);
  if (options.image_height > 0 && checked_product(options.image_height, options.image_width) != d) {
    throw invalid_argument(fmt::format("{}x{} pixels, but rows have {} values",
                                       options.image_height, options.image_width, d),
                           "--image-shape", "give height and width whose product is that");
  }
  return loaded;
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
  RunObserver watch(options.progress, command.objective(), command.n_init());
  machine.observer = watch.observer();
  const Context context(machine);
  const FitInput input = {context, loaded.data, dtype, missing, options.seed, loaded.weights};
  if (options.dry_run) {
    return dry_run(options, context, loaded.held_bytes(), [&](const Context& place) {
      return command.plan({place, input.data, dtype, missing, input.seed, input.weights});
    });
  }

  if (command.iterative()) on_interrupt(OnInterrupt::stop);
  const FitOutput out = command.fit(input);
  watch.clear();
  for (const Warning& warning : out.warnings) print_warning(warning.text);

  const Json method_options = command.options();
  const Json report = run_report(options,
                                 {.method = method.name,
                                  .data = loaded.data,
                                  .context = context,
                                  .dtype = dtype,
                                  .method_options = method_options,
                                  .load_seconds = load_seconds,
                                  .held_bytes = loaded.held_bytes(),
                                  .peak_bytes = watch.peak_bytes(),
                                  .product = "model",
                                  .product_path = options.model},
                                 out);
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
