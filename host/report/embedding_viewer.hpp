#pragma once

#include <string>

#include "host/report/page.hpp"
#include "host/report/page_input.hpp"
#include "host/report/scatter.hpp"
#include "host/report/tsne_page.hpp"

/// Rows on a canvas that a script draws, with what the script reads.
namespace culatent::report {

/// `still_html` stands in its place until the script runs. `exaggerated`: iterations.
std::string embedding_viewer(const PageInput& input, const EmbeddingShown& shown,
                             const LabelGroups& labels, int exaggerated,
                             const std::string& still_html);

/// The script: once in a page, after the viewer.
Script embedding_script();

}  // namespace culatent::report
