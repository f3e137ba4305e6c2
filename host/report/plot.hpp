#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/report/axis.hpp"
#include "host/report/svg.hpp"

/// The parts of a chart: a box of the drawing, ranges of values, axes, series.
namespace culatent::report {

/// Colours that the style sheet has; series beyond them begin again, so series are numbered too.
constexpr int kSeriesColours = 8;

/// "s0" … "s7": the class that sets the colour of a series.
std::string series_class(std::int64_t series);

/// How the points of a series look: the first eight series are dots, the next crosses, the next
/// bars, so that colours may come again.
enum class Marker { dot, cross, bar };
Marker series_marker(std::int64_t series);
const char* marker_class(Marker marker);  ///< "dots", "crosses", "bars"

/// Where values land. Ranges must come from Range::for_axis().
struct Plot {
  Box box;
  Range x;
  Range y;

  Point at(double value_x, double value_y) const;
};

struct AxisTexts {
  std::string x;
  std::string y;
};

/// What the labels of the ticks of a vertical axis and its name need to the left of the box.
double tick_room(std::span<const Tick> ticks);

/// Grid lines, tick labels and axis names around the box.
void draw_axes(Svg& svg, const Plot& plot, std::span<const Tick> x_ticks,
               std::span<const Tick> y_ticks, const AxisTexts& texts);

/// A line through (x[i], y[i]) that breaks where either is not finite. A point between two breaks
/// is drawn as a dot.
PathData polyline(const Plot& plot, std::span<const double> x, std::span<const double> y);

/// The area between a line of finite values and y = 0.
PathData area(const Plot& plot, std::span<const double> x, std::span<const double> y);

/// A mark for every i with group[i] = `wanted` and finite coordinates. `group` may be empty: all.
/// `reach` is half the extent of crosses and bars.
PathData marks(const Plot& plot, std::span<const double> x, std::span<const double> y,
               Marker marker = Marker::dot, double reach = 0.0,
               std::span<const std::int64_t> group = {}, std::int64_t wanted = 0);

}  // namespace culatent::report
