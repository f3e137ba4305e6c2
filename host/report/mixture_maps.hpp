#pragma once

#include <string>

#include "host/report/mixture_scene.hpp"

/// The mixture over its rows, as HTML figures.
namespace culatent::report {

/// One feature: histogram of the sampled rows, density of the mixture and of each component.
std::string density_figure_1d(const Context& context, const MixtureScene& scene);

/// Two features: shade and contour lines of the density, points, ellipses of 1 and 2 standard
/// deviations with the components' numbers.
std::string density_figure_2d(const Context& context, const MixtureScene& scene);

/// Three features and more: the first three or four principal directions of the mixture, pair by
/// pair, with points and the components' projections; and what the directions are made of.
std::string principal_pairs(const MixtureScene& scene);

}  // namespace culatent::report
