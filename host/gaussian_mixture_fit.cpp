#include <xxhash.h>

#include <cmath>
#include <functional>
#include <string>
#include <utility>

#include "culatent/error.hpp"
#include "host/gaussian_mixture_engine.hpp"
#include "host/gaussian_mixture_init.hpp"
#include "host/row_method.hpp"
#ifdef CULATENT_HAS_CUDA
#include "host/gaussian_mixture_cuda.hpp"
#endif

namespace culatent::gaussian_mixture {
namespace {

// What the bits of a fit depend on beside its options: the kind of device, and the precision that
// it computes in, which is not always the one that was asked for.
template <class T>
std::string arithmetic_of(const Context& context, const Options& o) {
  const bool cuda = context.cuda() != nullptr;
  const bool fast =
      cuda && sizeof(T) == 4 && o.covariance == Covariance::full && o.precision == Precision::fast;
  return std::string(cuda ? "cuda" : "cpu") + (sizeof(T) == 8 ? " fp64" : fast ? " fast" : " fp32");
}

// What must be the same for a checkpoint to be gone on from.
std::string identity_of(const std::string& arithmetic, const Options& o, const DataSummary& data) {
  std::string text = arithmetic + " " + std::to_string(o.n_components) + " " + name(o.covariance) +
                     " " + std::to_string(o.max_iter) + " " + name(o.init) + " " +
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

// What the loop asks of the mixture. Engine is CpuEngine<T> or CudaEngine<T>.
template <class T, class Engine>
class Steps {
 public:
  using Run = RunState;

  Steps(const Context& context, const Plan& plan, const FitRows<T>& rows, const Frame& frame,
        const Options& options)
      : host_{context.threads(), plan.n_workers},
        rows_(rows),
        frame_(frame),
        options_(options),
        engine_(context, plan, rows, frame, options) {}

  std::string method() const { return "gaussian-mixture"; }
  void start(Run& run, std::uint64_t seed, const std::function<bool(double)>& proceed) {
    const InitContext<T, Engine> init{host_, rows_, frame_, options_, engine_, proceed};
    run.model = initial_model(init, seed, run.n_repairs);
  }
  void load(const Run& run, std::uint64_t) { engine_.load(run.model); }
  TraceEntry pass(const Run& run) {
    const TraceEntry entry = engine_.pass();
    if (!std::isfinite(entry.log_likelihood) || !std::isfinite(entry.elbo)) {
      throw data_error("the log-likelihood is not finite",
                       "iteration " + std::to_string(run.iteration),
                       "rescale the data (--scale), raise reg_covar, or look for NaN in them");
    }
    return entry;
  }
  double objective(const TraceEntry& entry) const { return entry.log_likelihood; }
  bool better(double a, double b) const { return a > b; }
  Verdict judge(const Run&, double change) const {
    // The update of a converged fit is done all the same, as scikit-learn does.
    return std::abs(change) < options_.tol ? Verdict::last_update : Verdict::proceed;
  }
  void update(Run& run) { engine_.update(run.iteration, run.n_repairs); }
  Model model() const { return engine_.model(); }
  std::vector<Warning> warnings() const { return engine_.warnings(); }

 private:
  const CpuBackend host_;
  const FitRows<T>& rows_;
  const Frame& frame_;
  const Options& options_;
  Engine engine_;
};

template <class T, class Engine>
Fit fit_on(const Context& context, const RowSource<T>& rows, const Options& options) {
  const Clock::time_point begin = Clock::now();
  const Plan plan = culatent::gaussian_mixture::plan(context, rows, options);
  const DataSummary data = Engine::scan(context, plan, rows, options.weights,
                                        {options.missing, !options.checkpoint.path.empty(), true});
  check_counting_rows(options.weights, rows.rows(), options.n_components, kComponents);
  const FitRows<T> fit_rows{rows, options.weights, data.weight_scale};
  Steps<T, Engine> steps(context, plan, fit_rows, data.frame, options);
  const bool complete_start = !options.start.covariances.empty();
  const LoopOptions loop{options.max_iter, complete_start ? 1 : options.n_init, options.seed,
                         options.checkpoint};
  auto result = FitLoop(context.options().observer, loop, steps, begin)
                    .run(identity_of(arithmetic_of<T>(context, options), options, data));
  Fit fit;
  fit.model = std::move(result.run.model);
  take_result(result, plan, fit);
  fit.n_collapsed = result.run.n_repairs;
  if (fit.n_collapsed > 0) {
    fit.warnings.push_back({"collapsed", "components collapsed " + std::to_string(fit.n_collapsed) +
                                             " times (policy " + name(options.collapse) +
                                             "): use fewer components or a larger reg_covar"});
  }
  warn_of_missing(data.n_missing, fit.warnings);
  for (Warning& warning : steps.warnings()) fit.warnings.push_back(std::move(warning));
  return fit;
}

}  // namespace

template <class T>
Fit fit(const Context& context, const RowSource<T>& rows, const Options& options) {
#ifdef CULATENT_HAS_CUDA
  if (context.cuda() != nullptr) {
    const ActiveDevice active(*context.cuda());
    return fit_on<T, CudaEngine<T>>(context, rows, options);
  }
#endif
  return fit_on<T, CpuEngine<T>>(context, rows, options);
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
