#include "host/report/kde_page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "culatent/density.hpp"
#include "culatent/error.hpp"
#include "host/report/density_curve.hpp"
#include "host/report/density_map.hpp"
#include "host/report/input_check.hpp"
#include "host/report/page.hpp"
#include "host/report/plot.hpp"
#include "host/report/run_details.hpp"
#include "host/report/sample_rows.hpp"
#include "host/report/scatter.hpp"
#include "host/report/text.hpp"

namespace culatent::report {
namespace {

// A grid costs kept rows times grid points: a drawing is made from so many of the rows at most.
constexpr std::int64_t kMaxKernels = 4000;

// Features that pair panels show.
constexpr std::int64_t kMaxPaired = 4;

struct Scene {
  const kde::Model& model;
  const PageInput& input;
  kde::Model thinned;  // same bandwidths, at most kMaxKernels rows
  LabelGroups labels;

  std::string name(std::int64_t j) const { return column_name(input.column_names, j); }
  std::int64_t n_groups() const {
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(labels.values.size()));
  }
};

// The estimate of some features alone: of a product kernel the other factors integrate to one.
kde::Model marginal(const kde::Model& model, std::span<const std::int64_t> features) {
  kde::Model out;
  out.rows = Matrix<double>(model.rows.rows(), static_cast<std::int64_t>(features.size()));
  for (std::size_t j = 0; j < features.size(); ++j) {
    out.bandwidth.push_back(model.bandwidth[static_cast<std::size_t>(features[j])]);
    for (std::int64_t i = 0; i < model.rows.rows(); ++i) {
      out.rows(i, static_cast<std::int64_t>(j)) = model.rows(i, features[j]);
    }
  }
  return out;
}

Range feature_range(const Scene& scene, std::int64_t j) {
  const double reach = 3.0 * scene.model.bandwidth[static_cast<std::size_t>(j)];
  Range range;
  for (std::int64_t i = 0; i < scene.model.rows.rows(); ++i) {
    range.include(scene.model.rows(i, j) - reach);
    range.include(scene.model.rows(i, j) + reach);
  }
  return range.for_axis();
}

std::string caption(const Scene& scene, const char* drawing) {
  const std::int64_t kernels = scene.thinned.rows.rows(), n = scene.model.rows.rows();
  return fmt::format("{} Points: {}{}.{}", drawing,
                     sample_text(scene.input.sample.rows(), scene.input.n_rows),
                     scene.labels.values.empty() ? "" : ", coloured by the given labels",
                     kernels < n ? fmt::format(" The density is drawn from {} of the {} kernels.",
                                               format_count(kernels), format_count(n))
                                 : "");
}

std::string figure_1d(const Context& context, const Scene& scene) {
  constexpr std::int64_t kGrid = 801;
  const std::vector<double> values(scene.input.sample.data(),
                                   scene.input.sample.data() + scene.input.sample.size());
  DensityChart chart;
  chart.axis = scene.name(0);
  chart.description = "Histogram of the rows with the kernel density estimate";
  chart.values = values;
  chart.range = feature_range(scene, 0);
  const Matrix<double> log_density =
      density::grid(context, scene.thinned, {chart.range.low, chart.range.high, kGrid});
  chart.whole = {"s0", "density", {}};
  for (std::int64_t i = 0; i < kGrid; ++i) {
    const double share = static_cast<double>(i) / static_cast<double>(kGrid - 1);
    chart.x.push_back(chart.range.low + share * chart.range.span());
    chart.whole.density.push_back(std::exp(log_density(0, i)));
  }
  for (std::int64_t g = 0; g < scene.n_groups(); ++g) {
    Rug rug{series_class(g), {}};
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (scene.labels.group.empty() || scene.labels.group[i] == g) rug.values.push_back(values[i]);
    }
    chart.rugs.push_back(std::move(rug));
  }
  const DrawnDensity drawn = density_chart(chart);
  return figure(drawn.svg + legend(label_legend(scene.labels)),
                caption(scene, "Line: the density. Grey bars: histogram of the rows."));
}

