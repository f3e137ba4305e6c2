#include "host/report/axis.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "host/report/text.hpp"

namespace culatent::report {
namespace {

constexpr double kLimit = 1e300;

// Two values this close (relative) are drawn as one: more digits would not tell them apart either.
constexpr double kSame = 1e-9;

// The step of 1, 2 or 5 times a power of ten that divides `span` into about `about` parts, and its
// decimals.
struct Step {
  double size;
  int decimals;  // negative: a multiple of a power of ten
};

Step round_step(double span, int about) {
  const double raw = span / about;
  const double exponent = std::floor(std::log10(raw));
  const double leading = raw / std::pow(10.0, exponent);
  // Geometric means of 1, 2, 5, 10: the nearest step on a logarithmic scale.
  const double factor = leading < std::sqrt(2.0)    ? 1.0
                        : leading < std::sqrt(10.0) ? 2.0
                        : leading < std::sqrt(50.0) ? 5.0
                                                    : 10.0;
  const int decimals = -static_cast<int>(exponent) - (factor == 10.0 ? 1 : 0);
  return {factor * std::pow(10.0, exponent), decimals};
}

std::vector<double> multiples(const Range& range, double step) {
  std::vector<double> out;
  const double slack = 1e-9 * range.span();
  const double first = std::ceil((range.low - slack) / step);
  const double last = std::floor((range.high + slack) / step);
  for (double i = first; i <= last; ++i) out.push_back(i * step + 0.0);  // + 0.0: no negative zero
  return out;
}

}  // namespace

void Range::include(double value) {
  if (!std::isfinite(value)) return;
  low = std::min(low, value);
  high = std::max(high, value);
}

void Range::include(std::span<const double> values) {
  for (const double value : values) include(value);
}

Range Range::for_axis(double margin) const {
  if (empty()) return {0.0, 1.0};
  double a = std::clamp(low, -kLimit, kLimit);
  double b = std::clamp(high, -kLimit, kLimit);
  const double size = std::max(std::abs(a), std::abs(b));
  if (b - a <= kSame * size || size == 0.0) {
    const double half = size == 0.0 ? 0.5 : 0.1 * size;
    return {std::max(a - half, -kLimit), std::min(b + half, kLimit)};
  }
  const double extra = margin * (b - a);
  return {std::max(a - extra, -kLimit), std::min(b + extra, kLimit)};
}

std::vector<Tick> linear_ticks(const Range& range, int about) {
  const Step step = round_step(range.span(), about);
  const double size = std::max(std::abs(range.low), std::abs(range.high));
  const bool scientific = (size >= 1e7 && step.size > 1e-6 * size) || size < 1e-3;
  const int power = scientific ? static_cast<int>(std::floor(std::log10(size))) : 0;
  const int decimals = std::clamp(step.decimals + power, 0, 12);
  std::vector<Tick> out;
  for (const double at : multiples(range, step.size)) {
    std::string label = format_fixed(at / std::pow(10.0, power), decimals);
    if (scientific && at != 0.0) label += format_number(std::pow(10.0, power), 1).substr(1);
    out.push_back({at, label});
  }
  return out;
}

std::vector<Tick> log_ticks(const Range& range, int most) {
  const double first = std::ceil(range.low - 1e-9);
  const double last = std::floor(range.high + 1e-9);
  const double step = std::max(1.0, std::ceil((last - first + 1.0) / most));
  std::vector<Tick> out;
  for (double at = first; at <= last; at += step) {
    std::string label = format_number(std::pow(10.0, at), 1);
    if (label.starts_with("1×")) label.erase(0, std::string_view("1×").size());
    out.push_back({at, label});
  }
  return out;
}

std::vector<Tick> integer_ticks(const Range& range, int about) {
  const double step = std::max(1.0, round_step(range.span(), about).size);
  std::vector<Tick> out;
  for (const double at : multiples(range, step)) {
    out.push_back({at, format_count(static_cast<std::int64_t>(at))});
  }
  return out;
}

}  // namespace culatent::report
