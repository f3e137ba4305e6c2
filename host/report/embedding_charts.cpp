#include "host/report/embedding_charts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/report/charts.hpp"
#include "host/report/histogram.hpp"
#include "host/report/plot.hpp"
#include "host/report/sample_rows.hpp"
#include "host/report/text.hpp"

namespace culatent::report {
namespace {

constexpr double kWidth = 976;
constexpr std::int64_t kMostNumbers = 40;

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

// The rows of a drawing and their groups.
struct Drawn {
  Matrix<double> rows;
  std::vector<std::int64_t> group;
  std::int64_t n_groups = 1;
};

Drawn drawn(const PageInput& input, const LabelGroups& labels) {
  RowSample sample = sample_rows(MatrixRows<double>(input.sample.view()));
  Drawn out{std::move(sample.rows), {}, 1};
  if (labels.values.empty()) return out;
  out.n_groups = static_cast<std::int64_t>(labels.values.size());
  for (const std::int64_t i : sample.index) out.group.push_back(labels.group[index(i)]);
  return out;
}

Range range_of(const Matrix<double>& rows, std::int64_t column) {
  Range range;
  for (std::int64_t i = 0; i < rows.rows(); ++i) range.include(rows(i, column));
  return range.for_axis(0.04);
}

// The same scale in both directions, the rows in the middle.
Plot equal_plot(const Box& box, const Matrix<double>& rows, std::int64_t x, std::int64_t y) {
  Range across = range_of(rows, x), up = range_of(rows, y);
  const double unit = std::max(across.span() / box.width, up.span() / box.height);
  const auto widen = [](Range& range, double span) {
    const double extra = (span - range.span()) / 2;
    range = {range.low - extra, range.high + extra};
  };
  widen(across, unit * box.width);
  widen(up, unit * box.height);
  return {box, across, up};
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The label at the middle of its rows: colours alone do not tell everyone who is who.
void draw_numbers(Svg& svg, const Plot& plot, const Drawn& d, const LabelGroups& labels,
                  std::int64_t x, std::int64_t y) {
  if (labels.values.empty() || d.n_groups > kMostNumbers) return;
  std::vector<std::vector<double>> xs(index(d.n_groups)), ys(index(d.n_groups));
  for (std::int64_t i = 0; i < d.rows.rows(); ++i) {
    xs[index(d.group[index(i)])].push_back(d.rows(i, x));
    ys[index(d.group[index(i)])].push_back(d.rows(i, y));
  }
  for (std::int64_t g = 0; g < d.n_groups; ++g) {
    if (xs[index(g)].empty()) continue;
    const Point at = plot.at(median(xs[index(g)]), median(ys[index(g)]));
    svg.text({at.x, at.y + 4.5}, std::to_string(labels.values[index(g)]), "number mid ink");
  }
}

std::string lanes(const Drawn& d, const LabelGroups& labels) {
  constexpr std::int64_t kMostLanes = 24;
  const std::int64_t n_lanes = d.n_groups <= kMostLanes ? d.n_groups : 1;
  Matrix<double> points(d.rows.rows(), 2);
  for (std::int64_t i = 0; i < points.rows(); ++i) {
    points(i, 0) = d.rows(i, 0);
    points(i, 1) = n_lanes > 1 ? static_cast<double>(-d.group[index(i)]) : 0.0;
  }
  const double lane = n_lanes > 1 ? 26.0 : 60.0;
  const double height = lane * static_cast<double>(n_lanes);
  const Plot plot{{110, 8, kWidth - 118, height},
                  range_of(d.rows, 0),
                  {0.5 - static_cast<double>(n_lanes), 0.5}};
  Svg svg(kWidth, height + 16, "embedding", "The embedding", "Rows along one dimension");
  draw_points(svg, plot, points, 0, 1, d.group, d.n_groups, false);
  for (std::int64_t g = 0; g < n_lanes && !labels.values.empty() && n_lanes > 1; ++g) {
    svg.text({plot.box.x - 10, plot.at(0, static_cast<double>(-g)).y + 4.5},
             fmt::format("label {}", labels.values[index(g)]), "name end");
  }
  svg.rect(plot.box, "frame");
  return svg.str();
}

}  // namespace

std::string embedding_drawing(const PageInput& input, const LabelGroups& labels) {
  const Drawn d = drawn(input, labels);
  const std::int64_t q = d.rows.cols();
  if (q == 1) return lanes(d, labels);
  const auto panels = static_cast<double>(q == 2 ? 1 : 3);
  constexpr double kGap = 16;
  const double width = (kWidth - kGap * (panels - 1)) / panels;
  const double height = q == 2 ? 620 : width;
  Svg svg(kWidth, height + (q == 2 ? 4 : 28), "embedding", "The embedding",
          q == 2 ? "Scatter of the rows" : "Three panels, each along two of the three dimensions");
  constexpr std::int64_t kPairs[3][2] = {{0, 1}, {0, 2}, {1, 2}};
  for (std::int64_t k = 0; k < static_cast<std::int64_t>(panels); ++k) {
    const std::int64_t x = kPairs[k][0], y = kPairs[k][1];
    const Box box{static_cast<double>(k) * (width + kGap), 2, width, height};
    const Plot plot = equal_plot(box, d.rows, x, y);
    draw_points(svg, plot, d.rows, x, y, d.group, d.n_groups, q > 2 || d.rows.rows() > 2000);
    draw_numbers(svg, plot, d, labels, x, y);
    svg.rect(box, "frame");
    if (q == 2) continue;
    svg.text({box.x + width / 2, height + 20},
             fmt::format("dimension {} and, upwards, {}", x + 1, y + 1), "mid");
  }
  return svg.str();
}

std::string embedding_histogram(const PageInput& input) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < input.sample.rows(); ++i) values.push_back(input.sample(i, 0));
  const Histogram bins = histogram(values);
  if (bins.density.empty()) return "";
  const double most = *std::max_element(bins.density.begin(), bins.density.end());
  const Range x{bins.low, bins.low + bins.width * static_cast<double>(bins.density.size())};
  // As wide as the lanes of the canvas below it.
  const Plot plot{{28, 8, kWidth - 56, 150}, x, {0.0, 1.05 * most}};
  Svg svg(kWidth, 164, "histogram", "Histogram", "How many rows lie where along the dimension");
  for (std::size_t i = 0; i < bins.density.size(); ++i) {
    const double left = bins.low + bins.width * static_cast<double>(i);
    const Point top = plot.at(left, bins.density[i]), end = plot.at(left + bins.width, 0.0);
    svg.rect({top.x, top.y, end.x - top.x - 1, end.y - top.y}, "bar s0");
  }
  svg.text({28, 20}, "rows", "name");
  svg.line(plot.at(plot.x.low, 0.0), plot.at(plot.x.high, 0.0), "axis");
  return svg.str();
}

