#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "culatent/tsne.hpp"
#include "host/report/embedding_frames.hpp"
#include "host/report/page_input.hpp"

namespace culatent::report {

/// What a page of an embedding shows beside the fit and a PageInput, whose `sample` are the
/// positions of the rows shown and whose `labels` are theirs.
struct EmbeddingShown {
  std::vector<std::int64_t> rows;      ///< [m] ascending
  std::int64_t n_features = 0;         ///< of the data
  std::vector<EmbeddingFrame> frames;  ///< the fit's snapshots of these rows; may be empty
};

/// A page about an embedding: the rows on a canvas that zooms and tells who they are, through the
/// snapshots when there are several, with a still drawing for browsers that run no scripts; how the
/// divergence fell; how it was made. The page's policy allows its own script, by its hash, and
/// nothing else. Throws invalid_argument where parts of the input do not belong together.
std::string tsne_page(const tsne::Fit& fit, const PageInput& input, const EmbeddingShown& shown);

/// One line of words about a fit, for a terminal.
std::string describe(const tsne::Fit& fit);

}  // namespace culatent::report
