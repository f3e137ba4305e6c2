#pragma once

#include <span>
#include <string>
#include <vector>

#include "host/report/axis.hpp"
#include "host/report/plot.hpp"

namespace culatent::report {

/// A curve over the common grid of a chart of densities.
struct Curve {
  std::string css_class;  ///< colour
  std::string name;       ///< shown when pointed at
  std::vector<double> density;
};

/// Rows of one colour, marked below the axis.
struct Rug {
  std::string css_class;
  std::vector<double> values;
};

/// Histogram of `values`, `parts` as filled curves, `whole` as a line, marks of the rows. A peak
/// above three times the highest bar is cut, so that the bars stay visible.
struct DensityChart {
  std::string axis;  ///< name of the feature
  std::string description;
  std::span<const double> values;
  Range range;            ///< for_axis()
  std::vector<double> x;  ///< common grid of the curves
  std::vector<Curve> parts;
  Curve whole;
  std::vector<Rug> rugs;
};

struct DrawnDensity {
  std::string svg;
  bool cut = false;   ///< a peak leaves the chart
  double peak = 0.0;  ///< highest density of `whole`
};
DrawnDensity density_chart(const DensityChart& chart);

}  // namespace culatent::report
