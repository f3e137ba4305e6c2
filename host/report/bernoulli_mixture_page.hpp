#pragma once

#include <span>
#include <string>

#include "culatent/bernoulli_mixture.hpp"
#include "culatent/context.hpp"
#include "host/report/page_input.hpp"

namespace culatent::report {

/// One self-contained HTML page (no scripts, nothing fetched) about a fitted mixture: the means as
/// images or by their outstanding features, weights, labels by component, the trace, options.
/// Throws invalid_argument when the sample, labels, names or image shape do not suit the model.
std::string bernoulli_mixture_page(const Context& context, const bernoulli_mixture::Fit& fit,
                                   const PageInput& input);

/// A mixture in plain words for a terminal, a line a component, largest first.
std::string describe(const bernoulli_mixture::Fit& fit, std::span<const std::string> column_names);

}  // namespace culatent::report
