#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <new>
#include <stdexcept>
#include <string>

#include "culatent/context.hpp"
#include "culatent/error.hpp"
#include "culatent/version.hpp"
#include "host/cli/clock.hpp"
#include "host/cli/exit_code.hpp"
#include "host/cli/interrupt.hpp"
#include "host/cli/manual.hpp"
#include "host/cli/verbs.hpp"

namespace culatent::cli {
namespace {

struct Verb {
  const char* name;
  const char* summary;
  int (*run)(const Arguments& arguments);
};

constexpr Verb kVerbs[] = {
    {"fit", "fit a model to data", fit_verb},
    {"embed", "place rows in few dimensions", embed_verb},
    {"predict", "label rows by a model", predict_verb},
    {"transform", "responsibilities, scores or codes of rows", transform_verb},
    {"score", "how well a model describes data", score_verb},
    {"sample", "draw rows from a model", sample_verb},
    {"info", "describe a model or data file", info_verb},
    {"convert", "write data in another format", convert_verb},
    {"devices", "list the devices that work can run on", devices_verb},
};

std::string verb_names() {
  std::string names;
  for (const Verb& verb : kVerbs) names += std::string(names.empty() ? "" : ", ") + verb.name;
  return names;
}

Manual manual() {
  std::string table;
  for (const Verb& verb : kVerbs) table += fmt::format("  {:12}{}\n", verb.name, verb.summary);
  return {
      .name = "culatent",
      .summary = "latent structure in large data: clusters, mixtures, densities, maps",
      .synopsis = "VERB [arguments] [options]",
      .description =
          "VERB is one of\n" + table +
          "`culatent VERB --help` has the page of each, `culatent fit METHOD --help` and "
          "`culatent embed METHOD --help` that of each method.",
      .files =
          "Every verb prints one JSON object on stdout and nothing else; numbers have 17 "
          "significant digits, those that are not finite are null. Progress, warnings and errors "
          "go to stderr; an error is one line `culatent: error: WHAT (WHERE): what to do`. A file "
          "is written whole or not at all, and an existing one is replaced only after success.",
      .examples =
          " culatent fit gaussian-mixture x.npy --components 3 --model m.safetensors\n"
          " culatent predict m.safetensors x.npy --output labels.npy\n"
          " culatent score m.safetensors held_out.npy",
  };
}

int run(const Arguments& arguments) {
  const std::string word = arguments.empty() ? "" : arguments.front();
  for (const Verb& verb : kVerbs) {
    if (word == verb.name) return verb.run(Arguments(arguments.begin() + 1, arguments.end()));
  }
  if (!word.empty() && !word.starts_with("-")) {
    throw invalid_argument("no verb '" + word + "'", "culatent", "give one of " + verb_names());
  }
  if (word.empty()) {
    throw invalid_argument("VERB is missing", "culatent",
                           "give one of " + verb_names() + "; see `culatent --help`");
  }
  CLI::App app;
  set_manual(app, manual());
  bool version = false;
  app.add_flag("--version", version, "Print the version and the backends that were built in.")
      ->group("OTHER OPTIONS");
  if (parse(app, arguments) && version) {
    fmt::print("culatent {}\nbackends: {}\n", CULATENT_VERSION, backends());
  }
  return kDone;
}

// One line: whatever a text quotes (a file name with a line break) stays on it.
int fail(ExitCode code, std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; }, ' ');
  fmt::print(stderr, "culatent: error: {}\n", text);
  return code;
}

int guarded(int argc, char** argv) {
  try {
    seconds_since_start();
    handle_signals();
    set_command_line(argc, argv);
    return run(Arguments(argv + 1, argv + argc));
  } catch (const culatent::invalid_argument& error) {
    return fail(kUsage, error.what());
  } catch (const data_error& error) {
    return fail(kBadData, error.what());
  } catch (const io_error& error) {
    return fail(kBadData, error.what());
  } catch (const out_of_memory& error) {
    return fail(kNoMemory, error.what());
  } catch (const std::bad_alloc&) {
    return fail(kNoMemory, "an allocation failed: use fewer threads or smaller data");
  } catch (const device_error& error) {
    return fail(kNoDevice, error.what());
  } catch (const std::exception& error) {
    return fail(kFailed, std::string(error.what()) +
                             " (unforeseen): please report it with the command that you gave");
  }
}

std::string g_command_line;

// As a shell takes it: quoted where it is not plain.
std::string shell_word(const std::string& word) {
  constexpr const char* kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace

const std::string& command_line() { return g_command_line; }

void set_command_line(int argc, char** argv) {
  g_command_line = "culatent";
  for (int i = 1; i < argc; ++i) g_command_line += " " + shell_word(argv[i]);
}

}  // namespace culatent::cli

int main(int argc, char** argv) {
  if (argc < 1) return culatent::cli::kUsage;
  const int code = culatent::cli::guarded(argc, argv);
  std::fflush(stderr);
  return code;
}
