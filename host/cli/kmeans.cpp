#include "culatent/kmeans.hpp"

#include <fmt/format.h>

#include "culatent/error.hpp"
#include "host/cli/iterative_command.hpp"
#include "host/cli/kmeans_model.hpp"
#include "host/report/kmeans_page.hpp"

namespace culatent::cli {
namespace {

constexpr const char* kGroup = "CLUSTER OPTIONS";
const std::vector<std::string> kInits = {"kmeans++", "kmeans-parallel", "random"};
const std::vector<std::string> kEmpties = {"relocate", "keep", "error"};
const std::vector<std::string> kMetrics = {"euclidean", "cosine"};

Json trace_json(const std::vector<kmeans::TraceEntry>& trace) {
  Json list = Json::array();
  for (const kmeans::TraceEntry& entry : trace) {
    list.push_back({{"inertia", entry.inertia},
                    {"moved", entry.moved < 0 ? Json(nullptr) : Json(entry.moved)}});
  }
  return list;
}

class KmeansCommand final : public IterativeCommand {
 public:
  KmeansCommand() : IterativeCommand(kInits) {
    iteration_.max_iter = 300;
    iteration_.tol = kmeans::Options{}.tol;
  }

  Manual manual() const override {
    return {
        .name = "",
        .summary = "find K clusters by k-means",
        .synopsis = "DATA --clusters K --model M.safetensors [options]",
        .description =
            "Finds K centroids so that the rows are close to the nearest: the sum of squared "
            "distances (the inertia) falls with every iteration of Lloyd's algorithm, each one "
            "pass over the rows; data files are mapped and may be larger than memory. Every row "
            "counts, none is left out to save time. Labels are those of exact arithmetic, and the "
            "same seed gives the same model, bit for bit, for any number of threads.",
        .files =
            "--model receives a safetensors file with float64 tensors centroids [K,d] and counts "
            "[K], the weight of each cluster's rows.\n"
            "stdout (and --report) receive one JSON object: method, n_rows, n_features, options, "
            "seed, device, dtype, n_iter, converged, interrupted (true after Ctrl-C, otherwise "
            "left out), objective (the inertia), n_relocated, n_empty, refined_fraction (rows "
            "whose nearest centroid took a second, exact look), trace, seconds, memory, "
            "bytes_read, warnings, version. Entry t of trace has the inertia of the centroids "
            "after t updates and how many rows moved to another cluster (null where it is not "
            "known: at the start, and with --mini-batch, where the inertia is that of the batch "
            "times n / B, but for the last entry).",
        .examples =
            " culatent fit kmeans x.npy --clusters 8 --model m.safetensors\n"
            " culatent predict m.safetensors x.npy --output labels.npy\n"
            " culatent fit kmeans big.npy --clusters 1000 --init kmeans-parallel \\\n"
            "     --mini-batch 65536 --memory-limit 4GiB --model big.safetensors\n"
            " culatent fit kmeans words.npy --clusters 50 --metric cosine --model w.safetensors",
    };
  }

  void add_options(CLI::App& app) override {
    clusters_option_ = add_integer(app, "--clusters", clusters_, 1, kMaxInt,
                                   fmt::format("Clusters, K. Default: those of the --init file, "
                                               "otherwise {}.",
                                               clusters_))
                           ->type_name("K")
                           ->group(kGroup);
    metric_option_ =
        add_choice(app, "--metric", metric_, kMetrics,
                   "euclidean, or cosine: rows and centroids are divided by their length.")
            ->group(kGroup);
    add_choice(app, "--empty", empty_, kEmpties,
               "When no row is nearest to a centroid: relocate moves it to the row farthest from "
               "its own, keep leaves it, error ends with status 3.")
        ->group(kGroup);
    add_integer(app, "--mini-batch", mini_batch_, 1, INT64_MAX,
                "Update after every B rows, drawn at random, instead of after all of them: less "
                "exact, and sooner done. Without --max-iter, 100 passes' worth at most.")
        ->type_name("B")
        ->group(kGroup);
    add_order_and_weights(
        app, kGroup,
        "Order of the clusters in the model: as they were fitted, or by their rows' weight, "
        "largest first.");
    add_iteration(app, iteration_, kInits,
                  "Converged when the inertia falls by less than X times itself, or when no row "
                  "moves to another cluster; 0: only then.");
    max_iter_option_ = app.get_option("--max-iter");
  }

