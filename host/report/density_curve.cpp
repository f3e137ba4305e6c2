#include "host/report/density_curve.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/report/histogram.hpp"

namespace culatent::report {

DrawnDensity density_chart(const DensityChart& chart) {
  const Histogram bars = histogram(chart.values);
  const double bar_peak =
      bars.density.empty() ? 0.0 : *std::max_element(bars.density.begin(), bars.density.end());
  Range y;
  y.include(0.0);
  y.include(bar_peak);
  DrawnDensity out;
  for (const double value : chart.whole.density) out.peak = std::max(out.peak, value);
  out.cut = bar_peak > 0.0 && out.peak > 3.0 * bar_peak;
  y.include(out.cut ? 3.0 * bar_peak : out.peak);
  const Range padded = y.for_axis(0.06);

  const Range range_y{0.0, padded.high};
  const std::vector<Tick> y_ticks = linear_ticks(range_y, 5);
  const double left = tick_room(y_ticks);
  const Plot plot{{left, 12, 960 - left, 400}, chart.range, range_y};
  Svg svg(976, 478, "density", "Density over " + chart.axis, chart.description);
  draw_axes(svg, plot, {}, y_ticks, {"", "density"});
  svg.open_clip(plot.box);
  for (std::size_t i = 0; i < bars.density.size(); ++i) {
    const double from = bars.low + static_cast<double>(i) * bars.width;
    const Point a = plot.at(from, bars.density[i]), b = plot.at(from + bars.width, 0.0);
    svg.rect({a.x + 0.5, a.y, b.x - a.x - 1.0, b.y - a.y}, "hist");
  }
  for (const Curve& part : chart.parts) {
    svg.path(area(plot, chart.x, part.density), "area " + part.css_class, part.name);
    svg.path(polyline(plot, chart.x, part.density), "line " + part.css_class, part.name);
  }
  svg.path(polyline(plot, chart.x, chart.whole.density), "line thick " + chart.whole.css_class,
           chart.whole.name);
  svg.close_clip();

  // Marks between the bars and the axis: one a row, its place along the axis its value.
  const Plot marks{{left, 416, 960 - left, 14}, chart.range, {0.0, 1.0}};
  for (const Rug& rug : chart.rugs) {
    PathData path;
    for (const double value : rug.values) {
      if (value < chart.range.low || !(value <= chart.range.high)) continue;
      path.move_to(marks.at(value, 1.0));
      path.line_to(marks.at(value, 0.0));
    }
    svg.path(path, "rug " + rug.css_class);
  }
  draw_axes(svg, marks, linear_ticks(marks.x, 8), {}, {chart.axis, ""});
  out.svg = svg.str();
  return out;
}

}  // namespace culatent::report
