#include "host/report/run_details.hpp"

#include <fmt/format.h>

#include "culatent/error.hpp"
#include "culatent/version.hpp"
#include "host/report/page.hpp"
#include "host/report/text.hpp"

namespace culatent::report {
namespace {

using nlohmann::json;

std::string value_text(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return format_number(value.get<double>(), 9);
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_null()) return "–";
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

// "max_iter" is an option of the command as "max-iter": shown as the command has it.
std::string option_name(std::string name) {
  for (char& c : name) {
    if (c == '_') c = '-';
  }
  return name;
}

std::string bytes_text(double bytes) {
  constexpr double kStep = 1024.0;
  if (bytes < kStep) return format_number(bytes, 4) + " bytes";
  if (bytes < kStep * kStep) return format_number(bytes / kStep, 3) + " KiB";
  if (bytes < kStep * kStep * kStep) return format_number(bytes / kStep / kStep, 3) + " MiB";
  return format_number(bytes / kStep / kStep / kStep, 3) + " GiB";
}

void add_rows(Table& out, const json& report, const char* key, const char* prefix,
              std::string (*text)(double)) {
  const auto part = report.find(key);
  if (part == report.end() || !part->is_object()) return;
  for (const auto& [name, value] : part->items()) {
    if (value.is_number())
      out.rows.push_back({prefix + option_name(name), text(value.get<double>())});
  }
}

}  // namespace

json parse_report(const PageInput& input) {
  if (input.report_json.empty()) return nullptr;
  json report = json::parse(input.report_json, nullptr, false);
  if (!report.is_object()) {
    throw invalid_argument("a run report that is not a JSON object", "report page",
                           "pass the report as it was written, or none");
  }
  return report;
}

double option_number(const json& report, const std::string& name, double fallback) {
  const auto options = report.find("options");
  if (options == report.end() || !options->is_object()) return fallback;
  const auto value = options->find(name);
  return value != options->end() && value->is_number() ? value->get<double>() : fallback;
}

std::string run_details(const json& report, const PageInput& input) {
  std::string out;
  if (!input.command.empty()) {
    out += paragraph("The same result, bit by bit, on the same build and device:");
    std::string command = input.command;
    const auto seed = report.find("seed");
    // A seed that was drawn is part of what it takes.
    if (command.find("--seed") == std::string::npos && seed != report.end()) {
      command += " --seed " + seed->dump();
    }
    out += fmt::format("<pre>{}</pre>\n", escape(command));
  }
  Table options{"Options", {}, {}, false};
  const auto given = report.find("options");
  if (given != report.end() && given->is_object()) {
    for (const auto& [name, value] : given->items()) {
      options.rows.push_back({option_name(name), value_text(value)});
    }
  }
  Table run{"The run", {}, {}, false};
  if (!input.source.empty()) run.rows.push_back({"data", input.source});
  run.rows.push_back({"rows", format_count(input.n_rows)});
  if (!input.dtype.empty()) run.rows.push_back({"computed in", input.dtype});
  for (const char* key : {"seed", "device"}) {
    const auto value = report.find(key);
    if (value != report.end()) run.rows.push_back({key, value_text(*value)});
  }
  add_rows(run, report, "seconds", "time, ", format_seconds);
  add_rows(run, report, "memory", "memory, ", bytes_text);
  run.rows.push_back({"version", "cuLatent " CULATENT_VERSION});
  out += "<div class=\"pair\">\n";
  if (!options.rows.empty()) out += table(options);
  out += table(run) + "</div>\n";
  return out;
}

std::string warning_boxes(std::span<const Warning> warnings) {
  std::string out;
  for (const Warning& warning : warnings) {
    out += fmt::format("<div class=\"warning\" role=\"note\"><p>⚠ {} <code>{}</code></p></div>\n",
                       escape(warning.text), escape(warning.code));
  }
  return out;
}

std::string page_title(const PageInput& input, const std::string& method) {
  if (!input.title.empty()) return input.title;
  if (input.source.empty()) return method;
  return method + " of " + input.source.substr(input.source.find_last_of('/') + 1);
}

}  // namespace culatent::report
