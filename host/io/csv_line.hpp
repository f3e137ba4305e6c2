#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "culatent/dataset.hpp"

/// One line of a CSV file: how it splits into fields, and fields into numbers.
namespace culatent::io {

/// The separator ' ' stands for any run of blanks.
struct Dialect {
  char separator = ',';
};

/// A text that no field or line of numbers needs: spaces, tabs and the CR of CRLF at either end.
std::string_view trim(std::string_view text);

/// True for lines that hold no row: blank ones, and comments that begin with '#'. A line of tabs is
/// not blank: it may be a row whose every value is missing.
inline bool is_skipped(std::string_view line) {
  const auto first = line.find_first_not_of(" \r");
  return first == std::string_view::npos || line[first] == '#';
}

/// The separator that splits the first two rows of a file alike, tried in the order tab, semicolon,
/// comma, blanks. `second` may be empty.
Dialect detect_dialect(std::string_view first, std::string_view second);

/// The fields of a line, without quotes and blanks around them.
std::vector<std::string> split_line(std::string_view line, Dialect dialect);

enum class FieldKind { number, missing, overflow, text };

/// What a trimmed, unquoted field is; sets *value when it is a number or missing (NaN).
/// Missing are "", NA, N/A, nan, null and "?"; numbers are what std::from_chars takes, with an
/// optional '+'. Too large for double is overflow, too small is 0.
FieldKind parse_field(std::string_view field, double* value);

/// Where a row goes, and what errors say about it.
struct LineContext {
  const std::string& name;   ///< the file
  std::int64_t line_number;  ///< from 1
  std::int64_t n_fields;     ///< that every line must have
  std::int64_t first_field;  ///< fields [first_field, last_field) are read as numbers
  std::int64_t last_field;
  bool missing;  ///< a missing field is NaN rather than an error
};

/// Writes the chosen fields of a line to out. Throws io_error with line and column.
void parse_line(std::string_view line, Dialect dialect, const LineContext& context, double* out);

}  // namespace culatent::io
