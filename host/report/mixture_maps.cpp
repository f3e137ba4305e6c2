#include "host/report/mixture_maps.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>

#include "culatent/density.hpp"
#include "host/report/density_map.hpp"
#include "host/report/mixture_geometry.hpp"
#include "host/report/plot.hpp"
#include "host/report/text.hpp"

namespace culatent::report {
namespace {

// With more components the outer ellipses hide the points.
constexpr std::int64_t kTwoEllipses = 12;

struct Columns {
  std::vector<double> x;
  std::vector<double> y;
};

Columns columns(const Matrix<double>& rows, std::int64_t x, std::int64_t y) {
  Columns out;
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    out.x.push_back(rows(i, x));
    out.y.push_back(rows(i, y));
  }
  return out;
}

// Points in the colours of their groups; the heaviest first, so that small ones stay on top.
void draw_points(Svg& svg, const Plot& plot, const MixtureScene& scene, const Columns& points,
                 bool small) {
  for (std::int64_t g = 0; g < scene.n_groups; ++g) {
    const Marker marker = series_marker(g);
    svg.path(marks(plot, points.x, points.y, marker, small ? 1.6 : 2.6, scene.group, g),
             fmt::format("{} {} {}", marker_class(marker), small ? "small" : "", series_class(g)));
  }
}

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
             "number mid " + scene.component_class(k));
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

}  // namespace

std::string density_figure_2d(const Context& context, const MixtureScene& scene) {
  const Columns points = columns(scene.input.sample, 0, 1);
  const Directions identity{Eigen::Vector2d::Zero(), Eigen::Matrix2d::Identity(),
                            Eigen::Vector2d::Zero()};
  std::vector<Component2> components;
  for (const ProjectedComponent& c : project(scene.model, identity)) {
    components.push_back({c.mean, c.covariance});
  }
  Range x, y;
  x.include(points.x);
  y.include(points.y);
  include_components(x, y, components, 2.5);  // beyond the line around 95 %
  const Plot plot{{76, 12, 884, 560}, x.for_axis(0.04), y.for_axis(0.05)};
  const density::Axis grid_x{plot.x.low, plot.x.high, 221}, grid_y{plot.y.low, plot.y.high, 141};
  const std::string name_x = column_name(scene.input.column_names, 0);
  const std::string name_y = column_name(scene.input.column_names, 1);

  Svg svg(976, 620, "density", fmt::format("Density over {} and {}", name_x, name_y),
          fmt::format("Scatter of the rows with the density of the mixture as shade and an ellipse "
                      "for each of {}",
                      plural(scene.model.n_components(), "component")));
  draw_axes(svg, plot, linear_ticks(plot.x, 8), linear_ticks(plot.y, 6), {name_x, name_y});
  draw_density(svg, plot, density::grid(context, scene.model, grid_x, grid_y), grid_x, grid_y);
  svg.open_clip(plot.box);
  draw_points(svg, plot, scene, points, false);
  draw_components(svg, plot, scene, components, false);
  svg.close_clip();
  return figure(
      svg.str() + legend(scene.point_legend()),
      fmt::format("{} Ellipses: {} of each component, numbered as in the model file. Shade: "
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
  constexpr double kLeft = 78, kGap = 16, kWidth = 976;
  const double side =
      (kWidth - kLeft - kGap * static_cast<double>(q - 2) - 8) / static_cast<double>(q - 1);
  const double high = q == 3 ? 0.72 * side : 0.84 * side;
  Svg svg(kWidth, 12 + (high + kGap) * static_cast<double>(q - 1) + 44, "pairs",
          "First principal directions, pair by pair",
          fmt::format("{} panels, each a scatter of the rows along two directions with an ellipse "
                      "of one standard deviation for each component",
                      q * (q - 1) / 2));
  const auto name = [&](std::int64_t j) {
    return fmt::format("direction {} ({})", j + 1, format_percent(directions.share(j)));
  };
  for (std::int64_t row = 1; row < q; ++row) {
    for (std::int64_t column = 0; column < row; ++column) {
      const Plot plot{{kLeft + (side + kGap) * static_cast<double>(column),
                       12 + (high + kGap) * static_cast<double>(row - 1), side, high},
                      ranges[static_cast<std::size_t>(column)],
                      ranges[static_cast<std::size_t>(row)]};
      const bool bottom = row == q - 1;
      draw_axes(svg, plot, bottom ? linear_ticks(plot.x, 4) : std::vector<Tick>{},
                column == 0 ? linear_ticks(plot.y, 4) : std::vector<Tick>{},
                {bottom ? name(column) : "", column == 0 ? name(row) : ""});
      svg.rect(plot.box, "frame");
      svg.open_clip(plot.box);
      draw_points(svg, plot, scene, columns(rows, column, row), true);
      std::vector<Component2> pair;
      for (const ProjectedComponent& c : components) {
        Component2 seen;
        const std::array<std::int64_t, 2> axes = {column, row};
        for (int a = 0; a < 2; ++a) {
          seen.mean(a) = c.mean(axes[static_cast<std::size_t>(a)]);
          for (int b = 0; b < 2; ++b) {
            seen.covariance(a, b) =
                c.covariance(axes[static_cast<std::size_t>(a)], axes[static_cast<std::size_t>(b)]);
          }
        }
        pair.push_back(seen);
      }
      draw_components(svg, plot, scene, pair, true);
      svg.close_clip();
    }
  }
  Table made_of{"The directions: their share of the mixture's variance and their largest entries",
                {"direction", "share", "entries"},
                {},
                false};
  for (std::int64_t j = 0; j < q; ++j) {
    made_of.rows.push_back({std::to_string(j + 1), format_percent(directions.share(j)),
                            recipe(directions.directions.col(j), scene.input.column_names)});
  }
  return figure(svg.str() + legend(scene.point_legend()),
                fmt::format(
                    "The directions in which the mixture spreads most, with their share of "
                    "its variance. {} Ellipses: 1 standard deviation of each component, "
                    "numbered as in the model file.{}",
                    scene.point_caption(),
                    scene.input.missing ? " Missing values stand at the mixture's mean." : "")) +
         table(made_of);
}

}  // namespace culatent::report
