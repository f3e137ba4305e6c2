#pragma once

#include <array>
#include <cstdint>

#include "culatent/context.hpp"
#include "culatent/gaussian_mixture.hpp"
#include "culatent/kde.hpp"

/// Densities on regular grids, for drawing and for integrating.
namespace culatent::density {

/// One axis: n points from low to high, both included. n ≥ 1.
struct Axis {
  double low = 0.0;
  double high = 1.0;
  std::int64_t n = 100;
};

/// log p at every grid point of a 1-d model: [1, x.n].
Matrix<double> grid(const Context& context, const gaussian_mixture::Model& model, Axis x);
Matrix<double> grid(const Context& context, const kde::Model& model, Axis x);
/// log p at every grid point of a 2-d model: [y.n, x.n], row i at the i-th y.
Matrix<double> grid(const Context& context, const gaussian_mixture::Model& model, Axis x, Axis y);
Matrix<double> grid(const Context& context, const kde::Model& model, Axis x, Axis y);

}  // namespace culatent::density
