#include "culatent/bernoulli_mixture.hpp"

#include "culatent/error.hpp"
#include "host/cli/iterative_command.hpp"
#include "host/cli/mixture_model.hpp"
#include "host/cli/numbers.hpp"
#include "host/report/bernoulli_mixture_page.hpp"

namespace culatent::cli {
namespace {

namespace bm = bernoulli_mixture;

constexpr const char* kGroup = "MIXTURE OPTIONS";
const std::vector<std::string> kInits = {"kmeans", "random", "random-rows"};

Json trace_json(const std::vector<bm::TraceEntry>& trace) {
  Json list = Json::array();
  for (const bm::TraceEntry& entry : trace) {
    list.push_back({{"log_likelihood", entry.log_likelihood},
                    {"objective", entry.objective},
                    {"entropy", entry.entropy}});
  }
  return list;
}

class BernoulliMixtureCommand final : public IterativeCommand {
 public:
  BernoulliMixtureCommand() : IterativeCommand(kInits) {}

  Manual manual() const override {
    return {
        .name = "",
        .summary = "fit a mixture of products of Bernoulli distributions",
        .synopsis = "DATA --components K --model M.safetensors [options]",
        .description =
            "Finds K groups of rows of zeros and ones (values between count as that share of a "
            "one), each with a probability of a one for every feature, that together make the "
            "data most likely (Bishop 2006, section 9.3.3). Every iteration is one pass over the "
            "rows; data files are mapped and may be larger than memory. The same seed gives the "
            "same model, bit for bit, for any number of threads.",
        .files =
            "--model receives a safetensors file with float64 tensors weights [K] and means "
            "[K,d].\n"
            "stdout (and --report) receive one JSON object: method, n_rows, n_features, options, "
            "seed, device, dtype, n_iter, converged, interrupted (true after Ctrl-C, otherwise "
            "left out), objective, trace, seconds, memory, bytes_read, warnings, version. An entry "
            "of trace has log_likelihood, objective (with the prior that --smoothing is) and "
            "entropy, in nats and means per row; entry t belongs to the parameters after t "
            "updates.",
        .examples =
            " culatent fit bernoulli-mixture digits.npy --binarize 7.5 --components 10 \\\n"
            "     --model m.safetensors --html m.html --image-shape 8x8\n"
            " culatent predict m.safetensors digits.npy --binarize 7.5 --output labels.npy",
    };
  }

  void add_options(CLI::App& app) override {
    components_option_ =
        add_integer(app, "--components", components_, 1, kMaxInt,
                    "Components, K. Default: those of the --init file, otherwise 1.")
            ->type_name("K")
            ->group(kGroup);
    add_real(app, "--smoothing", smoothing_, 0.0,
             "Pseudo-counts A: a mean is (ones + A) / (rows + 2 A). Keeps means from 0 and 1.")
        ->type_name("A")
        ->group(kGroup);
    app.add_option_function<std::string>(
           "--min-probability",
           [this](const std::string& s) {
             min_probability_ = parse_real(s, "--min-probability", 0.0);
           },
           "Means are kept within [E, 1 - E]. Default: 1e-6 when --smoothing is 0, otherwise 0.")
        ->type_name("E")
        ->group(kGroup);
    add_order_and_weights(
        app, kGroup,
        "Order of the components in the model: as they were fitted, or by weight, largest "
        "first.");
    add_iteration(app, iteration_, kInits,
                  "Converged when the objective per row changes by less than X; 0: never, "
                  "--max-iter updates are done.");
  }

  void prepare() override {
    check(iteration_.checkpoint);
    if (!has_init_file()) return;
    start_ = bm::load_start(iteration_.init);
    if (components_option_->count() > 0) return;
    components_ = start_.means.rows() > 0 ? start_.means.rows()
                                          : static_cast<std::int64_t>(start_.weights.size());
  }

  std::string objective() const override { return "objective"; }

  Json options() const override {
    const bm::Options o = library_options();
    return {{"components", o.n_components},
            {"smoothing", o.smoothing},
            {"min_probability", o.min_probability ? Json(*o.min_probability) : Json(nullptr)},
            {"order", order_},
            {"weights", weights_json()},
            {"init", init_text(bm::name(o.init))},
            {"n_init", o.n_init},
            {"max_iter", o.max_iter},
            {"tol", o.tol}};
  }

  Plan plan(const FitInput& input) const override {
    const bm::Options options = options_for(input);
    return with_dtype(input.dtype, [&]<class T>() {
      return bm::plan<T>(input.context, *input.data.source<T>(), options);
    });
  }

  FitOutput fit(const FitInput& input) const override {
    const bm::Options options = options_for(input);
    FitOutput out;
    auto run = fit_counted(input, out.bytes_read, [&]<class T>(const RowSource<T>& rows) {
      return bm::fit<T>(input.context, rows, options);
    });
    if (order_ == "weight") bm::order_by_weight(run.model);
    out.results = {{"n_iter", run.n_iter},
                   {"converged", run.converged},
                   {"objective", run.trace.back().objective},
                   {"log_likelihood", run.trace.back().log_likelihood},
                   {"n_components", run.model.n_components()},
                   {"restart", run.restart},
                   {"n_empty", run.n_empty},
                   {"trace", trace_json(run.trace)}};
    out.words = report::describe(run, input.data.column_names());
    keep(std::move(run), out, report::bernoulli_mixture_page);
    return out;
  }

 private:
  bm::Options library_options() const {
    bm::Options options;
    options.n_components = static_cast<int>(components_);
    options.smoothing = smoothing_;
    options.min_probability = min_probability_;
    set_iteration(options);
    return options;
  }

  bm::Options options_for(const FitInput& input) const {
    bm::Options options = library_options();
    options.missing = input.missing;
    options.seed = input.seed;
    options.weights = input.weights;
    options.start = start_;
    return options;
  }

  std::int64_t components_ = bm::Options{}.n_components;
  double smoothing_ = bm::Options{}.smoothing;
  std::optional<double> min_probability_;
  bm::Start start_;
  CLI::Option* components_option_ = nullptr;
};

std::unique_ptr<FitCommand> command() { return std::make_unique<BernoulliMixtureCommand>(); }

bool recognises(const io::TensorFile& file) {
  return file.tensors.contains("weights") && file.tensors.contains("means") &&
         !file.tensors.contains("covariances");
}

std::unique_ptr<LoadedModel> load(const std::string& path, const CLI::App&) {
  return load_bernoulli_mixture(path);
}

}  // namespace

Method bernoulli_mixture_method() {
  return {.name = "bernoulli-mixture",
          .summary = "groups of rows of zeros and ones",
          .has_cuda_steps = true,
          .has_cuda_missing = true,
          .command = command,
          .recognises = recognises,
          .load = load};
}

}  // namespace culatent::cli
