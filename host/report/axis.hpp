#pragma once

#include <limits>
#include <span>
#include <string>
#include <vector>

/// Ranges of values and the round numbers that mark them.
namespace culatent::report {

/// An interval of finite values; empty at the start.
struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  bool empty() const { return low > high; }
  double span() const { return high - low; }
  void include(double value);  ///< NaN and infinities are passed over
  void include(std::span<const double> values);

  /// What an axis shows: `margin` of the span added on both sides; never empty or a point (a single
  /// value gets a tenth of itself to both sides), ends within ±1e300 so that spans are finite.
  Range for_axis(double margin = 0.0) const;
};

struct Tick {
  double at = 0.0;
  std::string label;
};

/// Multiples of 1, 2 or 5 times a power of ten inside a range for_axis(), between half and twice
/// `about` of them. All labels have the same decimals; beyond 10⁷ and below 10⁻³ the same power.
std::vector<Tick> linear_ticks(const Range& range, int about = 5);

/// Whole powers of ten inside a range of decimal logarithms, thinned to at most `most`.
std::vector<Tick> log_ticks(const Range& range, int most = 6);

/// Whole numbers inside a range (iterations), about `about` of them.
std::vector<Tick> integer_ticks(const Range& range, int about = 6);

}  // namespace culatent::report
