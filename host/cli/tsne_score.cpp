#include <fmt/format.h>

#include "culatent/embedding_quality.hpp"
#include "culatent/error.hpp"
#include "host/cli/exit_code.hpp"
#include "host/cli/manual.hpp"
#include "host/cli/paths.hpp"
#include "host/cli/tsne.hpp"

namespace culatent::cli {
namespace {

struct ScoreOptions {
  DataOptions data;
  MachineOptions machine;
  AffinityOptions affinities;
  std::string embedding;
  std::string labels;
  std::int64_t n_neighbors = embedding_quality::Options{}.n_neighbors;
};

Manual manual() {
  return {
      .name = "culatent score tsne",
      .summary = "how much of the data's neighbourhoods an embedding keeps",
      .synopsis = "DATA --embedding Y.npy [--perplexity P] [--labels FILE] [options]",
      .description =
          "Row i of the embedding is where row i of DATA went, by `culatent embed tsne` or by any "
          "other program. Time grows with the square of the rows; for the neighbourhoods, beyond "
          "10000 rows, as many are asked, spread evenly, each against all others. On a CUDA device "
          "the divergence's neighbours and its sum over all pairs are found there.",
      .files =
          "stdout receives one JSON object: method, n_rows, kl (the Kullback-Leibler divergence "
          "that t-SNE minimises, over all pairs), affinities (dense or sparse: which pairs have "
          "one), trustworthiness (1: who is near in the embedding is near in the data), "
          "neighbour_preservation (mean share of a row's --n-neighbors nearest in the data that "
          "are so in the embedding), n_neighbors, n_rows_used (rows that were asked), and with "
          "--labels knn_accuracy (share of rows whose label most of their nearest in the embedding "
          "have).",
      .examples =
          " culatent score tsne x.npy --embedding y.npy --perplexity 30\n"
          " culatent score tsne x.npy --embedding umap.npy --labels classes.npy"};
}

void add_options(CLI::App& app, ScoreOptions& options) {
  constexpr const char* kGroup = "EMBEDDING OPTIONS";
  add_data(app, options.data);
  add_file(app, "--embedding", options.embedding,
           "The embedding: a .npy, or any other format of DATA, of n rows. Required.")
      ->required()
      ->group(kGroup);
  add_integer(app, "--n-neighbors", options.n_neighbors, 1, kMaxInt,
              fmt::format("Nearest rows that are looked at, below n / 2. Default: {}.",
                          options.n_neighbors))
      ->group(kGroup);
  add_file(app, "--labels", options.labels,
           "What the rows are known to be, one integer a row, .npy or IDX.")
      ->group(kGroup);
  add_affinities(app, options.affinities);
  add_embedding_machine(app, options.machine);
}

Json score(const ScoreOptions& options) {
  const std::string device = choose_device(options.machine, true, "score tsne");
  std::int64_t limit = options.machine.memory_limit;
  const Dataset data = open_data(options.data, limit, static_cast<int>(options.machine.threads));
  limit = limit_after(limit, data.bytes_in_memory(), "the decoded data");
  const std::int64_t n = data.rows();
  const Matrix<float> embedding = read_embedding(options.embedding, limit);
  limit = limit_after(limit, checked_product(embedding.size(), sizeof(float)), "the embedding");
  if (embedding.rows() != n) {
    throw data_error(fmt::format("{} rows for the {} rows of the data", embedding.rows(), n),
                     options.embedding, "give the embedding of these data, perhaps with --rows");
  }
  std::vector<std::int64_t> labels;
  if (!options.labels.empty()) {
    limit = limit_after(limit, checked_product(n, sizeof(std::int64_t)), "the labels");
    labels = read_row_labels(options.labels, n);
  }
  const Context context(context_options(options.machine, limit, device));
  const auto rows = data.source<float>();
  const MatrixRows<float> places(embedding.view());
  const embedding_quality::Options asked = {.n_neighbors = static_cast<int>(options.n_neighbors)};
  tsne::Options affinities;
  set_affinities(affinities, options.affinities);

  const auto quality = embedding_quality::quality(context, *rows, places, asked);
  const auto divergence = tsne::divergence(context, *rows, embedding.view(), affinities);
  Json result = {{"method", "tsne"},
                 {"n_rows", n},
                 {"kl", divergence.kl},
                 {"affinities", tsne::name(divergence.affinities)},
                 {"trustworthiness", quality.trustworthiness},
                 {"neighbour_preservation", quality.neighbour_preservation},
                 {"n_neighbors", options.n_neighbors},
                 {"n_rows_used", quality.n_rows_used}};
  if (!labels.empty()) {
    result["knn_accuracy"] = embedding_quality::knn_accuracy(context, places, labels, asked);
  }
  return result;
}

}  // namespace

int score_tsne(const Arguments& arguments) {
  ScoreOptions options;
  CLI::App app;
  set_manual(app, manual());
  add_options(app, options);
  if (!parse(app, arguments)) return kDone;
  print_result(score(options));
  return kDone;
}

}  // namespace culatent::cli
