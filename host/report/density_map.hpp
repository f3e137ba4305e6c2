#pragma once

#include <cstdint>

#include "culatent/density.hpp"
#include "culatent/matrix.hpp"
#include "host/report/plot.hpp"
#include "host/report/png.hpp"

/// A density on a regular grid as a picture: shade and contour lines.
namespace culatent::report {

/// The density above which `share` of the grid's mass lies: the line around the smallest region
/// that holds the share. `log_density` is [y, x]; −∞ is no density. Returns its logarithm, −∞ for a
/// grid without mass.
double log_level_of_share(const Matrix<double>& log_density, double share);

/// Shade in one colour, more opaque where denser (square root of the density, so that tails show);
/// clear where there is none. The first row of the image is the highest y.
Image shade(const Matrix<double>& log_density);

/// The lines log density = level through the grid cells (marching squares, straight in each cell).
/// Grid point (i, j) lies at (x.low + j step, y.low + i step).
PathData contour(const Plot& plot, const Matrix<double>& log_density, const density::Axis& x,
                 const density::Axis& y, double log_level);

/// Shade and the lines that enclose 50, 80 and 95 % of the mass, cut at the plot's box.
void draw_density(Svg& svg, const Plot& plot, const Matrix<double>& log_density,
                  const density::Axis& x, const density::Axis& y);

}  // namespace culatent::report
