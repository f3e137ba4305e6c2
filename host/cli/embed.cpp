#include <fmt/format.h>

#include "culatent/error.hpp"
#include "host/cli/exit_code.hpp"
#include "host/cli/manual.hpp"
#include "host/cli/tsne.hpp"
#include "host/cli/verbs.hpp"

namespace culatent::cli {
namespace {

// A method whose result is a place for every row, rather than a model.
struct Embedding {
  const char* name;
  const char* summary;
  int (*run)(const Arguments& arguments);
};

constexpr Embedding kEmbeddings[] = {
    {"tsne", "1, 2 or 3 dimensions that keep neighbours near", embed_tsne},
};

Manual manual() {
  std::string table;
  for (const Embedding& method : kEmbeddings) {
    table += fmt::format("  {:12}{}\n", method.name, method.summary);
  }
  return {.name = "culatent embed",
          .summary = "place rows in few dimensions",
          .synopsis = "METHOD DATA --output Y.npy [options]",
          .description = "METHOD is one of\n" + table +
                         "`culatent embed METHOD --help` has the options of each.",
          .files = "",
          .examples = " culatent embed tsne x.npy --output y.npy --html page.html"};
}

}  // namespace

int embed_verb(const Arguments& arguments) {
  const std::string word = arguments.empty() ? "" : arguments.front();
  if (word == "--help" || word == "-h") {
    CLI::App app;
    set_manual(app, manual());
    parse(app, {word});
    return kDone;
  }
  std::string names;
  for (const Embedding& method : kEmbeddings) {
    if (word == method.name) return method.run(Arguments(arguments.begin() + 1, arguments.end()));
    names += (names.empty() ? "" : ", ") + std::string(method.name);
  }
  throw invalid_argument(word.empty() ? "METHOD is missing" : "no method '" + word + "'",
                         "culatent embed", "give one of " + names);
}

}  // namespace culatent::cli
