#pragma once

#include <string>

#include "culatent/context.hpp"
#include "culatent/kde.hpp"
#include "host/report/page_input.hpp"

namespace culatent::report {

/// One self-contained HTML page about a kernel density estimate: the density of one or two features
/// under the points (of more features, the pairs of the first ones), and the bandwidths.
/// Throws invalid_argument when the sample, labels or names do not suit the model.
std::string kde_page(const Context& context, const kde::Model& model, const PageInput& input);

}  // namespace culatent::report
