#pragma once

#include <string>

#include "host/report/mixture_scene.hpp"

namespace culatent::report {

/// Log-likelihood, its gain, entropy and free energy by iteration, and the numbers as a table.
/// `tol` is the gain at which the fit stops; 0: not drawn.
std::string trace_figures(const gaussian_mixture::Fit& fit, double tol);

/// Horizontal bars, heaviest component first, the first 40 of them.
std::string weights_figure(const MixtureScene& scene);

}  // namespace culatent::report
