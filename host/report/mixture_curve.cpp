#include <fmt/format.h>

#include <cmath>
#include <numbers>

#include "culatent/density.hpp"
#include "host/report/density_curve.hpp"
#include "host/report/mixture_geometry.hpp"
#include "host/report/mixture_maps.hpp"
#include "host/report/plot.hpp"
#include "host/report/text.hpp"

namespace culatent::report {
namespace {

// Enough for a straight line between grid points to look like the curve.
constexpr std::int64_t kGrid = 801;

// w N(x; m, s²)
double component_density(double x, double weight, double mean, double deviation) {
  const double z = (x - mean) / deviation;
  return weight * std::exp(-0.5 * z * z) / (deviation * std::sqrt(2.0 * std::numbers::pi));
}

}  // namespace

std::string density_figure_1d(const Context& context, const MixtureScene& scene) {
  const Matrix<double>& sample = scene.input.sample;
  const Matrix<double> deviations = standard_deviations(scene.model);
  const std::vector<double> values(sample.data(), sample.data() + sample.size());
  Range range;
  range.include(values);
  for (const std::int64_t k : scene.by_weight) {
    range.include(scene.model.means(k, 0) - 2.5 * deviations(k, 0));
    range.include(scene.model.means(k, 0) + 2.5 * deviations(k, 0));
  }
  DensityChart chart;
  chart.axis = column_name(scene.input.column_names, 0);
  chart.description = "Histogram of the rows with the density of the mixture and of each component";
  chart.values = values;
  chart.range = range.for_axis(0.03);
  const Matrix<double> log_density =
      density::grid(context, scene.model, {chart.range.low, chart.range.high, kGrid});
  chart.whole = {"ink", "mixture", {}};
  for (std::int64_t i = 0; i < kGrid; ++i) {
    const double share = static_cast<double>(i) / static_cast<double>(kGrid - 1);
    chart.x.push_back(chart.range.low + share * chart.range.span());
    chart.whole.density.push_back(std::exp(log_density(0, i)));
  }
  for (const std::int64_t k : scene.by_weight) {
    Curve part{scene.component_class(k), fmt::format("component {}", k), {}};
    for (const double x : chart.x) {
      part.density.push_back(
          component_density(x, scene.weight(k), scene.model.means(k, 0), deviations(k, 0)));
    }
    chart.parts.push_back(std::move(part));
  }
  for (std::int64_t g = 0; g < scene.n_groups; ++g) {
    Rug rug{series_class(g), {}};
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (scene.group[i] == g) rug.values.push_back(values[i]);
    }
    chart.rugs.push_back(std::move(rug));
  }
  const DrawnDensity drawn = density_chart(chart);
  return figure(
      drawn.svg + legend(scene.point_legend()),
      fmt::format("Grey bars: histogram of the rows. Dark line: density of the mixture. Coloured: "
                  "each component times its weight. Marks: {}.{}",
                  scene.point_caption(),
                  drawn.cut ? fmt::format(" The highest peak, {}, leaves the chart.",
                                          format_number(drawn.peak, 3))
                            : ""));
}

}  // namespace culatent::report
