#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "culatent/tsne.hpp"
#include "host/cli/json.hpp"
#include "host/cli/manual.hpp"
#include "host/cli/options.hpp"
#include "host/cli/run.hpp"
#include "host/cli/verbs.hpp"

/// t-SNE has no model: `embed tsne` leaves an embedding, and `score tsne` judges one.
namespace culatent::cli {

int embed_tsne(const Arguments& arguments);
int score_tsne(const Arguments& arguments);

/// Which pairs attract each other, and how much.
struct AffinityOptions {
  std::vector<double> perplexity = tsne::Options{}.perplexity;
  std::optional<double> sigma;
  bool dense = false;
};
void add_affinities(CLI::App& app, AffinityOptions& options);
void set_affinities(tsne::Options& to, const AffinityOptions& from);
/// perplexity (a number, several as a list, null with sigma), sigma, dense.
Json to_json(const AffinityOptions& options);

/// --device, --threads and --memory-limit: what is computed is float32, and rows are not worked on
/// in chunks.
void add_embedding_machine(CLI::App& app, MachineOptions& machine);

/// A whole file of positions; what must be decoded stays under `memory_limit` bytes (0: none).
Matrix<float> read_embedding(const std::string& path, std::int64_t memory_limit);
void write_embedding(const std::string& path, const Matrix<float>& embedding);

/// `embed tsne DATA --reference …`: new rows in an embedding that stays as it is.
struct PlaceOptions {
  std::string reference;
  std::string embedding;
  tsne::TransformOptions transform;
};
int place_rows(const RunOptions& options, const PlaceOptions& place, const std::string& output);

/// `embed tsne`, as it was typed.
struct EmbedOptions : RunOptions {
  AffinityOptions affinities;
  PlaceOptions place;
  std::string output;
  std::int64_t dimensions = tsne::Options{}.n_dimensions;
  double early_exaggeration = tsne::Options{}.early_exaggeration;
  std::int64_t exaggeration_iter = tsne::Options{}.exaggeration_iter;
  std::optional<double> learning_rate;
  double momentum = tsne::Options{}.momentum;
  std::int64_t max_iter = tsne::Options{}.max_iter;
  double min_gradient = tsne::Options{}.min_gradient;
  std::string init = "pca";
  std::string repulsion = "auto";
  std::string neighbors = "exact";
  std::int64_t snapshot_every = 0;
  std::string snapshots;
  CheckpointArguments checkpoint;

  bool has_init_file() const;
  /// Whether the page plays the snapshots.
  bool shows_frames() const { return snapshot_every > 0 && !html.empty(); }
};

Manual embed_tsne_manual();
void add_embed_options(CLI::App& app, EmbedOptions& options);
/// As they take effect, for the report.
Json to_json(const EmbedOptions& options);
/// All but the start and the snapshots.
tsne::Options library_options(const EmbedOptions& options);
/// Throws invalid_argument for --init that is neither a name nor a file, for options that need each
/// other or do not apply with --reference; sets place.transform.
void check_embed_options(EmbedOptions& options, const CLI::App& app);

}  // namespace culatent::cli
