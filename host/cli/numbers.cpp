#include "host/cli/numbers.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>

#include "culatent/error.hpp"

namespace culatent::cli {
namespace {

template <class T>
bool read_whole(const std::string& text, T& value) {
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  return result.ec == std::errc() && result.ptr == end;
}

}  // namespace

std::int64_t parse_integer(const std::string& text, const std::string& option, std::int64_t low,
                           std::int64_t high) {
  std::int64_t value = 0;
  if (read_whole(text, value) && value >= low && value <= high) return value;
  const std::string range =
      high == INT64_MAX ? fmt::format("{} or more", low) : fmt::format("{} to {}", low, high);
  throw invalid_argument(fmt::format("'{}' is no whole number of the right size", text), option,
                         "give " + range);
}

std::uint64_t parse_seed(const std::string& text, const std::string& option) {
  std::uint64_t value = 0;
  if (read_whole(text, value)) return value;
  throw invalid_argument(fmt::format("'{}' is no seed", text), option,
                         "give a whole number from 0 to 18446744073709551615");
}

double parse_real(const std::string& text, const std::string& option, double low) {
  double value = 0.0;
  if (read_whole(text, value) && std::isfinite(value) && value >= low) return value;
  const bool any = low == -std::numeric_limits<double>::max();
  throw invalid_argument(
      fmt::format("'{}' is no number of the right size", text), option,
      any ? "give a finite number" : fmt::format("give a finite number of at least {}", low));
}

}  // namespace culatent::cli
