#include "host/report/mixture_maps.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "culatent/density.hpp"
#include "host/report/density_map.hpp"
#include "host/report/mean_images.hpp"
#include "host/report/mixture_geometry.hpp"
#include "host/report/plot.hpp"
#include "host/report/scatter.hpp"
#include "host/report/text.hpp"

namespace culatent::report {
namespace {

// With more components the outer ellipses hide the points.
constexpr std::int64_t kTwoEllipses = 12;

// The ellipse of `sigmas` standard deviations on paper: the covariance is scaled as the axes are,
// then its axes are found, since a turned ellipse stretched along x has other axes.
void draw_ellipse(Svg& svg, const Plot& plot, const Eigen::Vector2d& mean,
                  const Eigen::Matrix2d& covariance, double sigmas, const std::string& css_class,
                  const std::string& tooltip) {
  const Eigen::DiagonalMatrix<double, 2> scale(plot.box.width / plot.x.span(),
                                               -plot.box.height / plot.y.span());
  const Ellipse shape = ellipse(scale * covariance * scale);
  svg.ellipse(plot.at(mean(0), mean(1)), sigmas * shape.major, sigmas * shape.minor,
              shape.radians * 180.0 / std::numbers::pi, css_class, tooltip);
}

struct Component2 {
  Eigen::Vector2d mean;
  Eigen::Matrix2d covariance;
};

void draw_components(Svg& svg, const Plot& plot, const MixtureScene& scene,
                     const std::vector<Component2>& components, bool thin) {
  const bool crowded = thin && scene.model.n_components() > kTwoEllipses;
  const bool two = scene.model.n_components() <= kTwoEllipses && !thin;
  for (const std::int64_t k : scene.by_weight) {
    const Component2& c = components[static_cast<std::size_t>(k)];
    const std::string colour = scene.component_class(k);
    const std::string tooltip =
        fmt::format("component {}, weight {}", k, format_percent(scene.weight(k)));
    if (two) {
      draw_ellipse(svg, plot, c.mean, c.covariance, 2.0, "halo", "");
      draw_ellipse(svg, plot, c.mean, c.covariance, 2.0, "ellipse outer " + colour, tooltip);
    }
    draw_ellipse(svg, plot, c.mean, c.covariance, 1.0, "halo", "");
    draw_ellipse(svg, plot, c.mean, c.covariance, 1.0,
                 fmt::format("ellipse {} {}", thin ? "thin" : "", colour), tooltip);
  }
  for (const std::int64_t k : scene.by_weight) {
    const Component2& c = components[static_cast<std::size_t>(k)];
    const Point centre = plot.at(c.mean(0), c.mean(1));
    svg.text({centre.x, centre.y + 4.5}, std::to_string(k),
             fmt::format("number {} mid {}", crowded ? "tiny" : "", scene.component_class(k)));
  }
}

void include_components(Range& x, Range& y, const std::vector<Component2>& components,
                        double sigmas) {
  for (const Component2& c : components) {
    for (const double side : {-sigmas, sigmas}) {
      x.include(c.mean(0) + side * std::sqrt(c.covariance(0, 0)));
      y.include(c.mean(1) + side * std::sqrt(c.covariance(1, 1)));
    }
  }
}

std::vector<Component2> pair_of(const std::vector<ProjectedComponent>& components, std::int64_t x,
                                std::int64_t y) {
  std::vector<Component2> out;
  for (const ProjectedComponent& c : components) {
    Component2 seen{{c.mean(x), c.mean(y)}, {}};
    seen.covariance << c.covariance(x, x), c.covariance(x, y), c.covariance(y, x),
        c.covariance(y, y);
    out.push_back(seen);
  }
  return out;
}

// "x37 0.42, x22 −0.31, …": the largest entries of a direction.
std::string recipe(const Eigen::VectorXd& direction, std::span<const std::string> names) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(direction.size()));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return std::abs(direction(a)) > std::abs(direction(b));
  });
  constexpr std::size_t kMost = 6;
  std::string out;
  for (std::size_t i = 0; i < std::min(kMost, order.size()); ++i) {
    out += fmt::format("{}{} {}", out.empty() ? "" : ",  ",
                       quantity(column_name(names, order[i])).name,
                       format_fixed(direction(order[i]), 2));
  }
  return order.size() > kMost ? out + ", …" : out;
}

std::string direction_table(const Directions& directions, const PageInput& input) {
  Table out{"The directions: their share of the mixture's variance and their largest entries",
            {"direction", "share", "entries"},
            {},
            false};
  for (std::int64_t j = 0; j < directions.share.size(); ++j) {
    out.rows.push_back({std::to_string(j + 1), format_percent(directions.share(j)),
                        recipe(directions.directions.col(j), input.column_names)});
  }
  return table(out);
}

}  // namespace

