#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace culatent::cli {

/// What `--help` says beside the options, which describe themselves. Texts are wrapped; a line that
/// begins with a blank stays as it is.
struct Manual {
  std::string name;         ///< "culatent fit gaussian-mixture"
  std::string summary;      ///< half a line
  std::string synopsis;     ///< what follows the name
  std::string description;  ///< paragraphs
  std::string files;        ///< what is written and printed
  std::string examples;
};

/// Gives `app` a --help that reads like a manual page.
void set_manual(CLI::App& app, const Manual& manual);

/// Parses what follows the verb. True: go on. False: help was asked for and has been printed.
/// Throws invalid_argument for whatever the command does not take.
bool parse(CLI::App& app, const std::vector<std::string>& arguments);

/// `text` in lines of at most 80 columns, each after `indent` blanks.
std::string wrap(const std::string& text, std::size_t indent);

}  // namespace culatent::cli
