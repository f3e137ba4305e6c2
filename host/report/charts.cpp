#include "host/report/charts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/report/page.hpp"
#include "host/report/plot.hpp"
#include "host/report/text.hpp"

namespace culatent::report {

std::string trace_chart(const TraceChart& chart) {
  std::vector<double> x(chart.y.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<double>(i);
  Range range_x, range_y;
  range_x.include(0.0);
  range_x.include(std::max(1.0, static_cast<double>(x.size()) - 1.0));
  range_y.include(chart.y);
  range_y.include(chart.limit);
  if (chart.logarithmic && !range_y.empty()) {
    range_y = {std::floor(range_y.low),
               std::ceil(range_y.high)};  // whole powers of ten at both ends
  }
  const Range shown_y = range_y.for_axis(chart.logarithmic ? 0.0 : 0.08);
  const std::vector<Tick> y_ticks =
      chart.logarithmic ? log_ticks(shown_y) : linear_ticks(shown_y, 4);
  const double room = tick_room(y_ticks);
  const Plot plot{{room, 40, 464 - room, 190}, range_x.for_axis(0.02), shown_y};
  Svg svg(480, 284, chart.id, chart.title, fmt::format("{} by iteration", chart.title));
  svg.text({0, 16}, chart.title, "name strong");
  draw_axes(svg, plot, integer_ticks(range_x), y_ticks, {"iteration", chart.y_axis});
  if (std::isfinite(chart.limit)) {
    const Point left = plot.at(plot.x.low, chart.limit), right = plot.at(plot.x.high, chart.limit);
    svg.line(left, right, "dash");
    svg.text({left.x + 4, left.y + 15}, "the fit stops below", "tick");
  }
  if (std::none_of(chart.y.begin(), chart.y.end(), [](double v) { return std::isfinite(v); })) {
    svg.text({room + plot.box.width / 2, 140}, "nothing to draw", "tick mid");
  }
  svg.path(polyline(plot, x, chart.y), "line s0");
  // The points themselves, as long as they can be told apart.
  if (x.size() <= 60) svg.path(marks(plot, x, chart.y), "marks s0");
  return "<figure>\n" + svg.str() + "</figure>\n";
}

std::string share_bars(const ShareBarTexts& texts, std::span<const ShareBar> bars) {
  constexpr std::size_t kMaxBars = 40;
  const std::size_t count = std::min(kMaxBars, bars.size());
  const double row = count <= 15 ? 26.0 : 19.0;
  Range x;
  x.include(0.0);
  x.include(100.0 * bars.front().share);
  const double height = row * static_cast<double>(count);
  const Plot plot{{110, 4, 760, height}, {0.0, x.for_axis(0.0).high}, {0.0, 1.0}};
  Svg svg(976, height + 52, texts.id, texts.title, "Bars, largest first");
  for (const Tick& tick : linear_ticks(plot.x, 6)) {
    const Point top = plot.at(tick.at, 1.0), bottom = plot.at(tick.at, 0.0);
    svg.line(top, bottom, "grid");
    svg.text({bottom.x, bottom.y + 18}, tick.label, "tick mid");
  }
  for (std::size_t i = 0; i < count; ++i) {
    const double top = plot.box.y + row * static_cast<double>(i);
    const double right = plot.at(100.0 * bars[i].share, 0.0).x;
    const std::string percent = format_percent(bars[i].share);
    svg.text({plot.box.x - 10, top + row / 2 + 4}, bars[i].name, "name end");
    svg.rect({plot.box.x, top + 3, right - plot.box.x, row - 6}, "bar " + bars[i].colour,
             fmt::format("{}, {}", bars[i].name, percent));
    svg.text({right + 8, top + row / 2 + 4}, percent, "name");
  }
  svg.line(plot.at(0.0, 1.0), plot.at(0.0, 0.0), "axis");
  svg.text({plot.box.x + plot.box.width / 2, height + 42}, texts.axis, "label mid");
  return figure(svg.str(), count == bars.size()
                               ? std::string(texts.caption)
                               : fmt::format("{} The {} largest of {} {}.", texts.caption, count,
                                             bars.size(), texts.noun));
}

}  // namespace culatent::report