std::string divergence_chart(const std::vector<tsne::TraceEntry>& trace, int exaggerated) {
  std::vector<double> x, y;
  Range across, up;
  across.include(0.0);
  across.include(std::max(1.0, static_cast<double>(trace.size()) - 1.0));
  for (std::size_t t = 0; t < trace.size(); ++t) {
    if (!std::isfinite(trace[t].kl)) continue;
    x.push_back(static_cast<double>(t));
    y.push_back(trace[t].kl);
    up.include(trace[t].kl);
  }
  up.include(0.0);
  const Range shown = up.for_axis(0.08);
  const Plot plot{{60, 40, 404, 190}, across.for_axis(0.02), {0.0, shown.high}};
  Svg svg(480, 284, "trace-kl", "Kullback-Leibler divergence", "The divergence by iteration");
  svg.text({0, 16}, "Kullback-Leibler divergence", "name strong");
  draw_axes(svg, plot, integer_ticks(across), linear_ticks(plot.y, 4), {"iteration", "nats"});
  if (exaggerated > 0 && exaggerated < across.high) {
    const Point top = plot.at(exaggerated, plot.y.high), end = plot.at(exaggerated, 0.0);
    svg.line(top, end, "dash");
    const bool left = 2 * exaggerated > across.high;
    svg.text({top.x + (left ? -6.0 : 6.0), top.y + 10}, "exaggeration ends",
             left ? "tick end" : "tick");
  }
  if (x.empty()) svg.text({262, 140}, "nothing to draw", "tick mid");
  svg.path(polyline(plot, x, y), "line s0");
  if (x.size() <= 60) svg.path(marks(plot, x, y), "marks s0");
  return "<figure>\n" + svg.str() + "</figure>\n";
}

std::string gradient_chart(const std::vector<tsne::TraceEntry>& trace) {
  std::vector<double> norm;
  for (const tsne::TraceEntry& entry : trace) norm.push_back(std::log10(entry.gradient_norm));
  return trace_chart({"trace-gradient", "Norm of the gradient", "logarithmic scale", norm, true,
                      std::numeric_limits<double>::quiet_NaN()});
}

}  // namespace culatent::report
