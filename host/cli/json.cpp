#include "host/cli/json.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>

#include "culatent/error.hpp"

namespace culatent::cli {
namespace {

// 17 digits bring every double back to its bits. A whole number keeps a ".0" so that readers with
// two number types do not take it for an integer.
void append_double(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  const std::string digits = fmt::format("{:.17g}", value);
  out += digits;
  if (digits.find_first_of(".e") == std::string::npos) out += ".0";
}

// Fits a line of 100 columns, or holds plain values only.
bool is_flat(const Json& value, int indent) {
  if (to_line(value).size() + static_cast<std::size_t>(indent) <= 100) return true;
  for (const Json& element : value) {
    if (element.is_structured() && !element.empty()) return false;
  }
  return true;
}

void append(std::string& out, const Json& value, int indent, bool one_line) {
  if (value.is_number_float()) return append_double(out, value.get<double>());
  if (!value.is_structured()) {
    // Bytes that are no UTF-8 (a file name) become U+FFFD rather than an error.
    out += value.dump(-1, ' ', false, Json::error_handler_t::replace);
    return;
  }
  const bool object = value.is_object();
  const bool flat = one_line || is_flat(value, indent);
  out += object ? '{' : '[';
  bool first = true;
  for (auto it = value.begin(); it != value.end(); ++it) {
    if (!first) out += flat ? ", " : ",";
    first = false;
    if (!flat) out.append("\n").append(static_cast<std::size_t>(indent + 2), ' ');
    if (object) {
      out += Json(it.key()).dump(-1, ' ', false, Json::error_handler_t::replace);
      out += ": ";
    }
    append(out, *it, indent + 2, one_line);
  }
  if (!flat) out.append("\n").append(static_cast<std::size_t>(indent), ' ');
  out += object ? '}' : ']';
}

void replace_non_finite(Json& value, const std::string& path, std::map<std::string, int>& found) {
  if (value.is_number_float() && !std::isfinite(value.get<double>())) {
    ++found[path];
    value = nullptr;
  } else if (value.is_object()) {
    for (auto it = value.begin(); it != value.end(); ++it) {
      replace_non_finite(*it, path.empty() ? it.key() : path + "." + it.key(), found);
    }
  } else if (value.is_array()) {
    for (Json& element : value) replace_non_finite(element, path, found);
  }
}

}  // namespace

std::string to_text(const Json& value) {
  std::string out;
  append(out, value, 0, false);
  out += '\n';
  return out;
}

std::string to_line(const Json& value) {
  std::string out;
  append(out, value, 0, true);
  return out;
}

std::vector<Warning> replace_non_finite(Json& value) {
  std::map<std::string, int> found;
  replace_non_finite(value, "", found);
  std::vector<Warning> warnings;
  for (const auto& [path, count] : found) {
    std::string text = path + " is not finite and is written as null";
    if (count > 1) text += fmt::format(" ({} times)", count);
    warnings.push_back({"non-finite", text});
  }
  return warnings;
}

Json to_json(const std::vector<Warning>& warnings) {
  Json list = Json::array();
  for (const Warning& warning : warnings) {
    list.push_back({{"code", warning.code}, {"text", warning.text}});
  }
  return list;
}

void announce_non_finite(Json& value) {
  const std::vector<Warning> warnings = replace_non_finite(value);
  if (warnings.empty()) return;
  if (!value.contains("warnings")) value["warnings"] = Json::array();
  for (const Warning& warning : warnings) print_warning(warning.text);
  for (Json& warning : to_json(warnings)) value["warnings"].push_back(warning);
}

void print_result(Json value) {
  announce_non_finite(value);
  const std::string text = to_text(value);
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (!written || std::fflush(stdout) != 0) {
    throw io_error(fmt::format("the result cannot be written, {}", std::strerror(errno)), "stdout",
                   "give stdout a place that takes it; files asked for have been written");
  }
}

void print_warning(const std::string& text) { fmt::print(stderr, "culatent: warning: {}\n", text); }

}  // namespace culatent::cli
