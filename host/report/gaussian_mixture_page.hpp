#pragma once

#include <string>

#include "culatent/context.hpp"
#include "culatent/gaussian_mixture.hpp"
#include "host/report/page_input.hpp"

namespace culatent::report {

/// One self-contained HTML page (no scripts, nothing fetched) about a fitted mixture: what was
/// found, the trace, the weights, the density with ellipses over the points (one or two features)
/// or the first principal directions pair by pair, images of the means, parameters and options.
/// Throws invalid_argument when the sample, labels, names or image shape do not suit the model.
std::string gaussian_mixture_page(const Context& context, const gaussian_mixture::Fit& fit,
                                  const PageInput& input);

}  // namespace culatent::report
