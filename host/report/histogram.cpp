#include "host/report/histogram.hpp"

#include <algorithm>
#include <cmath>

namespace culatent::report {
namespace {

constexpr double kMaxBins = 80.0;

}  // namespace

Histogram histogram(std::span<const double> values) {
  std::vector<double> sorted;
  for (const double value : values) {
    if (std::isfinite(value)) sorted.push_back(value);
  }
  std::sort(sorted.begin(), sorted.end());
  if (sorted.empty() || sorted.front() == sorted.back()) return {};
  const std::size_t n = sorted.size();
  const Range range{sorted.front(), sorted.back()};
  // Values at the ends of what a double holds have no width that can be divided by.
  if (!std::isnormal(range.span() / kMaxBins)) return {};
  const double spread = sorted[n * 3 / 4] - sorted[n / 4];
  const double width = spread / std::cbrt(static_cast<double>(n));
  // Half of the values equal makes the spread zero: Sturges' rule knows n alone.
  const double bins = width > 0.0 ? range.span() / width : 1.0 + std::log2(static_cast<double>(n));
  const double count = std::clamp(std::ceil(bins), 1.0, kMaxBins);
  Histogram out{range.low, range.span() / count,
                std::vector<double>(static_cast<std::size_t>(count), 0.0)};
  for (const double value : sorted) {
    const double bin = std::min((value - out.low) / out.width, count - 1.0);
    out.density[static_cast<std::size_t>(bin)] += 1.0 / (static_cast<double>(n) * out.width);
  }
  return out;
}

}  // namespace culatent::report
