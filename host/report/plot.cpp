#include "host/report/plot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/report/text.hpp"

namespace culatent::report {

std::string series_class(std::int64_t series) {
  return fmt::format("s{}", series % kSeriesColours);
}

Marker series_marker(std::int64_t series) {
  const std::int64_t round = series / kSeriesColours % 3;
  return round == 0 ? Marker::dot : round == 1 ? Marker::cross : Marker::bar;
}

const char* marker_class(Marker marker) {
  return marker == Marker::dot ? "dots" : marker == Marker::cross ? "crosses" : "bars";
}

Point Plot::at(double value_x, double value_y) const {
  return {box.x + box.width * ((value_x - x.low) / x.span()),
          box.y + box.height * (1.0 - (value_y - y.low) / y.span())};
}

namespace {

// Width of the longest label, at about 6.8 units a digit of the tick font.
double label_width(std::span<const Tick> ticks) {
  std::size_t widest = 0;
  for (const Tick& tick : ticks) widest = std::max(widest, length(tick.label));
  return 6.8 * static_cast<double>(widest);
}

}  // namespace

double tick_room(std::span<const Tick> ticks) { return std::max(60.0, label_width(ticks) + 36.0); }

void draw_axes(Svg& svg, const Plot& plot, std::span<const Tick> x_ticks,
               std::span<const Tick> y_ticks, const AxisTexts& texts) {
  const Box& box = plot.box;
  const double bottom = box.y + box.height;
  for (const Tick& tick : y_ticks) {
    const double y = plot.at(plot.x.low, tick.at).y;
    svg.line({box.x, y}, {box.x + box.width, y}, "grid");
    svg.text({box.x - 8, y + 4}, tick.label, "tick end");
  }
  for (const Tick& tick : x_ticks) {
    const double x = plot.at(tick.at, plot.y.low).x;
    svg.line({x, bottom}, {x, bottom + 5}, "axis");
    svg.text({x, bottom + 18}, tick.label, "tick mid");
  }
  svg.line({box.x, bottom}, {box.x + box.width, bottom}, "axis");
  if (!texts.x.empty()) svg.text({box.x + box.width / 2, bottom + 38}, texts.x, "label mid");
  if (!texts.y.empty()) {
    const double left = box.x - 20.0 - label_width(y_ticks);
    svg.vertical_text({left, box.y + box.height / 2}, texts.y, "label mid");
  }
}

PathData polyline(const Plot& plot, std::span<const double> x, std::span<const double> y) {
  PathData path;
  const auto finite = [&](std::size_t i) {
    return i < x.size() && std::isfinite(x[i]) && std::isfinite(y[i]);
  };
  bool drawing = false;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!finite(i)) {
      drawing = false;
      continue;
    }
    const Point p = plot.at(x[i], y[i]);
    if (drawing) {
      path.line_to(p);
    } else if (finite(i + 1)) {
      path.move_to(p);
    } else {
      path.dot(p);
    }
    drawing = true;
  }
  return path;
}

PathData area(const Plot& plot, std::span<const double> x, std::span<const double> y) {
  PathData path;
  if (x.empty()) return path;
  path.move_to(plot.at(x.front(), 0.0));
  for (std::size_t i = 0; i < x.size(); ++i) path.line_to(plot.at(x[i], y[i]));
  path.line_to(plot.at(x.back(), 0.0));
  path.close();
  return path;
}

PathData marks(const Plot& plot, std::span<const double> x, std::span<const double> y,
               Marker marker, double reach, std::span<const std::int64_t> group,
               std::int64_t wanted) {
  PathData path;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!std::isfinite(x[i]) || !std::isfinite(y[i])) continue;
    if (!group.empty() && group[i] != wanted) continue;
    const Point p = plot.at(x[i], y[i]);
    if (marker == Marker::dot) {
      path.dot(p);
    } else if (marker == Marker::bar) {
      path.move_to({p.x, p.y - reach});
      path.line_to({p.x, p.y + reach});
    } else {
      path.move_to({p.x - reach, p.y - reach});
      path.line_to({p.x + reach, p.y + reach});
      path.move_to({p.x - reach, p.y + reach});
      path.line_to({p.x + reach, p.y - reach});
    }
  }
  return path;
}

}  // namespace culatent::report
