#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "culatent/context.hpp"
#include "culatent/dataset.hpp"
#include "culatent/error.hpp"
#include "host/cli/dtype.hpp"
#include "host/cli/exit_code.hpp"
#include "host/cli/json.hpp"
#include "host/cli/memory.hpp"
#include "host/cli/options.hpp"
#include "host/cli/progress.hpp"
#include "host/cli/workplace.hpp"

/// What the verbs that work long on one file of data (fit, embed) have in common: their options,
/// the plan, the progress, the report.
namespace culatent::cli {

struct RunOptions {
  DataOptions data;
  MachineOptions machine;
  std::optional<std::uint64_t> seed;
  ProgressStyle progress = ProgressStyle::automatic;
  std::string report;
  std::string html;
  std::string labels;
  bool dry_run = false;
};

constexpr const char* kOutputGroup = "OUTPUT OPTIONS";

void add_dry_run(CLI::App& app, RunOptions& options);
void add_report(CLI::App& app, RunOptions& options);
/// --html and --labels, which needs it. Returns --html.
CLI::Option* add_page(CLI::App& app, RunOptions& options);

/// Class labels, one for each of n rows. Throws data_error for another number of them.
std::vector<std::int64_t> read_row_labels(const std::string& path, std::int64_t n_rows);

/// Observes a fit: shows its progress, looks at the memory, ends it after the first Ctrl-C.
class RunObserver {
 public:
  RunObserver(ProgressStyle style, const std::string& objective, std::int64_t n_init = 1)
      : reporter_(style, objective, n_init) {}
  Observer observer();
  /// Takes the progress off the screen.
  void clear() { reporter_.clear(); }
  std::int64_t peak_bytes() { return peak_.bytes(); }

 private:
  ProgressReporter reporter_;
  PeakMemory peak_;
};

Json plan_json(const Plan& plan, std::int64_t held_bytes);

/// Prints make_plan(context) beside what is held of the files. A plan that does not fit the limit
/// is printed as it would be without one, and refused.
template <class MakePlan>
int dry_run(const RunOptions& options, const Context& context, std::int64_t held_bytes,
            MakePlan&& make_plan) {
  try {
    print_result(plan_json(make_plan(context), held_bytes));
  } catch (const out_of_memory&) {
    const Context unlimited(context_options(options.machine, 0, context.device()));
    print_result(plan_json(make_plan(unlimited), held_bytes));
    throw;
  }
  return kDone;
}

/// What a run leaves, of any method.
struct RunOutput {
  std::uint64_t seed = 0;
  bool interrupted = false;
  Json results;  ///< n_iter, converged, objective, trace, and what the method adds
  Seconds seconds;
  Plan plan;
  std::int64_t bytes_read = 0;  ///< of the data file, counted over all passes
  std::vector<Warning> warnings;
};

/// What the command itself knows of a run.
struct RunFacts {
  std::string method;
  const Dataset& data;
  const Context& context;
  Dtype dtype;
  const Json& method_options;
  double load_seconds = 0.0;
  std::int64_t held_bytes = 0;  ///< of files, in memory while the fit ran
  std::int64_t peak_bytes = 0;
  std::string product;  ///< key of the file that holds the result: "model"
  std::string product_path;
};

/// The JSON object of a run, as stdout and --report get it.
Json run_report(const RunOptions& options, const RunFacts& facts, const RunOutput& out);

}  // namespace culatent::cli
