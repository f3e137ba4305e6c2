#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

/// Texts and numbers as people read them, in UTF-8, the same in every locale.
namespace culatent::report {

/// UTF-8 with every invalid byte and every control character (but tab and newline) replaced by
/// U+FFFD: safe for XML, and a terminal does not obey what a file name says.
std::string printable(std::string_view text);

/// printable() without tabs and newlines: a column name must not start a line or move the cursor.
std::string one_line(std::string_view text);

/// Code points of a valid UTF-8 text: about its width in characters.
std::size_t length(std::string_view text);

/// Text for HTML and XML, in content and in quoted attributes: printable(), with & < > " ' as
/// entities.
std::string escape(std::string_view text);

/// RFC 4648, section 4, with padding.
std::string base64(std::span<const std::uint8_t> bytes);

/// "4.288", "−0.5", "1.2×10⁻⁷"; `digits` significant ones (whole numbers keep all theirs below
/// 10⁷), no trailing zeros; NaN is "–".
std::string format_number(double value, int digits = 4);

/// "80.0"; decimals ≥ 0; falls back to format_number() where the fixed form gets too long.
std::string format_fixed(double value, int decimals);

/// Decimals that show `value` to about a tenth of `resolution` (a standard deviation), 0 to 9.
int decimals_for(double resolution);

/// "1,797".
std::string format_count(std::int64_t value);

/// A share of one: "64 %", "7.3 %", "0.4 %", "< 0.1 %".
std::string format_percent(double share);

/// "0.8 ms", "2.3 s", "4 min 10 s", "2 h 5 min".
std::string format_seconds(double seconds);

/// "1 row", "2 rows".
std::string plural(std::int64_t count, std::string_view noun);

/// A column name taken apart: "waiting (min)" and "waiting [min]" are "waiting" in "min".
struct Quantity {
  std::string name;
  std::string unit;
};
Quantity quantity(std::string_view column_name);

/// Name of a column, "x1", "x2", … where `names` is empty; an overlong one ends in "…".
std::string column_name(std::span<const std::string> names, std::int64_t column);

}  // namespace culatent::report
