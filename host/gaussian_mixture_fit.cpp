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
#include "host/gaussian_mixture_engine.hpp"
#include "host/gaussian_mixture_init.hpp"
#include "host/random.hpp"
#ifdef CULATENT_HAS_CUDA
#include "host/gaussian_mixture_cuda.hpp"
#endif

namespace culatent::gaussian_mixture {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
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
template <class T, class Engine>
class Fitter {
 public:
  Fitter(const Context& context, const RowSource<T>& rows, const Options& options);
  Fit run();

 private:
  void begin();
  RunState start_run(int restart);
  void iterate(RunState& run);
  bool notify(const char* phase, const RunState& run, double objective, double change);
  bool checkpoint_due(const RunState& run) const;
  void checkpoint(const RunState& run);
  void keep_better(RunState run);
  Fit finish();

  const Context& context_;
  const RowSource<T>& rows_;
  const Options& options_;
  const Clock::time_point start_ = Clock::now();
  Plan plan_;
  CpuBackend host_;
  DataSummary data_;
  std::optional<FitRows<T>> fit_rows_;
  std::optional<Engine> engine_;
  std::uint64_t seed_ = 0;
  std::string identity_;
  std::optional<RunState> resumed_;
  std::optional<RunState> best_;
  bool stopped_ = false;
  double fit_seconds_ = 0.0;
  int n_passes_ = 0;
  Clock::time_point last_checkpoint_ = start_;
};

template <class T, class Engine>
Fitter<T, Engine>::Fitter(const Context& context, const RowSource<T>& rows, const Options& options)
    : context_(context),
      rows_(rows),
      options_(options),
      plan_(plan(context, rows, options)),
      host_{context.threads(), plan_.n_workers} {}

template <class T, class Engine>
bool Fitter<T, Engine>::notify(const char* phase, const RunState& run, double objective,
                               double change) {
  if (stopped_ || !context_.options().observer) return !stopped_;
  Progress progress;
  progress.phase = phase;
  progress.restart = run.restart;
  progress.iteration = run.iteration;
  progress.max_iter = options_.max_iter;
  progress.objective = objective;
  progress.change = change;
  progress.seconds = seconds_since(start_);
  const int restarts_left = std::max(0, options_.n_init - 1 - run.restart);
  const double passes_left = static_cast<double>(options_.max_iter - run.iteration) +
                             static_cast<double>(restarts_left) * options_.max_iter;
  progress.eta_seconds = fit_seconds_ / std::max(n_passes_, 1) * std::max(passes_left, 0.0);
  if (!context_.options().observer(progress)) stopped_ = true;
  return !stopped_;
}

template <class T, class Engine>
void Fitter<T, Engine>::begin() {
  data_ = Engine::scan(context_, plan_, rows_, options_.weights,
                       {options_.missing, !options_.checkpoint.path.empty()});
  fit_rows_.emplace(FitRows<T>{rows_, options_.weights, data_.weight_scale});
  const std::int64_t n_counting = kmeans::counting_rows(options_.weights, rows_.rows());
  if (n_counting < options_.n_components) {
    throw data_error(std::to_string(n_counting) + " rows of positive weight for " +
                         std::to_string(options_.n_components) + " components",
                     "weights", "use fewer components (--components) or more rows");
  }
  engine_.emplace(context_, plan_, *fit_rows_, data_.frame, options_);
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

template <class T, class Engine>
RunState Fitter<T, Engine>::start_run(int restart) {
  RunState run;
  run.restart = restart;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const InitContext<T, Engine> init{
      host_,    *fit_rows_, data_.frame,
      options_, *engine_,   [&](double inertia) { return notify("init", run, inertia, nan); }};
  run.model = initial_model(init, random::restart_seed(seed_, restart), run.n_collapsed);
  return run;
}

template <class T, class Engine>
bool Fitter<T, Engine>::checkpoint_due(const RunState& run) const {
  const CheckpointOptions& options = options_.checkpoint;
  if (options.path.empty()) return false;
  if (options.every_iterations > 0) return run.iteration % options.every_iterations == 0;
  return seconds_since(last_checkpoint_) >= options.every_seconds;
}

template <class T, class Engine>
void Fitter<T, Engine>::checkpoint(const RunState& run) {
  if (options_.checkpoint.path.empty()) return;
  Checkpoint state{seed_, run, best_.has_value(), best_.value_or(RunState{})};
  save_checkpoint(options_.checkpoint.path, identity_, state);
  last_checkpoint_ = Clock::now();
}

// EM from run.model until it converges, max_iter, or the observer stops it.
template <class T, class Engine>
void Fitter<T, Engine>::iterate(RunState& run) {
  engine_->load(run.model);
  for (;;) {
    const Clock::time_point begin = Clock::now();
    const TraceEntry entry = engine_->pass();
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
    ++n_passes_;
    const bool stopped_before = stopped_;
    const bool proceed = notify("fit", run, entry.log_likelihood, change);
    if (run.converged || run.iteration >= options_.max_iter) break;
    if (!proceed) {
      if (stopped_before) break;  // its start was cut short: not one to go on from
      run.model = engine_->model();
      RunState before = run;
      before.trace.pop_back();  // a resumed fit takes the last pass again
      checkpoint(before);
      break;
    }
    const Clock::time_point updating = Clock::now();
    // The update of a converged fit is done all the same, as scikit-learn does.
    run.converged = std::abs(change) < options_.tol;
    engine_->update(++run.iteration, run.n_collapsed);
    fit_seconds_ += seconds_since(updating);
    if (checkpoint_due(run)) {
      run.model = engine_->model();
      checkpoint(run);
    }
  }
  run.model = engine_->model();
}

template <class T, class Engine>
void Fitter<T, Engine>::keep_better(RunState run) {
  if (best_ && best_->trace.back().log_likelihood >= run.trace.back().log_likelihood) {
    return;
  }
  best_ = std::move(run);
}

template <class T, class Engine>
Fit Fitter<T, Engine>::run() {
  begin();
  const bool complete_start = !options_.start.covariances.empty();
  const int n_restarts = complete_start ? 1 : options_.n_init;
  for (int restart = resumed_ ? resumed_->restart : 0; restart < n_restarts; ++restart) {
    RunState run;
    if (resumed_) {
      run = std::move(*resumed_);
      resumed_.reset();
    } else {
      run = start_run(restart);
      // The best so far would be lost; but a start that was cut short is not one to go on from.
      if (!stopped_ && (restart > 0 || checkpoint_due(run))) checkpoint(run);
    }
    iterate(run);
    keep_better(std::move(run));
    if (stopped_) break;
  }
  return finish();
}

template <class T, class Engine>
Fit Fitter<T, Engine>::finish() {
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
  const double total = seconds_since(start_);
  fit.seconds = {total - fit_seconds_, fit_seconds_, total};
  return fit;
}

}  // namespace

template <class T>
Fit fit(const Context& context, const RowSource<T>& rows, const Options& options) {
#ifdef CULATENT_HAS_CUDA
  if (context.cuda() != nullptr) {
    context.cuda()->activate();
    return Fitter<T, CudaEngine<T>>(context, rows, options).run();
  }
#endif
  return Fitter<T, CpuEngine<T>>(context, rows, options).run();
}

template <class T>
Fit fit(const Context& context, MatrixView<const T> rows, const Options& options) {
  const MatrixRows<T> source(rows);
  return fit<T>(context, static_cast<const RowSource<T>&>(source), options);
}

#define CULATENT_INSTANTIATE(T)                                          \
  template Fit fit(const Context&, const RowSource<T>&, const Options&); \
  template Fit fit(const Context&, MatrixView<const T>, const Options&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::gaussian_mixture
