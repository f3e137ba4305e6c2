#include "host/cli/options.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "culatent/error.hpp"
#include "host/cli/numbers.hpp"

namespace culatent::cli {
namespace {

constexpr const char* kData = "DATA OPTIONS";
constexpr const char* kMachine = "MACHINE OPTIONS";
constexpr const char* kIteration = "ITERATION OPTIONS";
constexpr const char* kCheckpoint = "CHECKPOINT OPTIONS";

// The name that error texts use: the first of "--html,-x".
std::string first_name(const std::string& names) { return names.substr(0, names.find(',')); }

Range parse_range(const std::string& text, const std::string& option) {
  const auto colon = text.find(':');
  if (colon == std::string::npos) {
    throw invalid_argument(fmt::format("'{}' is no range", text), option,
                           "give first:end, counted from 0, end not included; either may be empty");
  }
  const std::string first = text.substr(0, colon), last = text.substr(colon + 1);
  Range range;
  if (!first.empty()) range.first = parse_integer(first, option, 0, INT64_MAX);
  if (!last.empty()) range.last = parse_integer(last, option, 0, INT64_MAX);
  return range;
}

ElementType parse_element_type(const std::string& text, const std::string& option) {
  const std::vector<std::string> names = {"f4", "f8", "u1", "i1", "i2", "i4", "i8"};
  const ElementType types[] = {ElementType::f4, ElementType::f8, ElementType::u1, ElementType::i1,
                               ElementType::i2, ElementType::i4, ElementType::i8};
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (text == names[i] || text == element_name(types[i])) return types[i];
  }
  throw invalid_argument(fmt::format("no element type '{}'", text), option,
                         fmt::format("give one of {}", fmt::join(names, ", ")));
}

}  // namespace

CLI::Option* add_integer(CLI::App& app, const std::string& names, std::int64_t& value,
                         std::int64_t low, std::int64_t high, const std::string& text) {
  const std::string option = first_name(names);
  return app
      .add_option_function<std::string>(
          names, [=, &value](const std::string& s) { value = parse_integer(s, option, low, high); },
          text)
      ->type_name("N");
}

CLI::Option* add_real(CLI::App& app, const std::string& names, double& value, double low,
                      const std::string& text) {
  const std::string option = first_name(names);
  return app
      .add_option_function<std::string>(
          names, [=, &value](const std::string& s) { value = parse_real(s, option, low); },
          fmt::format("{} Default: {}.", text, value))
      ->type_name("X");
}

CLI::Option* add_choice(CLI::App& app, const std::string& names, std::string& value,
                        const std::vector<std::string>& words, const std::string& text) {
  const std::string option = first_name(names);
  return app
      .add_option_function<std::string>(
          names,
          [=, &value](const std::string& s) {
            if (std::find(words.begin(), words.end(), s) == words.end()) {
              throw invalid_argument(fmt::format("'{}' is not known", s), option,
                                     fmt::format("give one of {}", fmt::join(words, ", ")));
            }
            value = s;
          },
          fmt::format("{} Default: {}.", text, value))
      ->type_name(fmt::format("{}", fmt::join(words, "|")));
}

CLI::Option* add_file(CLI::App& app, const std::string& names, std::string& value,
                      const std::string& text) {
  const std::string option = first_name(names);
  return app
      .add_option_function<std::string>(
          names,
          [=, &value](const std::string& s) {
            if (s.empty()) throw invalid_argument("an empty name", option, "give a file");
            value = s;
          },
          text)
      ->type_name("FILE");
}

std::pair<std::int64_t, std::int64_t> parse_shape(const std::string& text,
                                                  const std::string& option) {
  const auto by = text.find('x');
  if (by == std::string::npos) {
    throw invalid_argument(fmt::format("'{}' is no shape", text), option,
                           "give two whole numbers with an x between, as 28x28");
  }
  return {parse_integer(text.substr(0, by), option, 1, INT64_MAX),
          parse_integer(text.substr(by + 1), option, 1, INT64_MAX)};
}

