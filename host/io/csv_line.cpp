#include "host/io/csv_line.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "culatent/error.hpp"

namespace culatent::io {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t'; }

const char* skip_blanks(const char* at, const char* end) {
  while (at < end && is_blank(*at)) ++at;
  return at;
}

// The end of the field that begins at `at`: a separator outside quotes, or the end of the line.
// Null when a quote does not end.
const char* field_end(const char* at, const char* end, char separator) {
  const char* start = skip_blanks(at, end);
  if (start < end && *start == '"' && (separator != '\t' || start == at)) {
    const char* close = start + 1;
    for (;; close += 2) {
      close =
          static_cast<const char*>(std::memchr(close, '"', static_cast<std::size_t>(end - close)));
      if (close == nullptr) return nullptr;
      if (close + 1 == end || close[1] != '"') break;  // a doubled quote is one of the text
    }
    at = close + 1;
  }
  if (separator == ' ') return std::find_if(at, end, is_blank);
  const void* found = std::memchr(at, separator, static_cast<std::size_t>(end - at));
  return found == nullptr ? end : static_cast<const char*>(found);
}

// The field after the one that ends at `end_of_field`; null after the last.
const char* next_field(const char* end_of_field, const char* end, char separator) {
  if (end_of_field == end) return nullptr;
  return separator == ' ' ? skip_blanks(end_of_field, end) : end_of_field + 1;
}

std::string_view bare(std::string_view field) {
  field = trim(field);
  if (field.size() >= 2 && field.front() == '"' && field.back() == '"') {
    field = trim(field.substr(1, field.size() - 2));
  }
  return field;
}

// A line without the blanks that separate nothing.
std::string_view content(std::string_view line, char separator) {
  if (separator == ' ') return trim(line);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

std::int64_t count_fields(std::string_view line, char separator) {
  line = content(line, separator);
  const char* end = line.data() + line.size();
  std::int64_t count = 0;
  for (const char* at = line.data(); at != nullptr;) {
    const char* stop = field_end(at, end, separator);
    if (stop == nullptr) return 0;
    ++count;
    at = next_field(stop, end, separator);
  }
  return count;
}

bool equal_ignoring_case(std::string_view text, std::string_view lower) {
  return text.size() == lower.size() &&
         std::equal(text.begin(), text.end(), lower.begin(), [](char a, char b) {
           return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
         });
}

bool is_missing(std::string_view field) {
  constexpr std::array<std::string_view, 5> kWords = {"na", "n/a", "nan", "null", "?"};
  return field.empty() || std::any_of(kWords.begin(), kWords.end(), [field](std::string_view word) {
           return equal_ignoring_case(field, word);
         });
}

// from_chars says "out of range" both for 1e400 and for 1e-400; long double tells them apart.
FieldKind parse_extreme(std::string_view number, double* value) {
  long double wide = 0;
  const auto result = std::from_chars(number.data(), number.data() + number.size(), wide);
  if (result.ec == std::errc()) {
    *value = static_cast<double>(wide);
    return std::isinf(*value) ? FieldKind::overflow : FieldKind::number;
  }
  const auto exponent = number.find_first_of("eE");
  if (exponent == std::string_view::npos || exponent + 1 >= number.size() ||
      number[exponent + 1] != '-') {
    return FieldKind::overflow;
  }
  *value = 0.0;
  return FieldKind::number;
}

// A field as an error shows it: short, and nothing a terminal would obey.
std::string shown(std::string_view field) {
  constexpr std::size_t kLongest = 40;
  std::string text(field.substr(0, kLongest));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text + (field.size() > kLongest ? "…" : "");
}

std::string where(const LineContext& context, std::int64_t field) {
  return context.name + ", line " + std::to_string(context.line_number) + ", column " +
         std::to_string(field + 1);
}

[[noreturn]] void fail_ragged(const LineContext& context, std::string_view line, char separator) {
  const std::int64_t count = count_fields(line, separator);
  const std::string place = context.name + ", line " + std::to_string(context.line_number);
  if (count == 0) throw io_error("a quote does not end", place, "close it on the same line");
  throw io_error(std::to_string(count) + (count == 1 ? " field" : " fields") + " instead of " +
                     std::to_string(context.n_fields),
                 place, "give every line the same number of fields");
}

// Short plain decimals, which most fields are, several times faster than std::from_chars and to the
// same bit: digits below 2^53 and a power of ten up to 10^22 are exact, so one division rounds once
// (Clinger 1990). Returns the end of the number, or null when it is not of this kind.
const char* parse_decimal(const char* at, const char* end, double* value) {
  static constexpr std::array<double, 19> kPowers = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,
                                                     1e7,  1e8,  1e9,  1e10, 1e11, 1e12, 1e13,
                                                     1e14, 1e15, 1e16, 1e17, 1e18};
  constexpr std::uint64_t kExact = std::uint64_t{1} << 53;
  const bool negative = at < end && *at == '-';
  if (negative) ++at;
  const char* limit = end - at > 19 ? at + 19 : end;  // 18 digits and a point do not overflow
  const char* first = at;
  std::uint64_t digits = 0;
  for (; at < limit && *at >= '0' && *at <= '9'; ++at) {
    digits = digits * 10 + static_cast<std::uint64_t>(*at - '0');
  }
  std::size_t n_decimals = 0;
  std::int64_t n_digits = at - first;
  if (at < limit && *at == '.') {
    const char* point = at++;
    for (; at < limit && *at >= '0' && *at <= '9'; ++at) {
      digits = digits * 10 + static_cast<std::uint64_t>(*at - '0');
    }
    n_decimals = static_cast<std::size_t>(at - point - 1);
    n_digits += at - point - 1;
  }
  const bool more =
      at < end && ((*at >= '0' && *at <= '9') || *at == 'e' || *at == 'E' || *at == '.');
  if (n_digits == 0 || n_digits > 18 || more || digits > kExact) return nullptr;
  const double magnitude = static_cast<double>(digits) / kPowers[n_decimals];
  *value = negative ? -magnitude : magnitude;
  return at;
}

// The number at the start of a field; null when there is none, or it is out of double's range.
const char* parse_number(const char* at, const char* end, double* value) {
  const char* plain = parse_decimal(at, end, value);
  if (plain != nullptr) return plain;
  const auto result = std::from_chars(at, end, *value);
  return result.ec == std::errc() && !std::isnan(*value) ? result.ptr : nullptr;
}

double parse_slowly(std::string_view field, const LineContext& context, std::int64_t index) {
  double value = 0;
  switch (parse_field(bare(field), &value)) {
    case FieldKind::number:
      return value;
    case FieldKind::missing:
      if (context.missing) return value;
      throw io_error("a value is missing", where(context, index),
                     "fill it in, or ask for missing values to be marginalised (--missing)");
    case FieldKind::overflow:
      throw io_error("'" + shown(bare(field)) + "' is too large for float64", where(context, index),
                     "correct it, or scale the column");
    case FieldKind::text:
      break;
  }
  const bool decimal_comma = field.find(',') != std::string_view::npos;
  throw io_error("'" + shown(bare(field)) + "' is not a number", where(context, index),
                 decimal_comma ? "write decimals with a point"
                               : "correct it, or choose the columns of numbers (--columns)");
}

}  // namespace

