#include <fmt/format.h>

#include "culatent/error.hpp"
#include "host/cli/exit_code.hpp"
#include "host/cli/method.hpp"
#include "host/cli/paths.hpp"
#include "host/cli/tsne.hpp"
#include "host/cli/verbs.hpp"
#include "host/cli/workplace.hpp"

namespace culatent::cli {
namespace {

constexpr std::int64_t kChunkBytes = std::int64_t{32} << 20;

struct ApplyOptions {
  std::string model;
  DataOptions data;
  MachineOptions machine;
  std::string output;
  std::string labels;  // score
};

// Everything that predict, transform and score have in common, opened.
struct Opened {
  const Method* method = nullptr;
  std::unique_ptr<LoadedModel> model;
  std::unique_ptr<Dataset> data;
  std::unique_ptr<Context> context;
  Dtype dtype = Dtype::float32;
  std::int64_t chunk_bytes = 0;
  std::vector<std::int64_t> labels;

  ApplyInput input(const ApplyOptions& options) const {
    return {.context = *context,
            .data = *data,
            .dtype = dtype,
            .missing = options.data.reading.missing,
            .chunk_bytes = chunk_bytes,
            .chunk_rows = options.machine.chunk_rows,
            .labels = labels};
  }
};

void add_options(CLI::App& app, const std::string& verb, ApplyOptions& options) {
  app.add_option("MODEL", options.model, "A model that `culatent fit` wrote.")
      ->required()
      ->group("ARGUMENTS");
  add_data(app, options.data);
  add_missing(app, options.data);
  add_machine(app, options.machine);
  for (const Method& method : methods()) method.add_apply_options(app, verb);
}

// An option of one method's models is an error with another's.
void refuse_foreign_options(const CLI::App& app, const std::string& verb, const Method& used) {
  for (const Method& method : methods()) {
    if (&method == &used) continue;
    CLI::App theirs;
    theirs.set_help_flag();
    method.add_apply_options(theirs, verb);
    for (const CLI::Option* option : theirs.get_options()) {
      const std::string given = option->get_name();
      if (app.count(given) > 0) {
        throw invalid_argument(
            fmt::format("{} is for {} models, this is one of {}", given, method.name, used.name),
            verb, "leave it out");
      }
    }
  }
}

Opened open(const CLI::App& app, const std::string& verb, const ApplyOptions& options) {
  Paths paths;
  paths.input("MODEL", options.model);
  paths.input("DATA", options.data.path);
  paths.input("--labels", options.labels);
  paths.output("--output", options.output);
  paths.check();

  Opened opened;
  opened.method = &method_of(options.model, io::read_tensors(options.model));
  refuse_foreign_options(app, verb, *opened.method);
  if (!options.labels.empty() && !opened.method->scores_labels) {
    throw invalid_argument(fmt::format("--labels is not for {} models", opened.method->name), verb,
                           "leave it out");
  }
  opened.model = opened.method->load(options.model, app);
  std::int64_t limit =
      limit_after(options.machine.memory_limit, opened.model->memory_bytes(), "the model");
  opened.data = std::make_unique<Dataset>(
      open_data(options.data, limit, static_cast<int>(options.machine.threads)));
  limit = limit_after(limit, opened.data->bytes_in_memory(), "the decoded data");
  if (opened.data->cols() != opened.model->n_features()) {
    throw data_error(fmt::format("the data have {} columns, the model was fitted to {}",
                                 opened.data->cols(), opened.model->n_features()),
                     options.data.path, "give data of that width, perhaps by --columns");
  }
  if (!options.labels.empty()) {
    // Those of the file, and the model's in 4 and 8 bytes.
    limit = limit_after(limit, checked_product(opened.data->rows(), 8 + 4 + 8), "the labels");
    opened.labels = read_row_labels(options.labels, opened.data->rows());
  }
  opened.dtype = options.machine.dtype.value_or(default_dtype(*opened.data));
  opened.chunk_bytes = limit > 0 ? std::min(kChunkBytes, limit / 4) : kChunkBytes;
  limit = limit_after(limit, opened.chunk_bytes, "a chunk of results");
  const bool missing = options.data.reading.missing;
  const std::string device = choose_device(options.machine, opened.method->runs_on_cuda(missing),
                                           opened.method->name + (missing ? " --missing" : ""));
  opened.context = std::make_unique<Context>(context_options(options.machine, limit, device));
  return opened;
}

// predict and transform: one row of results for each row of data.
int write_rows(const std::string& verb, const Manual& manual, const Arguments& arguments) {
  ApplyOptions options;
  CLI::App app;
  set_manual(app, manual);
  add_options(app, verb, options);
  add_file(app, "--output", options.output, "Where the results go, a .npy. Required.")
      ->required()
      ->group("OUTPUT OPTIONS");
  if (!parse(app, arguments)) return kDone;
  const Opened opened = open(app, verb, options);
  const std::int64_t n = opened.data->rows();
  Json result = {{"method", opened.method->name}, {"n_rows", n}};
  if (verb == "predict") {
    io::NpyWriter out(options.output, ElementType::i4, n, 0);
    opened.model->predict(opened.input(options), out);
    out.commit();
    result["dtype"] = "int32";
  } else {
    const std::int64_t columns = opened.model->n_outputs();
    io::NpyWriter out(options.output, element_type(opened.dtype), n, columns);
    opened.model->transform(opened.input(options), out);
    out.commit();
    result["n_columns"] = columns;
    result["dtype"] = name(opened.dtype);
  }
  result["output"] = options.output;
  print_result(result);
  return kDone;
}

}  // namespace

int predict_verb(const Arguments& arguments) {
  return write_rows(
      "predict",
      {.name = "culatent predict",
       .summary = "label rows by a model",
       .synopsis = "MODEL DATA --output LABELS.npy [options]",
       .description =
           "Writes for every row the number of the component that it most probably comes "
           "from (gaussian-mixture) or of the nearest centroid (kmeans), counted from 0 as in the "
           "model file; the lowest on ties. Memory stays bounded for data of any size.",
       .files = "--output receives an int32 .npy [n].\n"
                "stdout receives one JSON object: method, n_rows, dtype, output.",
       .examples = " culatent predict m.safetensors x.npy --output labels.npy"},
      arguments);
}

int transform_verb(const Arguments& arguments) {
  return write_rows(
      "transform",
      {.name = "culatent transform",
       .summary = "what a model says about each row: responsibilities, distances",
       .synopsis = "MODEL DATA --output Z.npy [options]",
       .description =
           "gaussian-mixture: the probability of every component for every row, [n,K]; "
           "rows sum to one. kmeans: the distance of every row to every centroid, [n,K]. "
           "Memory stays bounded for data of any size.",
       .files = "--output receives a .npy of --dtype, one row for each row of DATA.\n"
                "stdout receives one JSON object: method, n_rows, n_columns, dtype, output.",
       .examples = " culatent transform m.safetensors x.npy --output responsibilities.npy"},
      arguments);
}

int score_verb(const Arguments& arguments) {
  // A word before it is a file: a model of that name is ./tsne.
  if (!arguments.empty() && arguments.front() == "tsne") {
    return score_tsne(Arguments(arguments.begin() + 1, arguments.end()));
  }
  ApplyOptions options;
  CLI::App app;
  set_manual(
      app,
      {.name = "culatent score",
       .summary = "how well a model describes data",
       .synopsis = "MODEL DATA [--output PER_ROW.npy] [--labels FILE] [options]",
       .description =
           "gaussian-mixture and kde: how likely the data are under a model, in nats; "
           "log_likelihood is the mean over rows of log p(x). kmeans: inertia is the sum of "
           "squared distances to the nearest centroids. Memory stays bounded for data of any size; "
           "with --labels it is 20 bytes a row and a sample.\n"
           "`culatent score tsne DATA --embedding Y.npy` judges an embedding instead, which has no "
           "model: see `culatent score tsne --help`. A model in a file called tsne is ./tsne.",
       .files =
           "stdout receives one JSON object. gaussian-mixture: method, n_rows, "
           "log_likelihood (mean per row), total_log_likelihood, bic, aic, entropy (mean per "
           "row, of the responsibilities), n_parameters. kde: method, n_rows, "
           "log_likelihood, total_log_likelihood. kmeans: method, n_rows, inertia.\n"
           "With --labels, kmeans adds adjusted_rand and normalized_mutual_information of those "
           "labels and the model's (1: the same clusters), and silhouette and davies_bouldin of "
           "the model's, by Euclidean distance, of rows of length 1 with the cosine metric. The "
           "silhouette takes time with the square of the rows: beyond 10000 it is that of a "
           "random sample, always the same one; silhouette_rows says how many were used. Both "
           "are null, with a warning, where fewer than two clusters have rows.\n"
           "--output receives a .npy [n] of --dtype: log p of each row, or (kmeans) its squared "
           "distance to the nearest centroid.",
       .examples = " culatent score m.safetensors held_out.npy\n"
                   " culatent score clusters.safetensors x.npy --labels known.npy\n"
                   " culatent score kde.safetensors x.npy --leave-one-out"});
  add_options(app, "score", options);
  add_file(app, "--output", options.output, "Where the value of each row goes, a .npy.")
      ->group("OUTPUT OPTIONS");
  add_file(app, "--labels", options.labels,
           "What the rows are known to be, one integer a row, .npy or IDX: compares the clusters "
           "of the model with them, and judges these by themselves. kmeans models.")
      ->group("CLUSTERING QUALITY");
  if (!parse(app, arguments)) return kDone;
  const Opened opened = open(app, "score", options);
  const std::int64_t n = opened.data->rows();
  if (n == 0) throw data_error("there are no rows to score", options.data.path, "give some");
  Json result = {{"method", opened.method->name}, {"n_rows", n}};
  std::optional<io::NpyWriter> out;
  if (!options.output.empty()) out.emplace(options.output, element_type(opened.dtype), n, 0);
  result.update(opened.model->score(opened.input(options), out ? &*out : nullptr));
  if (out) out->commit();
  print_result(result);
  return kDone;
}

}  // namespace culatent::cli