std::string density_figure_2d(const Context& context, const MixtureScene& scene) {
  const Matrix<double>& sample = scene.input.sample;
  const Directions identity{Eigen::Vector2d::Zero(), Eigen::Matrix2d::Identity(),
                            Eigen::Vector2d::Zero()};
  const std::vector<Component2> components = pair_of(project(scene.model, identity), 0, 1);
  Range x, y;
  for (std::int64_t i = 0; i < sample.rows(); ++i) {
    x.include(sample(i, 0));
    y.include(sample(i, 1));
  }
  include_components(x, y, components, 2.5);  // beyond the line around 95 %
  x = x.for_axis(0.04);
  y = y.for_axis(0.05);
  const std::vector<Tick> y_ticks = linear_ticks(y, 6);
  const double left = tick_room(y_ticks);
  const Plot plot{{left, 12, 960 - left, 560}, x, y};
  const density::Axis grid_x{plot.x.low, plot.x.high, 221}, grid_y{plot.y.low, plot.y.high, 141};
  const std::string name_x = column_name(scene.input.column_names, 0);
  const std::string name_y = column_name(scene.input.column_names, 1);

  Svg svg(976, 620, "density", fmt::format("Density over {} and {}", name_x, name_y),
          fmt::format("Scatter of the rows with the density of the mixture as shade and an ellipse "
                      "for each of {}",
                      plural(scene.model.n_components(), "component")));
  draw_axes(svg, plot, linear_ticks(x, 8), y_ticks, {name_x, name_y});
  draw_density(svg, plot, density::grid(context, scene.model, grid_x, grid_y), grid_x, grid_y);
  svg.open_clip(plot.box);
  draw_points(svg, plot, sample, 0, 1, scene.group, scene.n_groups, false);
  draw_components(svg, plot, scene, components, false);
  svg.close_clip();
  return figure(
      svg.str() + legend(scene.point_legend()),
      fmt::format(
          "Points: {}. Ellipses: {} of each component, numbered as in the model file. Shade: "
          "density of the mixture; the thin lines enclose the densest 50, 80 and 95 % of "
          "what is drawn.",
          scene.point_caption(),
          scene.model.n_components() <= kTwoEllipses ? "1 and 2 standard deviations"
                                                     : "1 standard deviation"));
}

std::string principal_pairs(const MixtureScene& scene) {
  const std::int64_t q = std::min<std::int64_t>(4, scene.model.n_features());
  const Directions directions = principal_directions(scene.model, q);
  const std::vector<ProjectedComponent> components = project(scene.model, directions);
  const Matrix<double> rows = project(scene.input.sample, directions);

  std::vector<Range> ranges;
  for (std::int64_t j = 0; j < q; ++j) {
    Range range;
    for (std::int64_t i = 0; i < rows.rows(); ++i) range.include(rows(i, j));
    for (const ProjectedComponent& c : components) {
      const double deviation = std::sqrt(std::max(0.0, c.covariance(j, j)));
      range.include(c.mean(j) - 1.5 * deviation);
      range.include(c.mean(j) + 1.5 * deviation);
    }
    ranges.push_back(range.for_axis(0.05));
  }
  const PairGrid grid(std::move(ranges));
  Svg svg(grid.width(), grid.height(), "pairs", "First principal directions, pair by pair",
          fmt::format("{} panels, each a scatter of the rows along two directions with an ellipse "
                      "of one standard deviation for each component",
                      q * (q - 1) / 2));
  std::vector<std::string> names;
  for (std::int64_t j = 0; j < q; ++j) {
    names.push_back(fmt::format("direction {} ({})", j + 1, format_percent(directions.share(j))));
  }
  for (std::int64_t row = 1; row < q; ++row) {
    for (std::int64_t column = 0; column < row; ++column) {
      grid.draw_frame(svg, row, column, names);
      const Plot plot = grid.panel(row, column);
      svg.open_clip(plot.box);
      draw_points(svg, plot, rows, column, row, scene.group, scene.n_groups, true);
      draw_components(svg, plot, scene, pair_of(components, column, row), true);
      svg.close_clip();
    }
  }
  const std::string made_of = scene.input.image_height > 0
                                  ? direction_images(directions, scene.input)
                                  : direction_table(directions, scene.input);
  return figure(svg.str() + legend(scene.point_legend()),
                fmt::format(
                    "The directions in which the mixture spreads most, with their share of "
                    "its variance. Points: {}. Ellipses: 1 standard deviation of each component, "
                    "numbered as in the model file.{}",
                    scene.point_caption(),
                    scene.input.missing ? " Missing values stand at the mixture's mean." : "")) +
         made_of;
}

}  // namespace culatent::report
