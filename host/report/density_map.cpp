#include "host/report/density_map.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

namespace culatent::report {
namespace {

// A blue grey that shows on white and on black paper; the most opaque it gets leaves points on top
// readable.
constexpr std::array<std::uint8_t, 3> kShade = {96, 125, 170};
constexpr double kMostOpaque = 0.62 * 255.0;

double highest(const Matrix<double>& log_density) {
  double high = -std::numeric_limits<double>::infinity();
  for (std::int64_t i = 0; i < log_density.size(); ++i) {
    if (std::isfinite(log_density.data()[i])) high = std::max(high, log_density.data()[i]);
  }
  return high;
}

// Far outside the data a density may underflow; lines are placed between finite numbers.
double finite_log(double value) {
  return std::isfinite(value) ? value : std::numeric_limits<double>::lowest() / 4;
}

}  // namespace

double log_level_of_share(const Matrix<double>& log_density, double share) {
  const double high = highest(log_density);
  std::vector<double> values;
  values.reserve(static_cast<std::size_t>(log_density.size()));
  double total = 0.0;
  for (std::int64_t i = 0; i < log_density.size(); ++i) {
    if (!std::isfinite(log_density.data()[i])) continue;
    values.push_back(log_density.data()[i]);
    total += std::exp(log_density.data()[i] - high);
  }
  std::sort(values.begin(), values.end(), std::greater<>());
  double mass = 0.0;
  for (const double value : values) {
    mass += std::exp(value - high);
    if (mass >= share * total) return value;
  }
  return -std::numeric_limits<double>::infinity();
}

Image shade(const Matrix<double>& log_density) {
  const double high = highest(log_density);
  Image image{log_density.cols(), log_density.rows(), 4, {}};
  image.pixels.reserve(static_cast<std::size_t>(log_density.size() * 4));
  for (std::int64_t i = log_density.rows() - 1; i >= 0; --i) {
    for (std::int64_t j = 0; j < log_density.cols(); ++j) {
      const double relative = log_density(i, j) - high;  // NaN where both are −∞
      const double opacity = std::isfinite(relative) ? std::exp(0.5 * relative) : 0.0;
      image.pixels.insert(image.pixels.end(), kShade.begin(), kShade.end());
      image.pixels.push_back(static_cast<std::uint8_t>(std::lround(kMostOpaque * opacity)));
    }
  }
  return image;
}

PathData contour(const Plot& plot, const Matrix<double>& log_density, const density::Axis& x,
                 const density::Axis& y, double log_level) {
  PathData path;
  if (!std::isfinite(log_level)) return path;
  const double step_x = (x.high - x.low) / static_cast<double>(std::max<std::int64_t>(1, x.n - 1));
  const double step_y = (y.high - y.low) / static_cast<double>(std::max<std::int64_t>(1, y.n - 1));
  for (std::int64_t i = 0; i + 1 < log_density.rows(); ++i) {
    for (std::int64_t j = 0; j + 1 < log_density.cols(); ++j) {
      // Corners in turn around the cell, as (row, column) offsets; edge e joins corners e and e+1.
      constexpr std::array<std::array<int, 2>, 4> kCorner = {{{0, 0}, {0, 1}, {1, 1}, {1, 0}}};
      std::array<double, 4> above{};
      for (std::size_t c = 0; c < 4; ++c) {
        above[c] = finite_log(log_density(i + kCorner[c][0], j + kCorner[c][1])) - log_level;
      }
      std::array<Point, 4> crossing{};
      std::size_t count = 0;
      for (std::size_t e = 0; e < 4; ++e) {
        const std::size_t f = (e + 1) % 4;
        if ((above[e] >= 0.0) == (above[f] >= 0.0)) continue;
        const double t = above[e] / (above[e] - above[f]);
        const double row = kCorner[e][0] + t * (kCorner[f][0] - kCorner[e][0]);
        const double column = kCorner[e][1] + t * (kCorner[f][1] - kCorner[e][1]);
        crossing[count++] = plot.at(x.low + (static_cast<double>(j) + column) * step_x,
                                    y.low + (static_cast<double>(i) + row) * step_y);
      }
      // A saddle has four crossings; which pairs belong together follows from the middle.
      const bool middle = above[0] + above[1] + above[2] + above[3] >= 0.0;
      const std::size_t shift = count == 4 && middle != (above[0] >= 0.0) ? 3 : 0;
      for (std::size_t pair = 0; pair + 1 < count; pair += 2) {
        path.move_to(crossing[(pair + shift) % count]);
        path.line_to(crossing[(pair + 1 + shift) % count]);
      }
    }
  }
  return path;
}

void draw_density(Svg& svg, const Plot& plot, const Matrix<double>& log_density,
                  const density::Axis& x, const density::Axis& y) {
  // A grid point is the middle of its pixel: the image reaches half a step beyond the outer ones.
  const double half_x =
      0.5 * (x.high - x.low) / static_cast<double>(std::max<std::int64_t>(1, x.n - 1));
  const double half_y =
      0.5 * (y.high - y.low) / static_cast<double>(std::max<std::int64_t>(1, y.n - 1));
  const Point top_left = plot.at(x.low - half_x, y.high + half_y);
  const Point bottom_right = plot.at(x.high + half_x, y.low - half_y);
  svg.open_clip(plot.box);
  svg.image({top_left.x, top_left.y, bottom_right.x - top_left.x, bottom_right.y - top_left.y},
            png_data_uri(shade(log_density)));
  for (const double share : {0.5, 0.8, 0.95}) {
    svg.path(contour(plot, log_density, x, y, log_level_of_share(log_density, share)), "contour");
  }
  svg.close_clip();
}

}  // namespace culatent::report
