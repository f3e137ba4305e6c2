#pragma once

#include <span>
#include <string>

#include "culatent/context.hpp"
#include "culatent/kmeans.hpp"
#include "host/report/page_input.hpp"

namespace culatent::report {

/// One self-contained HTML page (no scripts, nothing fetched) about a clustering: sizes, the curve
/// of the inertia, rows and centroids on one chart (one or two features) or along the principal
/// directions of the centroids pair by pair, images of the centroids, options. Throws
/// invalid_argument when the sample, labels, names or image shape do not suit the model.
std::string kmeans_page(const Context& context, const kmeans::Fit& fit, const PageInput& input);

/// A clustering in plain words for a terminal, a line a cluster, largest first.
std::string describe(const kmeans::Fit& fit, std::span<const std::string> column_names);

}  // namespace culatent::report
