#include "culatent/gaussian_mixture.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "culatent/error.hpp"
#include "host/cli/iterative_command.hpp"
#include "host/cli/mixture_model.hpp"
#include "host/report/describe.hpp"
#include "host/report/gaussian_mixture_page.hpp"

namespace culatent::cli {
namespace {

namespace gm = gaussian_mixture;

constexpr const char* kGroup = "MIXTURE OPTIONS";
const std::vector<std::string> kInits = {"kmeans", "kmeans++", "random", "random-rows"};
const std::vector<std::string> kCovariances = {"full", "tied", "diagonal", "spherical"};
const std::vector<std::string> kCollapses = {"regularise", "drop", "error"};
const std::vector<std::string> kPrecisions = {"fp32", "fast", "fp64"};

Json trace_json(const std::vector<gm::TraceEntry>& trace) {
  Json list = Json::array();
  for (const gm::TraceEntry& entry : trace) {
    list.push_back({{"log_likelihood", entry.log_likelihood},
                    {"elbo", entry.elbo},
                    {"entropy", entry.entropy},
                    {"free_energy", entry.free_energy}});
  }
  return list;
}

class GaussianMixtureCommand final : public IterativeCommand {
 public:
  GaussianMixtureCommand() : IterativeCommand(kInits) {}

  Manual manual() const override {
    return {
        .name = "",
        .summary = "fit a mixture of Gaussians by expectation-maximisation",
        .synopsis = "DATA --components K --model M.safetensors [options]",
        .description =
            "Finds K groups of rows, each a Gaussian with its own weight, mean and covariance, "
            "that "
            "together make the data most likely (Dempster, Laird & Rubin 1977). Every iteration "
            "is one pass over the rows; data files are mapped and may be larger than memory. The "
            "same seed gives the same model, bit for bit, for any number of threads.",
        .files =
            "--model receives a safetensors file with float64 tensors weights [K], means [K,d] and "
            "covariances: full [K,d,d], tied [d,d], diagonal [K,d], spherical [K].\n"
            "stdout (and --report) receive one JSON object: method, n_rows, n_features, options, "
            "seed, device, dtype, n_iter, converged, interrupted (true after Ctrl-C, otherwise "
            "left out), objective, trace, seconds, memory, bytes_read, warnings, version. An entry "
            "of trace has log_likelihood, elbo, entropy and free_energy, in nats and means per "
            "row; entry t belongs to the parameters after t updates.",
        .examples =
            " culatent fit gaussian-mixture geyser.csv --components 2 --model geyser.safetensors\n"
            " culatent fit gaussian-mixture big.npy --components 64 --covariance diagonal \\\n"
            "     --memory-limit 4GiB --checkpoint big.state --resume --model big.safetensors\n"
            " culatent fit gaussian-mixture x.npy --init m.safetensors --max-iter 1 --tol 0 \\\n"
            "     --model one_step_further.safetensors\n"
            " culatent fit gaussian-mixture x.npy --components 8 --model m.safetensors \\\n"
            "     --html x.html",
    };
  }

  void add_options(CLI::App& app) override {
    components_option_ =
        add_integer(app, "--components", components_, 1, kMaxInt,
                    "Components, K. Default: those of the --init file, otherwise 1.")
            ->type_name("K")
            ->group(kGroup);
    covariance_option_ =
        add_choice(
            app, "--covariance", covariance_, kCovariances,
            "full: one d x d matrix a component; tied: one for all; diagonal: one variance a "
            "component and feature; spherical: one variance a component. With an --init "
            "file that says which it holds, that one.")
            ->group(kGroup);
    add_real(app, "--reg-covar", reg_covar_, 0.0,
             "Added to every variance, in squared units of the data: keeps a component from "
             "falling on one point.")
        ->group(kGroup);
    add_choice(app, "--collapse", collapse_, kCollapses,
               "When a component falls on one point or loses its rows: regularise gives it the "
               "pooled covariance, drop removes it, error ends with status 3.")
        ->group(kGroup);
    add_choice(app, "--precision", precision_, kPrecisions,
               "fp32 and fp64 are what float32 and float64 compute in. fast, for float32 on a CUDA "
               "device, takes products of three bfloat16 pieces on tensor cores: the "
               "log-density of a row errs by about 0.0001 near the data's centre, by 0.01 where a "
               "component is far from it for its width. Passes that would err by more take fp32, "
               "with a warning.")
        ->group(kGroup);
    add_order_and_weights(
        app, kGroup,
        "Order of the components in the model: as they were fitted, or by weight, largest "
        "first.");
    add_iteration(
        app, iteration_, kInits,
        "Converged when the mean log-likelihood per row changes by less than X; 0: never, "
        "--max-iter updates are done.");
  }