std::string_view trim(std::string_view text) {
  const auto is_space = [](char c) { return is_blank(c) || c == '\r'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

Dialect detect_dialect(std::string_view first, std::string_view second) {
  if (second.empty()) second = first;
  constexpr std::array<char, 4> kSeparators = {'\t', ';', ',', ' '};
  for (const char separator : kSeparators) {
    const std::int64_t count = count_fields(first, separator);
    if (count > 1 && count == count_fields(second, separator)) return {separator};
  }
  // The two differ: a row too many or too few fields, which parse_line reports, or one column under
  // a name with blanks in it.
  for (const char separator : {'\t', ';', ','}) {
    if (count_fields(first, separator) > 1) return {separator};
  }
  const auto has_numbers_apart = [](std::string_view line) {
    const std::vector<std::string> fields = split_line(line, {' '});
    double value = 0;
    return fields.size() > 1 && parse_field(fields[0], &value) == FieldKind::number;
  };
  return {has_numbers_apart(first) || has_numbers_apart(second) ? ' ' : ','};
}

std::vector<std::string> split_line(std::string_view line, Dialect dialect) {
  line = content(line, dialect.separator);
  const char* end = line.data() + line.size();
  std::vector<std::string> fields;
  for (const char* at = line.data(); at != nullptr;) {
    const char* stop = field_end(at, end, dialect.separator);
    if (stop == nullptr) stop = end;
    std::string field(bare({at, static_cast<std::size_t>(stop - at)}));
    for (auto twice = field.find("\"\""); twice != std::string::npos;
         twice = field.find("\"\"", twice + 1)) {
      field.erase(twice, 1);
    }
    fields.push_back(std::move(field));
    at = next_field(stop, end, dialect.separator);
  }
  return fields;
}

FieldKind parse_field(std::string_view field, double* value) {
  if (is_missing(field)) {
    *value = std::numeric_limits<double>::quiet_NaN();
    return FieldKind::missing;
  }
  std::string_view number = field;
  if (number.size() > 1 && number[0] == '+' && number[1] != '-') number.remove_prefix(1);
  const char* end = number.data() + number.size();
  const auto result = std::from_chars(number.data(), end, *value);
  if (result.ptr != end || result.ec == std::errc::invalid_argument || std::isnan(*value)) {
    return FieldKind::text;
  }
  return result.ec == std::errc::result_out_of_range ? parse_extreme(number, value)
                                                     : FieldKind::number;
}

void parse_line(std::string_view line, Dialect dialect, const LineContext& context, double* out) {
  const char separator = dialect.separator;
  const std::string_view text = content(line, separator);
  const char* end = text.data() + text.size();
  const char* at = text.data();
  std::int64_t field = 0;
  for (; at != nullptr && field < context.n_fields; ++field) {
    const bool chosen = field >= context.first_field && field < context.last_field;
    if (chosen) {
      // Nearly every field is a plain number with the separator right behind.
      double value = 0;
      const char* stop = parse_number(at, end, &value);
      if (stop != nullptr && (stop == end || *stop == separator)) {
        *out++ = value;
        at = next_field(stop, end, separator);
        continue;
      }
    }
    const char* stop = field_end(at, end, separator);
    if (stop == nullptr) fail_ragged(context, line, separator);
    if (chosen) {
      *out++ = parse_slowly({at, static_cast<std::size_t>(stop - at)}, context, field);
    }
    at = next_field(stop, end, separator);
  }
  if (at != nullptr || field != context.n_fields) fail_ragged(context, line, separator);
}

}  // namespace culatent::io