void draw_pair(Svg& svg, const Context& context, const Scene& scene, const Plot& plot,
               std::int64_t column, std::int64_t row, std::int64_t grid, bool small) {
  const density::Axis x{plot.x.low, plot.x.high, grid};
  const density::Axis y{plot.y.low, plot.y.high, grid * 2 / 3};
  const std::int64_t features[] = {column, row};
  const Matrix<double> log_density =
      density::grid(context, marginal(scene.thinned, features), x, y);
  draw_density(svg, plot, log_density, x, y);
  svg.open_clip(plot.box);
  draw_points(svg, plot, scene.input.sample, column, row, scene.labels.group, scene.n_groups(),
              small);
  svg.close_clip();
}

constexpr const char* kMapCaption =
    "Shade: the density; the thin lines enclose the densest 50, 80 and 95 % of what is drawn.";

std::string figure_2d(const Context& context, const Scene& scene) {
  const Range x = feature_range(scene, 0), y = feature_range(scene, 1);
  const std::vector<Tick> y_ticks = linear_ticks(y, 6);
  const double left = tick_room(y_ticks);
  const Plot plot{{left, 12, 960 - left, 560}, x, y};
  Svg svg(976, 620, "density", fmt::format("Density over {} and {}", scene.name(0), scene.name(1)),
          "Scatter of the rows with the density as shade and lines");
  draw_axes(svg, plot, linear_ticks(x, 8), y_ticks, {scene.name(0), scene.name(1)});
  draw_pair(svg, context, scene, plot, 0, 1, 181, false);
  return figure(svg.str() + legend(label_legend(scene.labels)), caption(scene, kMapCaption));
}

std::string figure_pairs(const Context& context, const Scene& scene) {
  const std::int64_t q = std::min(kMaxPaired, scene.model.rows.cols());
  std::vector<Range> ranges;
  std::vector<std::string> names;
  for (std::int64_t j = 0; j < q; ++j) {
    ranges.push_back(feature_range(scene, j));
    names.push_back(scene.name(j));
  }
  const PairGrid grid(std::move(ranges));
  Svg svg(grid.width(), grid.height(), "pairs", "Features pair by pair",
          fmt::format("{} panels, each a scatter of the rows over two features with the density of "
                      "the two as shade and lines",
                      q * (q - 1) / 2));
  for (std::int64_t row = 1; row < q; ++row) {
    for (std::int64_t column = 0; column < row; ++column) {
      grid.draw_frame(svg, row, column, names);
      draw_pair(svg, context, scene, grid.panel(row, column), column, row, 90, true);
    }
  }
  return figure(svg.str() + legend(label_legend(scene.labels)), caption(scene, kMapCaption));
}

std::string bandwidth_table(const Scene& scene) {
  constexpr std::int64_t kMost = 100;
  const std::int64_t d = scene.model.rows.cols();
  Table out;
  out.caption = "Standard deviation of the Gaussian kernel along every feature";
  if (d > kMost) out.caption += fmt::format(" (the first {} of {})", kMost, format_count(d));
  out.head = {"feature", "bandwidth"};
  for (std::int64_t j = 0; j < std::min(d, kMost); ++j) {
    out.rows.push_back(
        {scene.name(j), format_number(scene.model.bandwidth[static_cast<std::size_t>(j)], 5)});
  }
  out.numeric = false;
  return table(out);
}

}  // namespace

std::string kde_page(const Context& context, const kde::Model& model, const PageInput& input) {
  const std::int64_t d = model.rows.cols();
  check_input(input, d);
  if (d < 1 || static_cast<std::int64_t>(model.bandwidth.size()) != d) {
    throw invalid_argument(fmt::format("{} bandwidths for {} features", model.bandwidth.size(), d),
                           "report page", "pass a model as kde::fit() or kde::load() made it");
  }
  const MatrixRows<double> rows(model.rows.view());
  const Scene scene{model,
                    input,
                    {sample_rows(rows, kMaxKernels).rows, model.bandwidth},
                    label_groups(input.labels)};
  const nlohmann::json report = parse_report(input);
  const std::string title = page_title(input, "Kernel density");
  const std::string lead =
      fmt::format("The density of {} of {}, as the mean of a Gaussian around each.",
                  plural(model.rows.rows(), "row"), plural(d, "feature"));
  std::string body = page_header("Kernel density estimate", title, lead, "");
  body += section("Density", d == 1   ? figure_1d(context, scene)
                             : d == 2 ? figure_2d(context, scene)
                                      : figure_pairs(context, scene));
  body += section("Bandwidths", bandwidth_table(scene));
  body += section("How it was made", run_details(report, input));
  return html_document(title, body);
}

}  // namespace culatent::report
