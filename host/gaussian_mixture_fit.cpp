#include <xxhash.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <limits>
#include <optional>
#include <random>
#include <string>

#include "culatent/error.hpp"
#include "host/gaussian_mixture_init.hpp"
#include "host/random.hpp"

namespace culatent::gaussian_mixture {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void check_start_values(const Start& start) {
  double total = 0.0;
  for (const double weight : start.weights) {
    if (!(weight >= 0.0)) {
      throw data_error("a start weight is negative or NaN", "start", "fix the weights");
    }
    total += weight;
  }
  if (!start.weights.empty() && !(std::abs(total - 1.0) < 1e-6)) {
    throw data_error("start weights sum to " + std::to_string(total), "start",
                     "they must sum to 1");
  }
  for (std::int64_t i = 0; i < start.means.size(); ++i) {
    if (!std::isfinite(start.means.data()[i])) {
      throw data_error("a start mean is not finite", "start", "fix the means");
    }
  }
}

void check_options(const Options& o, std::int64_t n_rows, std::int64_t n_features) {
  const auto wrong = [](const std::string& what, const std::string& option,
                        const std::string& remedy) {
    throw invalid_argument(what, option, remedy);
  };
  if (o.n_components < 1) {
    wrong("n_components is " + std::to_string(o.n_components), "--components", "give at least 1");
  }
  if (o.max_iter < 0) wrong("max_iter is negative", "--max-iter", "give 0 or more");
  if (!(o.tol >= 0.0)) wrong("tol is negative or NaN", "--tol", "give 0 or more");
  if (!(o.reg_covar >= 0.0) || !std::isfinite(o.reg_covar)) {
    wrong("reg_covar is negative or not finite", "--reg-covar", "give 0 or more");
  }
  if (o.n_init < 1) wrong("n_init is less than 1", "--n-init", "give at least 1");
  if (o.checkpoint.every_iterations < 0 || !(o.checkpoint.every_seconds >= 0.0)) {
    wrong("the checkpoint interval is negative", "--checkpoint-every", "give at least 1");
  }
  if (n_rows == 0 || n_features == 0) {
    throw data_error(
        "no data: " + std::to_string(n_rows) + " rows, " + std::to_string(n_features) + " columns",
        "shape", "give at least one row and one column");
  }
  if (n_rows < o.n_components) {
    throw data_error(
        std::to_string(n_rows) + " rows for " + std::to_string(o.n_components) + " components",
        "shape", "use fewer components (--components) or more rows");
  }
  const Start& s = o.start;
  if (s.means.rows() > 0 && (s.means.rows() != o.n_components || s.means.cols() != n_features)) {
    throw data_error("start means are " + std::to_string(s.means.rows()) + " x " +
                         std::to_string(s.means.cols()) + ", expected " +
                         std::to_string(o.n_components) + " x " + std::to_string(n_features),
                     "start", "match --components and the columns of the data");
  }
  if (s.means.rows() == 0 && !s.covariances.empty()) {
    throw data_error("start covariances without means", "start", "give the means too");
  }
  if (!s.weights.empty() && static_cast<int>(s.weights.size()) != o.n_components) {
    throw data_error(std::to_string(s.weights.size()) + " start weights for " +
                         std::to_string(o.n_components) + " components",
                     "start", "give one weight a component");
  }
  check_start_values(s);
}

// What must be the same for a checkpoint to be gone on from.
std::string identity_of(const Options& o, const DataSummary& data) {
  std::string text = std::to_string(o.n_components) + " " + name(o.covariance) + " " +
                     std::to_string(o.max_iter) + " " + name(o.init) + " " +
                     std::to_string(o.n_init) + " " + name(o.collapse) + " " +
                     std::to_string(o.missing) + " " + std::to_string(data.fingerprint);
  const auto mix = [&](const double* values, std::size_t count) {
    text += " " + std::to_string(XXH3_64bits(values, count * sizeof(double)));
  };
  mix(&o.tol, 1);
  mix(&o.reg_covar, 1);
  mix(o.weights.data(), o.weights.size());
  mix(o.start.weights.data(), o.start.weights.size());
  mix(o.start.means.data(), static_cast<std::size_t>(o.start.means.size()));
  mix(o.start.covariances.data(), o.start.covariances.size());
  return text;
}

std::uint64_t draw_seed() { return std::random_device{}(); }

// One fit: the state that its passes share.
template <class T>
class Fitter {
 public:
  Fitter(const Context& context, const RowSource<T>& rows, const Options& options);
  Fit run();

