#include "host/report/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace culatent::report {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// Length of the well-formed UTF-8 sequence at the start of `text`, 0 when there is none
// (Unicode 15, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF).
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto tail = [&](std::size_t first, std::size_t count) {
    for (std::size_t i = first; i < first + count; ++i) {
      if (i >= text.size() || (byte(i) & 0xC0U) != 0x80U) return false;
    }
    return true;
  };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return tail(1, 1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    if (!tail(1, 2)) return 0;
    const bool overlong = lead == 0xE0 && byte(1) < 0xA0;
    const bool surrogate = lead == 0xED && byte(1) > 0x9F;
    const bool noncharacter = lead == 0xEF && byte(1) == 0xBF && byte(2) >= 0xBE;
    return overlong || surrogate || noncharacter ? 0 : 3;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if (!tail(1, 3)) return 0;
    const bool overlong = lead == 0xF0 && byte(1) < 0x90;
    const bool too_large = lead == 0xF4 && byte(1) > 0x8F;
    return overlong || too_large ? 0 : 4;
  }
  return 0;
}

bool is_control(std::string_view sequence) {
  const auto lead = static_cast<unsigned char>(sequence[0]);
  if (sequence.size() == 1) return (lead < 0x20 && lead != '\t' && lead != '\n') || lead == 0x7F;
  // C1 controls, U+0080 to U+009F: some terminals obey them.
  return sequence.size() == 2 && lead == 0xC2 && static_cast<unsigned char>(sequence[1]) < 0xA0;
}

std::string superscript(int exponent) {
  constexpr std::array<std::string_view, 10> kDigits = {"⁰", "¹", "²", "³", "⁴",
                                                        "⁵", "⁶", "⁷", "⁸", "⁹"};
  std::string out = exponent < 0 ? "⁻" : "";
  for (const char c : fmt::format("{}", std::abs(exponent))) {
    out += kDigits[static_cast<std::size_t>(c - '0')];
  }
  return out;
}

// A hyphen at the front becomes the minus sign.
std::string with_minus(const std::string& number) {
  return number.starts_with('-') ? "−" + number.substr(1) : number;
}

std::string without_trailing_zeros(std::string number) {
  if (number.find('.') == std::string::npos) return number;
  number.erase(number.find_last_not_of('0') + 1);
  if (number.ends_with('.')) number.pop_back();
  return number == "-0" ? "0" : number;
}

// Valid UTF-8 cut to what an axis or a table's head can hold.
std::string shortened(const std::string& text) {
  constexpr std::size_t kMost = 60;
  if (length(text) <= kMost) return text;
  std::size_t end = 0;
  for (std::size_t characters = 0; characters < kMost; ++characters) {
    end += sequence_length(std::string_view(text).substr(end));
  }
  return text.substr(0, end) + "…";
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    const std::string_view sequence = text.substr(0, std::max<std::size_t>(length, 1));
    out += length == 0 || is_control(sequence) ? kReplacement : sequence;
    text.remove_prefix(sequence.size());
  }
  return out;
}

std::string one_line(std::string_view text) {
  std::string out = printable(text);
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return out;
}

std::size_t length(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
  }));
}

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : printable(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string base64(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j) group = group << 8U | (j < count ? bytes[i + j] : 0U);
    for (std::size_t j = 0; j < 4; ++j) {
      out += j <= count ? kAlphabet[group >> (18 - 6 * j) & 63U] : '=';
    }
  }
  return out;
}

std::string format_number(double value, int digits) {
  if (std::isnan(value)) return "–";
  if (std::isinf(value)) return value > 0 ? "∞" : "−∞";
  if (value == 0.0) return "0";
  // Round first: 9.9996 with four digits is 10, of another exponent.
  const std::string rounded = fmt::format("{:.{}e}", value, digits - 1);
  const std::size_t e = rounded.find('e');
  const int exponent = std::stoi(rounded.substr(e + 1));
  if (exponent < -4 || exponent > 6) {
    const std::string mantissa = with_minus(without_trailing_zeros(rounded.substr(0, e)));
    return mantissa + "×10" + superscript(exponent);
  }
  const std::string fixed = fmt::format("{:.{}f}", value, std::max(0, digits - 1 - exponent));
  return with_minus(without_trailing_zeros(fixed));
}

std::string format_fixed(double value, int decimals) {
  if (!std::isfinite(value) || std::abs(value) >= 1e9) return format_number(value, 6);
  const std::string fixed = fmt::format("{:.{}f}", value, decimals);
  const bool zero = fixed.find_first_not_of("-0.") == std::string::npos;
  return with_minus(zero && fixed.starts_with('-') ? fixed.substr(1) : fixed);
}

int decimals_for(double resolution) {
  if (!(resolution > 0.0) || !std::isfinite(resolution)) return 2;
  return static_cast<int>(std::clamp(std::ceil(-std::log10(resolution / 5.0)), 0.0, 9.0));
}

std::string format_count(std::int64_t value) {
  std::string digits = std::to_string(value);
  const std::ptrdiff_t first = value < 0 ? 1 : 0;
  for (auto i = static_cast<std::ptrdiff_t>(digits.size()) - 3; i > first; i -= 3) {
    digits.insert(static_cast<std::size_t>(i), 1, ',');
  }
  return digits;
}

std::string format_percent(double share) {
  const double percent = 100.0 * share;
  if (!std::isfinite(percent)) return "–";
  if (percent > 0.0 && percent < 0.1) return "< 0.1 %";
  if (percent > 99.9 && percent < 100.0) return "> 99.9 %";
  // Never "100 %" for what is not all of it.
  if (percent < 9.95 || (percent > 99.0 && percent < 100.0)) {
    return percent == 0.0 ? "0 %" : fmt::format("{:.1f} %", percent);
  }
  return fmt::format("{:.0f} %", percent);
}

std::string format_seconds(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0.0) return "–";
  if (seconds < 0.9995) return format_number(1e3 * seconds, seconds < 0.1 ? 2 : 3) + " ms";
  if (seconds < 59.95) return format_number(seconds, 3) + " s";
  if (seconds > 1e9) return format_number(seconds, 3) + " s";
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

std::string plural(std::int64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", format_count(count), noun, count == 1 ? "" : "s");
}

Quantity quantity(std::string_view column_name) {
  const bool round = column_name.ends_with(')');
  const bool square = column_name.ends_with(']');
  const std::size_t open = round || square ? column_name.rfind(round ? '(' : '[') : 0;
  if (open == 0 || open == std::string_view::npos || open + 2 >= column_name.size()) {
    return {std::string(column_name), ""};
  }
  std::string_view name = column_name.substr(0, open);
  name = name.substr(0, name.find_last_not_of(" \t") + 1);
  if (name.empty()) return {std::string(column_name), ""};
  return {std::string(name),
          std::string(column_name.substr(open + 1, column_name.size() - open - 2))};
}

std::string column_name(std::span<const std::string> names, std::int64_t column) {
  if (names.empty()) return fmt::format("x{}", column + 1);
  return shortened(printable(names[static_cast<std::size_t>(column)]));
}

}  // namespace culatent::report
