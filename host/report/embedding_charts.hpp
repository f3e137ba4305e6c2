#pragma once

#include <string>

#include "culatent/tsne.hpp"
#include "host/report/page_input.hpp"
#include "host/report/scatter.hpp"

/// Still drawings of embeddings. Their axes have no unit and no meaning of their own: no ticks.
namespace culatent::report {

/// The rows of input.sample, or 5,000 of them, coloured by their labels: one panel of 2 dimensions,
/// three of 3, a lane a label of 1.
std::string embedding_drawing(const PageInput& input, const LabelGroups& labels);

/// Where rows lie along one dimension.
std::string embedding_histogram(const PageInput& input);

/// The divergence where the trace has it; a line where the exaggeration ends, unless it is 0.
std::string divergence_chart(const std::vector<tsne::TraceEntry>& trace, int exaggerated);
std::string gradient_chart(const std::vector<tsne::TraceEntry>& trace);

}  // namespace culatent::report
