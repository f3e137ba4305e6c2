#include "host/cli/manual.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "culatent/error.hpp"

namespace culatent::cli {
namespace {

constexpr std::size_t kColumns = 80;
constexpr const char* kLastGroup = "OTHER OPTIONS";  // CLI11 puts --help first

constexpr const char* kExitStatus =
    "    0  done, also when --max-iter came before convergence\n"
    "    1  anything else\n"
    "    2  usage: an option or argument that no data could make right\n"
    "    3  bad data or a file that cannot be read or written\n"
    "    4  out of memory, or the plan does not fit --memory-limit\n"
    "    5  the device is not there\n"
    "  130  ended by Ctrl-C\n";

std::string section(const std::string& title, const std::string& body) {
  return body.empty() ? "" : "\n" + title + "\n" + body;
}

std::string option_text(const CLI::Option& option) {
  std::string head = option.get_positional() ? option.get_name() : option.get_name(false, true);
  std::replace(head.begin(), head.end(), ',', ' ');
  const std::string type = option.get_positional() ? "" : option.get_type_name();
  if (!type.empty()) head += " " + type;
  return "  " + head + "\n" + wrap(option.get_description(), 6);
}

std::string option_sections(const CLI::App& app) {
  std::vector<std::string> groups;
  for (const CLI::Option* option : app.get_options()) {
    if (std::find(groups.begin(), groups.end(), option->get_group()) == groups.end()) {
      groups.push_back(option->get_group());
    }
  }
  std::stable_partition(groups.begin(), groups.end(),
                        [](const std::string& group) { return group != kLastGroup; });
  std::string text;
  for (const std::string& group : groups) {
    std::string body;
    for (const CLI::Option* option : app.get_options()) {
      if (option->get_group() == group) body += option_text(*option);
    }
    text += section(group, body);
  }
  return text;
}

std::string page(const CLI::App& app, const Manual& manual) {
  return "NAME\n" + wrap(manual.name + " - " + manual.summary, 2) +
         section("SYNOPSIS", wrap(manual.name + " " + manual.synopsis, 2)) +
         section("DESCRIPTION", wrap(manual.description, 2)) + option_sections(app) +
         section("FILES AND OUTPUT", wrap(manual.files, 2)) + section("EXIT STATUS", kExitStatus) +
         section("EXAMPLES", wrap(manual.examples, 2));
}

// The option whose name is nearest to what was typed, if it is near enough to be meant.
std::string nearest_option(const CLI::App& app, const std::string& typed) {
  std::string nearest;
  std::size_t least = 3;  // at most two letters wrong
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      std::vector<std::size_t> row(name.size() + 1);
      for (std::size_t j = 0; j <= name.size(); ++j) row[j] = j;
      for (std::size_t i = 0; i < typed.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i + 1;
        for (std::size_t j = 0; j < name.size(); ++j) {
          const std::size_t replaced = diagonal + (typed[i] == name[j] ? 0 : 1);
          diagonal = row[j + 1];
          row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
        }
      }
      if (row.back() < least) {
        least = row.back();
        nearest = "--" + name;
      }
    }
  }
  return nearest;
}

[[noreturn]] void unexpected(const CLI::App& app, const std::string& help) {
  const std::vector<std::string> extra = app.remaining();
  const std::string word = extra.empty() ? "" : extra.front();
  if (word.starts_with("-")) {
    const std::string name = word.substr(0, word.find('='));
    const std::string near =
        nearest_option(app, name.substr(std::min<std::size_t>(2, name.size())));
    throw invalid_argument("there is no option " + name, app.get_name(),
                           near.empty() ? help : "did you mean " + near + "?");
  }
  throw invalid_argument("one argument too many, '" + word + "'", app.get_name(), help);
}

}  // namespace

std::string wrap(const std::string& text, std::size_t indent) {
  std::istringstream lines(text);
  std::string out, line;
  while (std::getline(lines, line)) {
    if (line.empty() || line.front() == ' ') {
      out += line.empty() ? "\n" : std::string(indent, ' ') + line + "\n";
      continue;
    }
    std::istringstream words(line);
    std::string word, row;
    while (words >> word) {
      if (!row.empty() && indent + row.size() + 1 + word.size() > kColumns) {
        out += std::string(indent, ' ') + row + "\n";
        row.clear();
      }
      row += (row.empty() ? "" : " ") + word;
    }
    out += std::string(indent, ' ') + row + "\n";
  }
  return out;
}

void set_manual(CLI::App& app, const Manual& manual) {
  app.name(manual.name);
  app.set_help_flag("--help,-h", "Print this page.")->group(kLastGroup);
  app.formatter_fn([manual](const CLI::App* asked, const std::string&, CLI::AppFormatMode) {
    return page(*asked, manual);
  });
}

bool parse(CLI::App& app, const std::vector<std::string>& arguments) {
  const std::string help = "see `" + app.get_name() + " --help`";
  app.allow_extras();  // the check below says more about them
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    if (app.remaining_size() > 0) unexpected(app, help);
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app.help());
    return false;
  } catch (const CLI::ParseError& error) {
    if (app.remaining_size() > 0) unexpected(app, help);
    throw invalid_argument(error.what(), app.get_name(), help);
  }
  return true;
}

}  // namespace culatent::cli
