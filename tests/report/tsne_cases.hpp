#pragma once

#include <string>
#include <vector>

#include "culatent/tsne.hpp"
#include "host/report/page_input.hpp"
#include "host/report/tsne_page.hpp"

/// Embeddings that pages are tested with: drawn here, no fit is run.
namespace culatent::report::cases {

struct TsneCase {
  std::string name;
  tsne::Fit fit;
  PageInput input;
  EmbeddingShown shown;
};

/// `n_rows` rows around one centre a label in q dimensions, row i of label i mod n_labels, each
/// `every`-th shown, with `n_frames` snapshots while they drift apart. n_labels = 1: none given.
TsneCase planted_embedding(const std::string& name, std::int64_t n_rows, int q, int n_labels,
                           int n_frames = 0, std::int64_t every = 1);

/// 1, 2 and 3 dimensions, labels few, many and none, snapshots, a part of the rows, one point only,
/// a trace with gaps.
std::vector<TsneCase> all_embeddings();

}  // namespace culatent::report::cases