std::int64_t parse_bytes(const std::string& text, const std::string& option) {
  const auto end = text.find_first_not_of("0123456789.");
  const std::string number = text.substr(0, end);
  const std::string unit = end == std::string::npos ? "" : text.substr(end);
  if (unit.empty()) return parse_integer(number, option, 1, INT64_MAX);
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  for (int i = 0; i < 5; ++i) {
    if (unit != units[i]) continue;
    const double bytes = std::ldexp(parse_real(number, option, 0.0), 10 * i);
    if (bytes < 1.0 || bytes >= 0x1p63) break;
    return static_cast<std::int64_t>(bytes);
  }
  throw invalid_argument(fmt::format("'{}' is no amount of memory", text), option,
                         "give bytes, or a number with KiB, MiB or GiB as 256MiB");
}

void add_data(CLI::App& app, DataOptions& options, const std::string& positional) {
  app.add_option(positional, options.path,
                 "The data: .npy, .npz (file.npz:member names one of several arrays), CSV, IDX, "
                 "fvecs, bvecs, or raw with --shape; IDX also as .gz. A row is one observation.")
      ->required()
      ->group("ARGUMENTS");
  DatasetOptions& reading = options.reading;
  app.add_option_function<std::string>(
         "--rows", [&reading](const std::string& s) { reading.rows = parse_range(s, "--rows"); },
         "Only these rows: first:end, counted from 0, end not included; either may be empty.")
      ->type_name("A:B")
      ->group(kData);
  app.add_option_function<std::string>(
         "--columns",
         [&reading](const std::string& s) { reading.columns = parse_range(s, "--columns"); },
         "Only these columns, as --rows.")
      ->type_name("A:B")
      ->group(kData);
  add_real(app, "--scale", reading.scale, -std::numeric_limits<double>::max(),
           "Every value is multiplied by X when it is read.")
      ->group(kData);
  app.add_option_function<std::string>(
         "--binarize",
         [&reading](const std::string& s) {
           reading.binarize = parse_real(s, "--binarize", -std::numeric_limits<double>::max());
         },
         "Values (after --scale) become 1 where they are greater than T, otherwise 0; NaN stays.")
      ->type_name("T")
      ->group(kData);
  app.add_option_function<std::string>(
         "--shape",
         [&reading](const std::string& s) {
           const auto [rows, cols] = parse_shape(s, "--shape");
           reading.raw_rows = rows;
           reading.raw_cols = cols;
         },
         "DATA is raw: R rows of C values, little-endian, nothing else in the file.")
      ->type_name("RxC")
      ->group(kData);
  app.add_option_function<std::string>(
         "--raw-type",
         [&reading](const std::string& s) {
           reading.raw_type = parse_element_type(s, "--raw-type");
         },
         "Type of raw values: f4 f8 u1 i1 i2 i4 i8, or float32 … as numpy names them. Default: f4.")
      ->type_name("TYPE")
      ->group(kData);
}

void add_missing(CLI::App& app, DataOptions& options) {
  app.add_flag("--missing", options.reading.missing,
               "NaN (in CSV also an empty field) marks a missing value rather than an error; a row "
               "counts with the values that it has.")
      ->group(kData);
}

void add_machine(CLI::App& app, MachineOptions& options) {
  app.add_option(
         "--device", options.device,
         "Where to compute: auto, cpu, cuda or cuda:N. Default: auto, the first CUDA device "
         "that this build and method can use, otherwise cpu.")
      ->type_name("DEVICE")
      ->group(kMachine);
  add_dtype(app, options.dtype,
            "Type to compute in. Default: float64 for data of 8 bytes an element and CSV, "
            "otherwise float32.");
  add_integer(
      app, "--threads", options.threads, 1, 4096,
      "Threads. Default: as many as this process may use. The result does not depend on it.")
      ->group(kMachine);
  add_integer(app, "--chunk-rows", options.chunk_rows, 1, INT64_MAX,
              "Rows that are worked on between two looks at the clock and the keyboard. Default: "
              "chosen. The result does not depend on it.")
      ->group(kMachine);
  add_memory_limit(app, options.memory_limit);
}

void add_dtype(CLI::App& app, std::optional<Dtype>& dtype, const std::string& text) {
  app.add_option_function<std::string>(
         "--dtype",
         [&dtype](const std::string& s) {
           if (s != "float32" && s != "float64") {
             throw invalid_argument(fmt::format("'{}' is not known", s), "--dtype",
                                    "give float32 or float64");
           }
           dtype = s == "float32" ? Dtype::float32 : Dtype::float64;
         },
         text)
      ->type_name("float32|float64")
      ->group(kMachine);
}