 private:
  void begin();
  void resume_or_start();
  RunState start_run(int restart);
  void iterate(RunState& run);
  TraceEntry pass(const Parameters<T>& parameters);
  Parameters<T> prepare_start(const Model& model) const;
  Parameters<T> update(const Parameters<T>& parameters, RunState& run);
  void resize(std::int64_t n_components);
  bool notify(const char* phase, const RunState& run, double objective, double change);
  void checkpoint(const RunState& run, bool due);
  void keep_better(RunState run);
  Fit finish();

  const Context& context_;
  const RowSource<T>& rows_;
  const Options& options_;
  const Clock::time_point start_ = Clock::now();
  Plan plan_;
  CpuBackend backend_;
  DataSummary data_;
  std::optional<FitRows<T>> fit_rows_;
  std::optional<CpuWorkspace<T>> workspace_;
  std::optional<ExactSums> sums_;
  std::vector<double> values_;   // sums_, rounded
  std::vector<double> scatter_;  // tied without missing values: constant over the fit
  std::uint64_t seed_ = 0;
  std::string identity_;
  std::optional<RunState> resumed_;
  std::optional<RunState> best_;
  bool stopped_ = false;
  double init_seconds_ = 0.0;
  double fit_seconds_ = 0.0;
  Clock::time_point last_checkpoint_ = start_;
};

template <class T>
Fitter<T>::Fitter(const Context& context, const RowSource<T>& rows, const Options& options)
    : context_(context),
      rows_(rows),
      options_(options),
      plan_(plan(context, rows, options)),
      backend_{context.threads(), plan_.n_workers} {}

template <class T>
void Fitter<T>::resize(std::int64_t n_components) {
  workspace_.emplace(backend_, options_.covariance, n_components, rows_.cols(), rows_.in_place());
  sums_.emplace(workspace_->layout.size);
  values_.assign(static_cast<std::size_t>(workspace_->layout.size), 0.0);
}

template <class T>
bool Fitter<T>::notify(const char* phase, const RunState& run, double objective, double change) {
  if (!context_.options().observer) return true;
  Progress progress;
  progress.phase = phase;
  progress.restart = run.restart;
  progress.iteration = run.iteration;
  progress.max_iter = options_.max_iter;
  progress.objective = objective;
  progress.change = change;
  progress.seconds = seconds_since(start_);
  const double done = static_cast<double>(run.iteration + 1);
  progress.eta_seconds =
      fit_seconds_ / done * static_cast<double>(std::max(0, options_.max_iter - run.iteration));
  if (!context_.options().observer(progress)) stopped_ = true;
  return !stopped_;
}

template <class T>
void Fitter<T>::begin() {
  data_ = scan(context_, backend_, rows_, options_.weights,
               {options_.missing, options_.trust, !options_.checkpoint.path.empty()});
  fit_rows_.emplace(FitRows<T>{rows_, options_.weights, data_.weight_scale});
  const std::int64_t n_counting = kmeans::counting_rows(options_.weights, rows_.rows());
  if (n_counting < options_.n_components) {
    throw data_error(std::to_string(n_counting) + " rows of positive weight for " +
                         std::to_string(options_.n_components) + " components",
                     "weights", "use fewer components (--components) or more rows");
  }
  identity_ = identity_of(options_, data_);
  seed_ = options_.seed.value_or(draw_seed());
  const std::string& path = options_.checkpoint.path;
  if (path.empty() || !options_.checkpoint.resume || !std::filesystem::exists(path)) return;
  Checkpoint state = load_checkpoint(path, identity_);
  if (options_.seed && *options_.seed != state.seed) {
    throw data_error("the checkpoint was made with seed " + std::to_string(state.seed), path,
                     "resume with that seed, or remove the file to start afresh");
  }
  seed_ = state.seed;
  resumed_ = std::move(state.run);
  if (state.has_best) best_ = std::move(state.best);
}

template <class T>
RunState Fitter<T>::start_run(int restart) {
  RunState run;
  run.restart = restart;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  resize(options_.n_components);
  const InitContext<T> init{
      context_,    backend_, *fit_rows_,
      data_.frame, options_, *workspace_,
      *sums_,      values_,  [&](double inertia) {
                              return notify("init", run, inertia, nan); }};
  run.model = initial_model(init, random::restart_seed(seed_, restart), scatter_, run.n_collapsed);
  return run;
}

template <class T>
Parameters<T> Fitter<T>::prepare_start(const Model& model) const {
  std::vector<std::int64_t> failed;
  Parameters<T> parameters = prepare<T>(backend_, model, data_.frame, options_.missing, failed);
  if (!failed.empty()) throw_singular(model, failed, "start");
  return parameters;
}

// One pass over the rows: the E-step at the parameters and the sums of the next M-step.
template <class T>
TraceEntry Fitter<T>::pass(const Parameters<T>& parameters) {
  const bool tied = options_.covariance == Covariance::tied;
  const bool scatter = tied && scatter_.empty();
  row_pass(context_, Communicator(), *fit_rows_, *sums_, [&](const RowChunk<T>& chunk) {
    expectation_maximisation(backend_, *workspace_, chunk, data_.frame, parameters, scatter,
                             *sums_);
  });
  sums_->round(values_);
  const auto squares = values_.begin() + workspace_->layout.squares;
  if (scatter && !options_.missing) scatter_.assign(squares, values_.end());
  if (tied && !scatter) std::copy(scatter_.begin(), scatter_.end(), squares);
  const double weight = values_[Layout::kWeight];
  TraceEntry entry;
  entry.log_likelihood = values_[Layout::kLogLikelihood] / weight;
  entry.entropy = values_[Layout::kEntropy] / weight;
  entry.elbo = values_[Layout::kJoint] / weight + entry.entropy;
  entry.free_energy = -entry.elbo;
  return entry;
}

template <class T>
Parameters<T> Fitter<T>::update(const Parameters<T>& parameters, RunState& run) {
  Matrix<double> shifts(parameters.n_components, parameters.n_features);
  std::copy(parameters.shifts.data(), parameters.shifts.data() + shifts.size(), shifts.data());
  const Moments moments{workspace_->layout, values_, options_.covariance, data_.frame, shifts};
  ++run.iteration;
  Parameters<T> next = maximise_and_factor<T>(backend_, moments, options_, run.iteration, run.model,
                                              run.n_collapsed);
  if (run.model.n_components() != parameters.n_components) resize(run.model.n_components());
  return next;
}

template <class T>
void Fitter<T>::checkpoint(const RunState& run, bool due) {
  const CheckpointOptions& options = options_.checkpoint;
  if (options.path.empty()) return;
  if (options.every_iterations > 0) due = due || run.iteration % options.every_iterations == 0;
  if (options.every_iterations == 0) {
    due = due || seconds_since(last_checkpoint_) >= options.every_seconds;
  }
  if (!due) return;
  Checkpoint state{seed_, run, best_.has_value(), best_.value_or(RunState{})};
  save_checkpoint(options.path, identity_, state);
  last_checkpoint_ = Clock::now();
}

// EM from run.model until it converges, max_iter, or the observer stops it.
template <class T>
void Fitter<T>::iterate(RunState& run) {
  if (workspace_->layout.size !=
      Layout(options_.covariance, run.model.n_components(), rows_.cols()).size) {
    resize(run.model.n_components());
  }
  Parameters<T> parameters = prepare_start(run.model);
  for (;;) {
    const Clock::time_point begin = Clock::now();
    const TraceEntry entry = pass(parameters);
    if (!std::isfinite(entry.log_likelihood) || !std::isfinite(entry.elbo)) {
      throw data_error("the log-likelihood is not finite",
                       "iteration " + std::to_string(run.iteration),
                       "rescale the data (--scale), raise reg_covar, or look for NaN in them");
    }
    const double change = run.trace.empty()
                              ? std::numeric_limits<double>::quiet_NaN()
                              : entry.log_likelihood - run.trace.back().log_likelihood;
    run.trace.push_back(entry);
    fit_seconds_ += seconds_since(begin);
    const bool proceed = notify("fit", run, entry.log_likelihood, change);
    if (run.converged || run.iteration >= options_.max_iter || !proceed) return;
    const Clock::time_point updating = Clock::now();
    // The update of a converged fit is done all the same, as scikit-learn does.
    run.converged = std::abs(change) < options_.tol;
    parameters = update(parameters, run);
    fit_seconds_ += seconds_since(updating);
    checkpoint(run, false);
  }
}

template <class T>
void Fitter<T>::keep_better(RunState run) {
  if (best_ && best_->trace.back().log_likelihood >= run.trace.back().log_likelihood) {
    return;
  }
  best_ = std::move(run);
}

template <class T>
Fit Fitter<T>::run() {
  begin();
  const bool complete_start = !options_.start.covariances.empty();
  const int n_restarts = complete_start ? 1 : options_.n_init;
  for (int restart = resumed_ ? resumed_->restart : 0; restart < n_restarts; ++restart) {
    const Clock::time_point begin_init = Clock::now();
    RunState run;
    if (resumed_) {
      run = std::move(*resumed_);
      resumed_.reset();
      resize(run.model.n_components());
    } else {
      run = start_run(restart);
      checkpoint(run, restart > 0);
    }
    init_seconds_ += seconds_since(begin_init);
    iterate(run);
    keep_better(std::move(run));
    if (stopped_) break;
  }
  return finish();
}

template <class T>
Fit Fitter<T>::finish() {
  Fit fit;
  fit.model = std::move(best_->model);
  fit.trace = std::move(best_->trace);
  fit.n_iter = best_->iteration;
  fit.converged = best_->converged;
  fit.interrupted = stopped_;
  fit.seed = seed_;
  fit.restart = best_->restart;
  fit.n_collapsed = best_->n_collapsed;
  fit.plan = plan_;
  if (!fit.converged) {
    fit.warnings.push_back({stopped_ ? "interrupted" : "not_converged",
                            (stopped_ ? "the fit was stopped after "
                                      : "max_iter came first: the fit has not converged in ") +
                                std::to_string(fit.n_iter) + " iterations"});
  }
  if (fit.n_collapsed > 0) {
    fit.warnings.push_back({"collapsed", "components collapsed " + std::to_string(fit.n_collapsed) +
                                             " times (policy " + name(options_.collapse) +
                                             "): use fewer components or a larger reg_covar"});
  }
  if (data_.n_missing > 0) {
    fit.warnings.push_back(
        {"missing", std::to_string(data_.n_missing) + " missing values were marginalised"});
  }
  fit.seconds = {init_seconds_, fit_seconds_, seconds_since(start_)};
  fit.seconds.init = fit.seconds.total - fit_seconds_;
  return fit;
}

}  // namespace

