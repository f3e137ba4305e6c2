#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "culatent/error.hpp"
#include "host/cli/numbers.hpp"
#include "host/cli/tsne.hpp"

namespace culatent::cli {
namespace {

constexpr const char* kReference = "--reference";
const std::vector<std::string> kInits = {"pca", "random", "spectral"};
const std::vector<std::string> kRepulsions = {"auto", "exact", "fft"};
const std::vector<std::string> kNeighbors = {"exact", "ivf"};

void add_descent(CLI::App& app, EmbedOptions& options) {
  constexpr const char* kGroup = "DESCENT OPTIONS";
  add_real(app, "--early-exaggeration", options.early_exaggeration, 1.0,
           "Factor of the affinities in the first iterations: groups form.")
      ->group(kGroup);
  add_integer(app, "--exaggeration-iter", options.exaggeration_iter, 0, kMaxInt,
              fmt::format("How many these are. Default: {}.", options.exaggeration_iter))
      ->group(kGroup);
  app.add_option_function<std::string>(
         "--learning-rate",
         [&options](const std::string& s) {
           options.learning_rate.reset();
           if (s == "auto") return;
           options.learning_rate = parse_real(s, "--learning-rate", 0.0);
           if (*options.learning_rate == 0.0) {
             throw invalid_argument("steps of no length", "--learning-rate",
                                    "give auto or a number above 0");
           }
         },
         "Length of a step, or auto: n / exaggeration / 4, at least 50. Default: auto.")
      ->type_name("auto|X")
      ->group(kGroup);
  add_real(app, "--momentum", options.momentum, 0.0,
           "Share of the last step that is done again, below 1; 0.5 while exaggerated.")
      ->group(kGroup);
  add_integer(
      app, "--max-iter", options.max_iter, 0, kMaxInt,
      fmt::format("Updates at most, the exaggerated ones included. Default: {}.", options.max_iter))
      ->group(kGroup);
  add_real(app, "--min-gradient", options.min_gradient, 0.0,
           "Converged when the norm of the gradient is below X.")
      ->group(kGroup);
  app.add_option("--init", options.init,
                 "Where to start: pca (the first principal components, small), random (a small "
                 "cloud), spectral (of the affinities), or a .npy of n rows. Default: pca.")
      ->type_name("NAME|FILE")
      ->group(kGroup);
  add_choice(app, "--repulsion", options.repulsion, kRepulsions,
             "How the repulsion of all pairs is summed: exact, every pair; fft, through a grid, in "
             "1 and 2 dimensions; auto, the faster one.")
      ->group(kGroup);
}

void add_reference(CLI::App& app, EmbedOptions& options) {
  constexpr const char* kGroup = "NEW ROWS";
  CLI::Option* reference =
      add_file(app, kReference, options.place.reference,
               "Place the rows of DATA in an embedding of FILE's, which stays as it is.")
          ->group(kGroup);
  CLI::Option* embedding = add_file(app, "--reference-embedding", options.place.embedding,
                                    "That embedding, a .npy of a row for each row of --reference.")
                               ->needs(reference)
                               ->group(kGroup);
  reference->needs(embedding);
}

// What --reference leaves of the options; any other one that was given is an error.
void check_reference(EmbedOptions& options, const CLI::App& app) {
  constexpr std::string_view kApply[] = {
      "DATA",      "--rows",     "--columns",  "--scale",        "--binarize",
      "--shape",   "--raw-type", kReference,   "--device",       "--reference-embedding",
      "--threads", "--max-iter", "--output",   "--perplexity",   "--memory-limit",
      "--report",  "--progress", "--momentum", "--learning-rate"};
  for (const CLI::Option* option : app.get_options()) {
    const std::string given = option->get_name();
    if (option->count() > 0 &&
        std::find(std::begin(kApply), std::end(kApply), given) == std::end(kApply)) {
      throw invalid_argument(given + " does not apply with " + kReference, "culatent embed tsne",
                             "leave it out");
    }
  }
  tsne::TransformOptions& to = options.place.transform;
  if (app.count("--perplexity") > 0) {
    if (options.affinities.perplexity.size() > 1) {
      throw invalid_argument("several perplexities", "--perplexity",
                             std::string("give one with ") + kReference);
    }
    to.perplexity = options.affinities.perplexity.front();
  }
  if (app.count("--max-iter") > 0) to.max_iter = static_cast<int>(options.max_iter);
  if (app.count("--momentum") > 0) to.momentum = options.momentum;
  if (options.learning_rate) to.learning_rate = *options.learning_rate;
}

}  // namespace

bool EmbedOptions::has_init_file() const {
  return std::find(kInits.begin(), kInits.end(), init) == kInits.end();
}

Manual embed_tsne_manual() {
  return {
      .name = "culatent embed tsne",
      .summary = "place rows in 1, 2 or 3 dimensions by t-SNE",
      .synopsis = "DATA --output Y.npy [--perplexity P] [--html PAGE.html] [options]",
      .description =
          "Rows that are neighbours in the data become neighbours in the plane; how far apart "
          "groups lie there, and how large they are, says little. The Kullback-Leibler divergence "
          "(kl) between the two kinds of neighbourhood falls by gradient descent. The same seed "
          "gives the same embedding, bit for bit, for any number of threads.\n"
          "With --init Y.npy --max-iter 0 the divergence of a given embedding is reported.\n"
          "With --reference new rows are placed among those of an embedding that stays as it is, "
          "each by its own neighbours there; --perplexity (default 5), --max-iter (250), "
          "--learning-rate (0.1) and --momentum (0.8) then are those of that descent, --columns, "
          "--scale and --binarize hold for both files, and no other option of the fit applies.",
      .files =
          "--output receives a float32 .npy [n, q]: row i is where row i of DATA went.\n"
          "stdout (and --report) receive one JSON object: method, n_rows, n_features, options, "
          "seed, device, dtype, interrupted (true after Ctrl-C, otherwise left out), n_iter, "
          "converged, objective and kl (the divergence), exact_kl (false: through a grid, to about "
          "1e-5), repulsion, affinities, n_affinities (pairs that attract), recall (of the "
          "neighbours), n_unreached (rows with more equal neighbours than the perplexity), trace, "
          "seconds, memory, bytes_read, warnings, version, with --snapshots also snapshots (the "
          "iterations of each). Entry t of trace has the norm of the gradient after t updates, and "
          "kl where it was computed.\n"
          "--checkpoint FILE keeps the descent. A fit that goes on with --resume finds neighbours "
          "and affinities again, and its snapshots are those from there on.",
      .examples =
          " culatent embed tsne x.npy --output y.npy --seed 1\n"
          " culatent embed tsne x.npy --output y.npy --perplexity 10,100 \\\n"
          "     --html page.html --labels classes.npy --snapshot-every 25\n"
          " culatent embed tsne new.npy --reference x.npy --reference-embedding y.npy \\\n"
          "     --output new_y.npy"};
}

void add_embed_options(CLI::App& app, EmbedOptions& options) {
  add_data(app, options.data);
  add_integer(app, "--dimensions", options.dimensions, 1, 3,
              "Of the embedding: 1, 2 or 3. Default: those of the --init file, otherwise 2.")
      ->type_name("1|2|3")
      ->group("EMBEDDING OPTIONS");
  add_affinities(app, options.affinities);
  add_choice(app, "--neighbors", options.neighbors, kNeighbors,
             "Nearest neighbours: exact, all pairs are looked at; ivf, only rows of near k-means "
             "clusters, for very many rows: some are missed, recall says how many are not.")
      ->group("AFFINITY OPTIONS");
  add_descent(app, options);
  add_checkpoint(app, options.checkpoint,
                 "Iterations between two checkpoints, at least: they are written where --progress "
                 "tells of one, every --snapshot-every iterations (default: 50).");
  add_reference(app, options);
  add_seed(app, options.seed);
  add_embedding_machine(app, options.machine);
  add_dry_run(app, options);
  add_file(app, "--output", options.output,
           "Where the embedding goes, a .npy. Required except with --dry-run.")
      ->group(kOutputGroup);
  add_report(app, options);
  add_page(app, options);
  add_file(app, "--snapshots", options.snapshots,
           "Write the embedding as it was on the way, a .npy of float32 [snapshots, n, q]: at the "
           "start, every --snapshot-every iterations (default: 50), at the end of the exaggeration "
           "and at the end.")
      ->group(kOutputGroup);
  add_integer(app, "--snapshot-every", options.snapshot_every, 1, kMaxInt,
              "Iterations between two snapshots, for --snapshots and for the page, which plays "
              "them; of more than 200 the page leaves some out.")
      ->group(kOutputGroup);
  add_progress(app, options.progress);
}

Json to_json(const EmbedOptions& options) {
  Json json = {{"dimensions", options.dimensions}};
  json.update(to_json(options.affinities));
  json.update(
      Json{{"neighbors", options.neighbors},
           {"early_exaggeration", options.early_exaggeration},
           {"exaggeration_iter", options.exaggeration_iter},
           {"learning_rate", options.learning_rate ? Json(*options.learning_rate) : Json("auto")},
           {"momentum", options.momentum},
           {"max_iter", options.max_iter},
           {"min_gradient", options.min_gradient},
           {"init", options.init},
           {"repulsion", options.repulsion},
           {"snapshot_every", options.snapshot_every > 0 ? Json(options.snapshot_every) : Json()},
           {"snapshots", options.snapshots.empty() ? Json() : Json(options.snapshots)}});
  return json;
}

tsne::Options library_options(const EmbedOptions& options) {
  tsne::Options to;
  to.n_dimensions = static_cast<int>(options.dimensions);
  set_affinities(to, options.affinities);
  to.neighbors = value_of<neighbors::Method>(kNeighbors, options.neighbors);
  to.repulsion = value_of<tsne::Repulsion>(kRepulsions, options.repulsion);
  to.early_exaggeration = options.early_exaggeration;
  to.exaggeration_iter = static_cast<int>(options.exaggeration_iter);
  to.learning_rate = options.learning_rate;
  to.momentum = options.momentum;
  to.max_iter = static_cast<int>(options.max_iter);
  to.min_gradient = options.min_gradient;
  if (!options.has_init_file()) to.init = value_of<tsne::Init>(kInits, options.init);
  if (options.snapshot_every > 0) to.interval = static_cast<int>(options.snapshot_every);
  to.seed = options.seed;
  to.checkpoint = library_options(options.checkpoint);
  return to;
}

void check_embed_options(EmbedOptions& options, const CLI::App& app) {
  if (!options.place.reference.empty()) return check_reference(options, app);
  check(options.checkpoint);
  if (options.snapshot_every > 0 && options.html.empty() && options.snapshots.empty()) {
    throw invalid_argument("there is nowhere for snapshots to go", "--snapshot-every",
                           "give --html or --snapshots as well");
  }
  if (!options.has_init_file() || options.init.ends_with(".npy")) return;
  std::error_code error;
  if (!std::filesystem::exists(options.init, error)) {
    throw invalid_argument(fmt::format("no initialisation '{}'", options.init), "--init",
                           "give pca, random, spectral, or a .npy file");
  }
}

}  // namespace culatent::cli
