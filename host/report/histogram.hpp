#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "host/report/axis.hpp"

namespace culatent::report {

/// Counts of equal bins over a range, as densities.
struct Histogram {
  double low = 0.0;
  double width = 1.0;           ///< of a bin
  std::vector<double> density;  ///< count / (n width): the bars' areas sum to one
};

/// Bins half as wide as Freedman & Diaconis have them (IQR n^(−1/3): the quartiles of data in
/// groups lie far apart), 1 to 80 of them, over the finite values' range. Without two different
/// finite values there are no bins.
Histogram histogram(std::span<const double> values);

}  // namespace culatent::report
