#include "host/report/mixture_charts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "host/report/plot.hpp"
#include "host/report/text.hpp"

namespace culatent::report {
namespace {

constexpr std::size_t kMaxBars = 40;
constexpr std::size_t kMaxTableRows = 200;

struct TraceChart {
  const char* id;
  const char* title;
  const char* y_axis;
  std::vector<double> y;
  bool logarithmic;  // y holds decimal logarithms
  double limit;      // a dashed line; NaN: none
};

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

}  // namespace

std::string trace_figures(const gaussian_mixture::Fit& fit, double tol) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> likelihood, gain, entropy, energy;
  Table numbers{"Means over the rows, in nats; entry t is at the parameters after t updates",
                {"iteration", "log-likelihood", "gain", "entropy", "free energy"},
                {},
                true};
  for (std::size_t t = 0; t < fit.trace.size(); ++t) {
    const gaussian_mixture::TraceEntry& entry = fit.trace[t];
    const double change = t == 0 ? kNone : entry.log_likelihood - fit.trace[t - 1].log_likelihood;
    likelihood.push_back(entry.log_likelihood);
    gain.push_back(change > 0.0 ? std::log10(change) : kNone);
    entropy.push_back(entry.entropy);
    energy.push_back(entry.free_energy);
    // Both ends of a long trace; what lies between is in the report.
    if (t < kMaxTableRows / 2 || t + kMaxTableRows / 2 >= fit.trace.size()) {
      numbers.rows.push_back({std::to_string(t), format_number(entry.log_likelihood, 9),
                              format_number(change, 3), format_number(entry.entropy, 6),
                              format_number(entry.free_energy, 9)});
    }
  }
  const double limit = tol > 0.0 ? std::log10(tol) : kNone;
  return "<div class=\"pair\">\n" +
         trace_chart({"trace-likelihood", "Mean log-likelihood", "nats per row", likelihood, false,
                      kNone}) +
         trace_chart({"trace-gain", "Gain in log-likelihood", "nats per row", gain, true, limit}) +
         trace_chart({"trace-entropy", "Entropy of the memberships", "nats per row", entropy, false,
                      kNone}) +
         trace_chart({"trace-energy", "Free energy", "nats per row", energy, false, kNone}) +
         "</div>\n" + details("The numbers", table(numbers));
}

std::string weights_figure(const MixtureScene& scene) {
  const std::size_t count = std::min(kMaxBars, scene.by_weight.size());
  const double row = count <= 15 ? 26.0 : 19.0;
  const double heaviest = scene.weight(scene.by_weight.front());
  Range x;
  x.include(0.0);
  x.include(100.0 * heaviest);
  const double height = row * static_cast<double>(count);
  const Plot plot{{110, 4, 760, height}, {0.0, x.for_axis(0.0).high}, {0.0, 1.0}};
  Svg svg(976, height + 52, "weights", "Weights of the components",
          "Bars, heaviest component first");
  for (const Tick& tick : linear_ticks(plot.x, 6)) {
    const Point top = plot.at(tick.at, 1.0), bottom = plot.at(tick.at, 0.0);
    svg.line(top, bottom, "grid");
    svg.text({bottom.x, bottom.y + 18}, tick.label, "tick mid");
  }
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t k = scene.by_weight[i];
    const double top = plot.box.y + row * static_cast<double>(i);
    const double right = plot.at(100.0 * scene.weight(k), 0.0).x;
    const std::string percent = format_percent(scene.weight(k));
    svg.text({plot.box.x - 10, top + row / 2 + 4}, fmt::format("component {}", k), "name end");
    svg.rect({plot.box.x, top + 3, right - plot.box.x, row - 6},
             fmt::format("bar {}", scene.labelled ? "soft" : scene.component_class(k)),
             fmt::format("component {}, {}", k, percent));
    svg.text({right + 8, top + row / 2 + 4}, percent, "name");
  }
  svg.line(plot.at(0.0, 1.0), plot.at(0.0, 0.0), "axis");
  svg.text({plot.box.x + plot.box.width / 2, height + 42}, "weight (%)", "label mid");
  const std::size_t left_out = scene.by_weight.size() - count;
  return figure(svg.str(), left_out == 0 ? "Share of the rows that each component stands for."
                                         : fmt::format("The {} heaviest of {} components.", count,
                                                       scene.by_weight.size()));
}

}  // namespace culatent::report