  void prepare() override {
    check(iteration_.checkpoint);
    if (!has_init_file()) return;
    // What the command line leaves open is as in the file.
    start_ = kmeans::load(iteration_.init);
    if (clusters_option_->count() == 0) clusters_ = start_.n_clusters();
    if (metric_option_->count() == 0) metric_ = kmeans::name(start_.metric);
  }

  bool takes_missing() const override { return false; }
  std::string objective() const override { return "inertia"; }

  Json options() const override {
    const kmeans::Options o = library_options();
    return {{"clusters", o.n_clusters},
            {"metric", kmeans::name(o.metric)},
            {"empty", kmeans::name(o.empty)},
            {"mini_batch", mini_batch_ > 0 ? Json(mini_batch_) : Json(nullptr)},
            {"order", order_},
            {"weights", weights_json()},
            {"init", init_text(kmeans::name(o.init))},
            {"n_init", o.n_init},
            {"max_iter", o.max_iter ? Json(*o.max_iter) : Json(nullptr)},
            {"tol", o.tol}};
  }

  Plan plan(const FitInput& input) const override {
    const kmeans::Options options = options_for(input);
    return with_dtype(input.dtype, [&]<class T>() {
      return kmeans::plan<T>(input.context, *input.data.source<T>(), options);
    });
  }

  FitOutput fit(const FitInput& input) const override {
    const kmeans::Options options = options_for(input);
    FitOutput out;
    auto run = fit_counted(input, out.bytes_read, [&]<class T>(const RowSource<T>& rows) {
      return kmeans::fit<T>(input.context, rows, options);
    });
    if (order_ == "weight") kmeans::order_by_weight(run.model);
    out.results = {{"n_iter", run.n_iter},          {"converged", run.converged},
                   {"objective", run.inertia},      {"n_clusters", run.model.n_clusters()},
                   {"restart", run.restart},        {"n_relocated", run.n_relocated},
                   {"n_empty", run.n_empty},        {"refined_fraction", run.refined_fraction},
                   {"trace", trace_json(run.trace)}};
    out.words = report::describe(run, input.data.column_names());
    keep(std::move(run), out, report::kmeans_page);
    return out;
  }

 private:
  kmeans::Options library_options() const {
    kmeans::Options options;
    options.n_clusters = static_cast<int>(clusters_);
    options.empty = value_of<kmeans::Empty>(kEmpties, empty_);
    options.metric = value_of<kmeans::Metric>(kMetrics, metric_);
    options.mini_batch = mini_batch_;
    set_iteration(options);
    if (mini_batch_ > 0 && max_iter_option_->count() == 0) options.max_iter.reset();
    return options;
  }

  kmeans::Options options_for(const FitInput& input) const {
    kmeans::Options options = library_options();
    options.seed = input.seed;
    options.weights = input.weights;
    options.start = start_.centroids;
    return options;
  }

  std::int64_t clusters_ = kmeans::Options{}.n_clusters;
  std::string metric_ = kmeans::name(kmeans::Options{}.metric);
  std::string empty_ = kmeans::name(kmeans::Options{}.empty);
  std::int64_t mini_batch_ = 0;
  kmeans::Model start_;
  CLI::Option* clusters_option_ = nullptr;
  CLI::Option* metric_option_ = nullptr;
  CLI::Option* max_iter_option_ = nullptr;
};

std::unique_ptr<FitCommand> command() { return std::make_unique<KmeansCommand>(); }

bool recognises(const io::TensorFile& file) { return file.tensors.contains("centroids"); }

std::unique_ptr<LoadedModel> load(const std::string& path, const CLI::App&) {
  return load_kmeans(path);
}

}  // namespace

Method kmeans_method() {
  return {.name = "kmeans",
          .summary = "clusters around centroids",
          .has_cuda_steps = true,
          .scores_labels = true,
          .command = command,
          .recognises = recognises,
          .load = load};
}

}  // namespace culatent::cli