void add_memory_limit(CLI::App& app, std::int64_t& bytes) {
  app.add_option_function<std::string>(
         "--memory-limit",
         [&bytes](const std::string& s) { bytes = parse_bytes(s, "--memory-limit"); },
         "At most this much anonymous host memory, and this much device memory: bytes, or with "
         "KiB, MiB or GiB. Mapped data files do not count. What cannot fit ends with status 4 "
         "before work begins. Default: no limit.")
      ->type_name("SIZE")
      ->group(kMachine);
}

void add_seed(CLI::App& app, std::optional<std::uint64_t>& seed) {
  app.add_option_function<std::string>(
         "--seed", [&seed](const std::string& s) { seed = parse_seed(s, "--seed"); },
         "Seed of all random draws, 0 to 2^64 - 1: the same seed gives the same bits. Default: "
         "drawn and reported.")
      ->type_name("N")
      ->group("RANDOM DRAWS");
}

void add_progress(CLI::App& app, ProgressStyle& style) {
  app.add_option_function<std::string>(
         "--progress", [&style](const std::string& s) { style = parse_progress_style(s); },
         "Progress on stderr: bar; json, an object a line for every iteration; none; auto, which "
         "is "
         "a bar on a terminal and otherwise a plain line every few seconds. Default: auto.")
      ->type_name("auto|bar|json|none")
      ->group("OTHER OPTIONS");
}

void add_iteration(CLI::App& app, IterationOptions& options,
                   const std::vector<std::string>& init_names, const std::string& tol_text) {
  app.add_option("--init", options.init,
                 fmt::format("Where to start: {}, or a .safetensors file with any of the model's "
                             "tensors (a model goes on from where it is). Default: {}.",
                             fmt::join(init_names, ", "), init_names.front()))
      ->type_name("NAME|FILE")
      ->group(kIteration);
  add_integer(app, "--n-init", options.n_init, 1, kMaxInt,
              "Starts; the best fit is kept. Default: 1.")
      ->group(kIteration);
  add_integer(app, "--max-iter", options.max_iter, 0, kMaxInt,
              fmt::format("Updates at most. Default: {}.", options.max_iter))
      ->group(kIteration);
  add_real(app, "--tol", options.tol, 0.0, tol_text)->group(kIteration);
  add_checkpoint(app, options.checkpoint, "Iterations between two checkpoints.");
}

void add_checkpoint(CLI::App& app, CheckpointArguments& options, const std::string& every_text) {
  add_file(app, "--checkpoint", options.path,
           "Keep the state of the fit in FILE, replaced whole each time and removed after success.")
      ->group(kCheckpoint);
  add_integer(app, "--checkpoint-every", options.every, 1, kMaxInt,
              every_text + " Default: every 60 seconds.")
      ->group(kCheckpoint);
  app.add_flag("--resume", options.resume,
               "Go on from the --checkpoint file, to the same bits as a fit that was never ended; "
               "start afresh when there is none.")
      ->group(kCheckpoint);
}

void check(const CheckpointArguments& options) {
  if (!options.path.empty()) return;
  if (options.resume) {
    throw invalid_argument("there is nothing to resume from", "--resume",
                           "name the file with --checkpoint");
  }
  if (options.every > 0) {
    throw invalid_argument("there is nowhere to write to", "--checkpoint-every",
                           "name the file with --checkpoint");
  }
}

CheckpointOptions library_options(const CheckpointArguments& options) {
  return {.path = options.path,
          .every_iterations = static_cast<int>(options.every),
          .resume = options.resume};
}

bool init_is_file(const std::string& init, const std::vector<std::string>& names) {
  if (std::find(names.begin(), names.end(), init) != names.end()) return false;
  std::error_code error;
  if (init.ends_with(".safetensors") || std::filesystem::exists(init, error)) return true;
  throw invalid_argument(fmt::format("no initialisation '{}'", init), "--init",
                         fmt::format("give {}, or a .safetensors file", fmt::join(names, ", ")));
}

}  // namespace culatent::cli
