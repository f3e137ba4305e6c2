#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "culatent/context.hpp"
#include "culatent/dataset.hpp"
#include "host/cli/dtype.hpp"
#include "host/cli/progress.hpp"

/// The options that verbs and methods share, each parsed in one place. Every add_* function gives
/// `app` options that write to the struct, which must outlive the parsing and holds the defaults.
namespace culatent::cli {

// ---- one option -----------------------------------------------------------------------------

/// A whole number of [low, high]; `names` as CLI11 takes them.
CLI::Option* add_integer(CLI::App& app, const std::string& names, std::int64_t& value,
                         std::int64_t low, std::int64_t high, const std::string& text);
/// A finite number of at least `low`. The text gains the default.
CLI::Option* add_real(CLI::App& app, const std::string& names, double& value, double low,
                      const std::string& text);
/// One of `words`.
CLI::Option* add_choice(CLI::App& app, const std::string& names, std::string& value,
                        const std::vector<std::string>& words, const std::string& text);
/// The value of an enumeration by its position among `words`, which are in its order.
template <class E>
E value_of(const std::vector<std::string>& words, const std::string& word) {
  return static_cast<E>(std::find(words.begin(), words.end(), word) - words.begin());
}
CLI::Option* add_file(CLI::App& app, const std::string& names, std::string& value,
                      const std::string& text);

/// "HxW" or "RxC": two whole numbers of at least 1.
std::pair<std::int64_t, std::int64_t> parse_shape(const std::string& text,
                                                  const std::string& option);
/// A whole number of bytes, or a number of KiB, MiB or GiB.
std::int64_t parse_bytes(const std::string& text, const std::string& option);

// ---- groups of options ----------------------------------------------------------------------

/// DATA and how to read it.
struct DataOptions {
  std::string path;
  DatasetOptions reading;
};
void add_data(CLI::App& app, DataOptions& options, const std::string& positional = "DATA");
void add_missing(CLI::App& app, DataOptions& options);

/// Where and how work runs.
struct MachineOptions {
  std::string device = "auto";
  std::optional<Dtype> dtype;
  std::int64_t threads = 0;
  std::int64_t chunk_rows = 0;
  std::int64_t memory_limit = 0;  ///< bytes; 0: none
};
void add_machine(CLI::App& app, MachineOptions& options);
void add_dtype(CLI::App& app, std::optional<Dtype>& dtype, const std::string& text);
void add_memory_limit(CLI::App& app, std::int64_t& bytes);

void add_seed(CLI::App& app, std::optional<std::uint64_t>& seed);
void add_progress(CLI::App& app, ProgressStyle& style);

/// Where a long fit keeps its state.
struct CheckpointArguments {
  std::string path;
  std::int64_t every = 0;  ///< iterations; 0: by the clock
  bool resume = false;
};
/// `every_text`: what --checkpoint-every counts.
void add_checkpoint(CLI::App& app, CheckpointArguments& options, const std::string& every_text);
/// Throws invalid_argument for options that need each other.
void check(const CheckpointArguments& options);
CheckpointOptions library_options(const CheckpointArguments& options);

/// What iterative fits share.
struct IterationOptions {
  std::string init;  ///< name or file; empty: the method's own
  std::int64_t n_init = 1;
  std::int64_t max_iter = 100;
  double tol = 1e-3;
  CheckpointArguments checkpoint;
};
/// `init_names`: the initialisations of the method; `tol_text`: what --tol means.
void add_iteration(CLI::App& app, IterationOptions& options,
                   const std::vector<std::string>& init_names, const std::string& tol_text);

/// True when --init names a file rather than one of `names`. Throws invalid_argument for neither.
bool init_is_file(const std::string& init, const std::vector<std::string>& names);

constexpr std::int64_t kMaxInt = std::numeric_limits<int>::max();

}  // namespace culatent::cli