  void prepare() override {
    check(iteration_.checkpoint);
    if (has_init_file()) adopt_init_file();
  }

  std::string objective() const override { return "log-likelihood"; }

  Json options() const override {
    const gm::Options o = library_options();
    Json json = {{"components", o.n_components},
                 {"covariance", gm::name(o.covariance)},
                 {"reg_covar", o.reg_covar},
                 {"collapse", gm::name(o.collapse)},
                 {"order", order_},
                 {"weights", weights_json()},
                 {"init", init_text(gm::name(o.init))},
                 {"n_init", o.n_init},
                 {"max_iter", o.max_iter},
                 {"tol", o.tol}};
    if (!precision_.empty()) json["precision"] = precision_;
    return json;
  }

  Plan plan(const FitInput& input) const override {
    const gm::Options options = options_for(input);
    return with_dtype(input.dtype, [&]<class T>() {
      return gm::plan<T>(input.context, *input.data.source<T>(), options);
    });
  }

  FitOutput fit(const FitInput& input) const override {
    const gm::Options options = options_for(input);
    FitOutput out;
    auto run = fit_counted(input, out.bytes_read, [&]<class T>(const RowSource<T>& rows) {
      return gm::fit<T>(input.context, rows, options);
    });
    if (order_ == "weight") gm::order_by_weight(run.model);
    out.results = {
        {"n_iter", run.n_iter},
        {"converged", run.converged},
        {"objective", run.trace.empty() ? Json(nullptr) : Json(run.trace.back().log_likelihood)},
        {"n_components", run.model.n_components()},
        {"restart", run.restart},
        {"n_collapsed", run.n_collapsed},
        {"trace", trace_json(run.trace)}};
    out.words = report::describe(run, input.data.column_names());
    keep(std::move(run), out, report::gaussian_mixture_page);
    return out;
  }

 private:
  // What the command line leaves open is as in the file.
  void adopt_init_file() {
    const io::TensorFile file = io::read_tensors(iteration_.init);
    for (const char* key : {"culatent.covariance", "covariance"}) {
      const auto stated = file.metadata.find(key);
      if (covariance_option_->count() > 0 || stated == file.metadata.end()) continue;
      const auto known = std::find(kCovariances.begin(), kCovariances.end(), stated->second);
      if (known != kCovariances.end()) covariance_ = *known;
    }
    for (const char* tensor : {"means", "weights"}) {
      const auto found = file.tensors.find(tensor);
      if (components_option_->count() == 0 && found != file.tensors.end() &&
          !found->second.shape.empty()) {
        components_ = found->second.shape.front();
        return;
      }
    }
  }

  gm::Options library_options() const {
    gm::Options options;
    options.n_components = static_cast<int>(components_);
    options.covariance = value_of<gm::Covariance>(kCovariances, covariance_);
    options.reg_covar = reg_covar_;
    options.collapse = value_of<gm::Collapse>(kCollapses, collapse_);
    if (!precision_.empty()) options.precision = value_of<Precision>(kPrecisions, precision_);
    set_iteration(options);
    return options;
  }

  gm::Options options_for(const FitInput& input) const {
    gm::Options options = library_options();
    options.missing = input.missing;
    options.seed = input.seed;
    options.weights = input.weights;
    if (has_init_file()) options.start = gm::load_start(iteration_.init, options.covariance);
    return options;
  }

  std::int64_t components_ = gm::Options{}.n_components;
  std::string covariance_ = gm::name(gm::Options{}.covariance);
  double reg_covar_ = gm::Options{}.reg_covar;
  std::string collapse_ = gm::name(gm::Options{}.collapse);
  std::string precision_;
  CLI::Option* components_option_ = nullptr;
  CLI::Option* covariance_option_ = nullptr;
};

std::unique_ptr<FitCommand> command() { return std::make_unique<GaussianMixtureCommand>(); }

bool recognises(const io::TensorFile& file) {
  return file.tensors.contains("weights") && file.tensors.contains("means") &&
         file.tensors.contains("covariances");
}

std::unique_ptr<LoadedModel> load(const std::string& path, const CLI::App&) {
  return load_gaussian_mixture(path);
}

}  // namespace

Method gaussian_mixture_method() {
  return {.name = "gaussian-mixture",
          .summary = "groups of rows, each a Gaussian; clustering and density",
          .has_cuda_steps = true,
          .command = command,
          .recognises = recognises,
          .load = load};
}

}  // namespace culatent::cli