template <class T>
Plan plan(const Context& context, const RowSource<T>& rows, const Options& options) {
  const std::int64_t n = rows.rows();
  const std::int64_t d = rows.cols();
  const std::int64_t k = options.n_components;
  check_options(options, n, d);
  const bool in_place = rows.in_place();
  const Layout layout(options.covariance, k, d);
  const std::int64_t size = static_cast<std::int64_t>(sizeof(T));
  const std::int64_t model =
      8 * (covariance_size(options.covariance, k, d) + checked_product(k, d + 1));
  const std::int64_t parameters =
      size * (covariance_size(options.covariance, k, d + 3) + 3 * checked_product(k, d)) +
      (options.missing ? model : 0);
  const std::int64_t factor = checked_product(checked_product(32, d), d);  // of one Cholesky
  // The one at hand, the next, the best so far; a checkpoint copies the first and the last.
  const int n_models = (options.n_init > 1 ? 3 : 2) + (options.checkpoint.path.empty() ? 0 : 4);
  const std::int64_t fixed =
      ExactSums::bytes(layout.size) + 8 * layout.size + n_models * model + 2 * parameters;
  const std::int64_t per_worker =
      CpuWorkspace<T>::bytes_per_worker(options.covariance, k, d, in_place, options.missing) +
      factor;
  Plan result;
  result.rows = n;
  result.columns = d;
  result.chunk_rows = std::min(chunk_rows(context), n);
  result.n_workers = context.n_threads();
  const auto total = [&](int workers) {
    return fixed + workers * per_worker + init_bytes<T>(n, d, in_place, workers, options);
  };
  const std::int64_t limit = context.options().memory_limit;
  while (limit > 0 && result.n_workers > 1 && total(result.n_workers) > limit) --result.n_workers;
  result.host_bytes = total(result.n_workers);
  if (limit > 0 && result.host_bytes > limit) {
    throw out_of_memory("the fit needs " + std::to_string(result.host_bytes) +
                            " bytes with one thread, the limit is " + std::to_string(limit),
                        "--memory-limit",
                        "raise it, or use fewer components or a simpler covariance");
  }
  return result;
}

template <class T>
Fit fit(const Context& context, const RowSource<T>& rows, const Options& options) {
  return Fitter<T>(context, rows, options).run();
}

template <class T>
Fit fit(const Context& context, MatrixView<const T> rows, const Options& options) {
  const MatrixRows<T> source(rows);
  return fit<T>(context, static_cast<const RowSource<T>&>(source), options);
}

#define CULATENT_INSTANTIATE(T)                                            \
  template Plan plan(const Context&, const RowSource<T>&, const Options&); \
  template Fit fit(const Context&, const RowSource<T>&, const Options&);   \
  template Fit fit(const Context&, MatrixView<const T>, const Options&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::gaussian_mixture
