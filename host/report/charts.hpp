#pragma once

#include <span>
#include <string>
#include <vector>

/// Charts that pages of several methods have.
namespace culatent::report {

/// A value by iteration.
struct TraceChart {
  const char* id;
  const char* title;
  const char* y_axis;
  std::vector<double> y;
  bool logarithmic;  // y holds decimal logarithms
  double limit;      // a dashed line; NaN: none
};
std::string trace_chart(const TraceChart& chart);

/// A group's share of the rows.
struct ShareBar {
  std::string name;
  double share;        ///< of 1
  std::string colour;  ///< a class
};
struct ShareBarTexts {
  const char* id;
  const char* title;
  const char* axis;
  const char* caption;
  const char* noun;  ///< "components"
};
/// Horizontal bars, the first 40 of them; bars must come largest first.
std::string share_bars(const ShareBarTexts& texts, std::span<const ShareBar> bars);

}  // namespace culatent::report
