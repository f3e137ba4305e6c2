#include "culatent/embedding_quality.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "culatent/error.hpp"
#include "host/host_rows.hpp"
#include "host/place.hpp"
#include "kernels/embedding_quality.hpp"

namespace culatent::embedding_quality {
namespace {

void check_shape(const RowSource<float>& rows, const char* name) {
  if (rows.rows() > 0 && rows.cols() > 0) return;
  throw data_error(std::string("no ") + name + ": " + std::to_string(rows.rows()) + " rows, " +
                       std::to_string(rows.cols()) + " columns",
                   "shape", "give at least one row and one column");
}

void check_options(const Options& options, std::int64_t most_neighbours, const char* why) {
  if (options.sample_rows < 1) {
    throw invalid_argument("sample_rows is " + std::to_string(options.sample_rows),
                           "embedding_quality", "give at least 1");
  }
  if (options.n_neighbors < 1 || options.n_neighbors > most_neighbours) {
    throw invalid_argument("n_neighbors is " + std::to_string(options.n_neighbors),
                           "embedding_quality",
                           "give 1 to " + std::to_string(most_neighbours) + ", " + why);
  }
}

// sample_rows rows, evenly spread; all where these are no more.
std::vector<std::int64_t> choose_asked(std::int64_t n, const Options& options) {
  const std::int64_t m = std::min(n, options.sample_rows);
  std::vector<std::int64_t> asked;
  asked.reserve(static_cast<std::size_t>(m));
  // ⌊i n / m⌋ without the product.
  for (std::int64_t i = 0; i < m; ++i) asked.push_back(i * (n / m) + i * (n % m) / m);
  return asked;
}

// Scratch of as many workers as the memory limit leaves beside `common` bytes.
std::vector<TileScratch> make_workspace(const Context& context, std::int64_t common,
                                        std::int64_t n_tiles, std::int64_t n_features,
                                        std::int64_t k) {
  const std::int64_t limit = context.options().memory_limit;
  const std::int64_t per_worker = TileScratch::bytes(n_features, k);
  std::int64_t n_workers = std::min<std::int64_t>(context.n_threads(), n_tiles);
  if (limit > 0) n_workers = std::min(n_workers, (limit - common) / per_worker);
  if (n_workers < 1) {
    throw out_of_memory("the quality of an embedding takes " + std::to_string(common + per_worker) +
                            " bytes, the limit is " + std::to_string(limit),
                        "memory_limit / --memory-limit", "raise it, or ask for fewer neighbours");
  }
  std::vector<TileScratch> workspace;
  for (std::int64_t worker = 0; worker < n_workers; ++worker) {
    workspace.emplace_back(n_features, k);
  }
  return workspace;
}

std::int64_t n_tiles(std::int64_t n_asked, std::int64_t n_features, std::int64_t k) {
  const std::int64_t rows = TileScratch::tile_rows(n_features, k);
  return (n_asked + rows - 1) / rows;
}

}  // namespace

Quality quality(const Context& context, const RowSource<float>& rows,
                const RowSource<float>& embedding, const Options& options) {
  check_shape(rows, "data");
  check_shape(embedding, "embedding");
  const std::int64_t n = rows.rows(), k = options.n_neighbors;
  if (embedding.rows() != n) {
    throw data_error("the embedding has " + std::to_string(embedding.rows()) + " rows, the data " +
                         std::to_string(n),
                     "rows", "give the embedding of these rows");
  }
  check_options(options, (n - 1) / 2, "fewer than half the rows");
  check_rows(context, rows);
  check_rows(context, embedding);
  const HostRows<float> data(context, rows), places(context, embedding);

  const std::int64_t d = std::max(rows.cols(), embedding.cols());
  const std::int64_t m = std::min(n, options.sample_rows);
  constexpr std::int64_t kAskedBytes = sizeof(std::int64_t) + sizeof(Kept);
  std::vector<TileScratch> workspace =
      make_workspace(context, checked_product(m, kAskedBytes), n_tiles(m, d, k), d, k);
  const std::vector<std::int64_t> asked = choose_asked(n, options);
  std::vector<Kept> kept(asked.size());
  compare_neighbourhoods({context.threads(), static_cast<int>(workspace.size())}, workspace,
                         {data, "data"}, {places, "embedding"}, asked, k, kept);

  double excess = 0.0, shared = 0.0;  // whole numbers
  for (const Kept& own : kept) {
    excess += static_cast<double>(own.excess);
    shared += static_cast<double>(own.shared);
  }
  const double pairs = static_cast<double>(m) * static_cast<double>(k);
  const double worst = 2.0 * static_cast<double>(n) - 3.0 * static_cast<double>(k) - 1.0;
  return {1.0 - 2.0 * excess / (pairs * worst), shared / pairs, m};
}

double knn_accuracy(const Context& context, const RowSource<float>& embedding,
                    std::span<const std::int64_t> labels, const Options& options) {
  check_shape(embedding, "embedding");
  const std::int64_t n = embedding.rows(), d = embedding.cols(), k = options.n_neighbors;
  if (static_cast<std::int64_t>(labels.size()) != n) {
    throw data_error(std::to_string(labels.size()) + " labels for " + std::to_string(n) + " rows",
                     "labels", "give one label a row");
  }
  check_options(options, n - 1, "fewer than the rows");
  check_rows(context, embedding);
  const HostRows<float> places(context, embedding);

  const std::int64_t m = std::min(n, options.sample_rows);
  constexpr std::int64_t kAskedBytes = 2 * sizeof(std::int64_t);
  std::vector<TileScratch> workspace =
      make_workspace(context, checked_product(m, kAskedBytes), n_tiles(m, d, k), d, k);
  const std::vector<std::int64_t> asked = choose_asked(n, options);
  std::vector<std::int64_t> winners(asked.size());
  vote({context.threads(), static_cast<int>(workspace.size())}, workspace, {places, "embedding"},
       labels, asked, k, winners);
  std::int64_t right = 0;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    right += winners[i] == labels[static_cast<std::size_t>(asked[i])] ? 1 : 0;
  }
  return static_cast<double>(right) / static_cast<double>(m);
}

}  // namespace culatent::embedding_quality
