#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "culatent/error.hpp"
#include "host/place.hpp"
#include "host/tsne_checkpoint.hpp"
#include "host/tsne_engine.hpp"
#ifdef CULATENT_HAS_CUDA
#include "host/tsne_cuda.hpp"
#endif

namespace culatent::tsne {
namespace {

Phase phase_at(int iteration, std::int64_t n_rows, const Options& options) {
  const bool early = iteration < options.exaggeration_iter;
  Phase phase;
  phase.exaggeration = early ? options.early_exaggeration : 1.0;
  phase.momentum = early ? options.early_momentum : options.momentum;
  phase.learning_rate = options.learning_rate.value_or(
      std::max(static_cast<double>(n_rows) / phase.exaggeration / 4.0, 50.0));
  return phase;
}

// The iteration at which the next interval ends: of the report, of the phase, or of the fit.
int end_of_interval(int iteration, const Options& options) {
  const int next = (iteration / options.interval + 1) * options.interval;
  int end = std::min(next, options.max_iter);
  if (iteration < options.exaggeration_iter) end = std::min(end, options.exaggeration_iter);
  return end;
}

// Tells observer and snapshot of the positions. False: one of them ends the fit.
template <class Engine>
class Reporter {
 public:
  Reporter(const Context& context, const Options& options, Engine& engine, Clock::time_point begin,
           int first)
      : context_(context), options_(options), engine_(engine), begin_(begin), first_(first) {}

  bool tell(int iteration, double kl) {
    Progress progress;
    progress.phase = "fit";
    progress.iteration = iteration;
    progress.max_iter = options_.max_iter;
    progress.objective = kl;
    progress.change = kl - last_;
    progress.seconds = seconds_since(begin_);
    const double left = static_cast<double>(options_.max_iter - iteration);
    const int done = iteration - first_;
    if (done > 0) progress.eta_seconds = seconds_since(descent_) / done * left;
    last_ = kl;
    bool go_on = true;
    if (context_.options().observer) go_on = context_.options().observer(progress);
    if (options_.snapshot) {
      go_on = options_.snapshot({iteration, kl, engine_.positions()}) && go_on;
    }
    return go_on;
  }

 private:
  const Context& context_;
  const Options& options_;
  Engine& engine_;
  const Clock::time_point begin_, descent_ = Clock::now();
  const int first_;  // iteration, of this process
  double last_ = std::numeric_limits<double>::quiet_NaN();
};

// From the start, or from where fit.trace ends.
template <class Engine>
void descend(const Context& context, const Options& options, Engine& engine,
             Checkpoints& checkpoints, Clock::time_point begin, Fit& fit) {
  const std::int64_t n = engine.positions().rows;
  if (fit.trace.empty()) fit.trace.push_back({0.0, engine.divergence(false)});
  fit.n_iter = static_cast<int>(fit.trace.size()) - 1;
  Reporter<Engine> reporter(context, options, engine, begin, fit.n_iter);
  bool go_on = reporter.tell(fit.n_iter, fit.trace.back().kl);
  std::vector<double> norms;
  while (!fit.converged && fit.n_iter < options.max_iter) {
    if (checkpoints.due(fit.n_iter, !go_on)) {
      checkpoints.save({fit.seed, fit.trace, engine.state()});
    }
    if (!go_on) break;
    const Phase phase = phase_at(fit.n_iter, n, options);
    norms.resize(static_cast<std::size_t>(end_of_interval(fit.n_iter, options) - fit.n_iter));
    engine.advance(phase, norms);
    for (const double norm : norms) {
      if (!std::isfinite(norm)) {
        throw data_error("the gradient is not finite any more",
                         "iteration " + std::to_string(fit.n_iter),
                         "lower --learning-rate, or leave it to auto");
      }
      fit.trace.back().gradient_norm = norm;
      fit.trace.emplace_back();
      ++fit.n_iter;
    }
    fit.converged = fit.n_iter > options.exaggeration_iter && norms.back() < options.min_gradient;
    fit.trace.back().kl = engine.divergence(false);
    go_on = reporter.tell(fit.n_iter, fit.trace.back().kl);
  }
  fit.interrupted = !go_on;
  fit.exact_kl = fit.repulsion == Repulsion::exact || n <= Engine::kExactDivergenceRows;
  fit.kl = engine.divergence(fit.exact_kl);
  fit.trace.back().kl = fit.kl;
  fit.trace.back().gradient_norm =
      engine.gradient_norm(phase_at(fit.n_iter, n, options).exaggeration);
}

template <class Engine>
void add_warnings(const Engine& engine, const Options& options, Fit& fit) {
  if (engine.coarse()) {
    fit.warnings.push_back({"coarse_grid",
                            "the embedding grew wider than the finest grid: forces are less exact "
                            "than 1e-3; --repulsion exact has no grid"});
  }
  if (fit.interrupted) {
    fit.warnings.push_back(
        {"interrupted", "the fit was stopped after " + std::to_string(fit.n_iter) + " iterations"});
  } else if (!fit.converged && options.max_iter > 0) {
    fit.warnings.push_back({"not_converged", "max_iter came first: the gradient is not below " +
                                                 number_text(options.min_gradient) + " after " +
                                                 std::to_string(fit.n_iter) + " iterations"});
  }
}

double find_partition(const Context& context, const CpuBackend& backend,
                      MatrixView<const float> embedding) {
#ifdef CULATENT_HAS_CUDA
  if (context.cuda() != nullptr) {
    const ActiveDevice active(*context.cuda());
    return partition_on_device({*context.cuda(), backend.threads, backend.n_workers}, embedding);
  }
#else
  static_cast<void>(context);
#endif
  return partition(backend, embedding);
}

Prepared prepare_for(const Context& context, const CpuBackend& backend,
                     const RowSource<float>& rows, const Options& options, std::int64_t k,
                     std::uint64_t seed) {
#ifdef CULATENT_HAS_CUDA
  if (context.cuda() != nullptr) {
    return prepare_on_device(context, {*context.cuda(), backend.threads, backend.n_workers}, rows,
                             options, k, seed);
  }
#endif
  return prepare(context, backend, rows, options, k, seed);
}

// To the end, on one backend.
template <class Engine>
void run(const Context& context, const Options& options, Engine& engine, Checkpoints& checkpoints,
         Clock::time_point begin, Fit& fit) {
  descend(context, options, engine, checkpoints, begin, fit);
  add_warnings(engine, options, fit);
  const MatrixView<const float> positions = engine.positions();
  fit.embedding = Matrix<float>(positions.rows, positions.cols);
  std::copy_n(positions.data, fit.embedding.size(), fit.embedding.data());
}

void run_on_backend(const Context& context, const CpuBackend& backend, const Options& options,
                    const Prepared& prepared, State start, Checkpoints& checkpoints,
                    Clock::time_point begin, Fit& fit) {
#ifdef CULATENT_HAS_CUDA
  if (context.cuda() != nullptr) {
    CudaEngine engine({*context.cuda(), backend.threads, backend.n_workers}, prepared,
                      std::move(start), fit.repulsion);
    run(context, options, engine, checkpoints, begin, fit);
    return;
  }
#endif
  CpuEngine engine(backend, prepared, std::move(start), fit.repulsion);
  run(context, options, engine, checkpoints, begin, fit);
}

// Where a fit that was stopped during the search is: nowhere else than it was.
void take_start(Matrix<float> positions, Fit& fit) {
  const bool resumed = !fit.trace.empty();
  if (!resumed) fit.trace.resize(1);
  fit.n_iter = static_cast<int>(fit.trace.size()) - 1;
  fit.interrupted = true;
  fit.kl = fit.trace.back().kl;
  fit.embedding = std::move(positions);
  fit.warnings.push_back(
      {"interrupted", resumed ? "the fit was stopped before it went on: the embedding is that of "
                                "the checkpoint"
                              : "the fit was stopped before it began: the embedding is its start"});
}

}  // namespace

Fit fit(const Context& context, const RowSource<float>& rows, const Options& options) {
  const Clock::time_point begin = Clock::now();
  check_options(options);
  check_rows(rows.rows(), rows.cols(), options);
  check_rows(context, rows);
  if (options.start.size() > 0) {
    check_positions(options.start.view(), rows.rows(), "the start");
    if (options.start.cols() != options.n_dimensions) {
      throw data_error("the start has " + std::to_string(options.start.cols()) + " dimensions, " +
                           std::to_string(options.n_dimensions) + " are wanted",
                       "the start", "give as many columns as --dimensions");
    }
  }
  const std::int64_t n = rows.rows();
  Fit fit;
  fit.plan = plan(context, rows, options);
  fit.repulsion = choose_repulsion(n, options, context.cuda() != nullptr);
  const std::int64_t k = choose_neighbors(n, options);
  fit.affinities = k == n - 1 ? Affinities::dense : Affinities::sparse;
  const CpuBackend backend{context.threads(), fit.plan.n_workers};
#ifdef CULATENT_HAS_CUDA
  std::optional<ActiveDevice> active;
  if (context.cuda() != nullptr) active.emplace(*context.cuda());
#endif
  Checkpoints checkpoints(context, backend, rows, options);
  std::optional<Descent> resumed = checkpoints.load();
  fit.seed = resumed ? resumed->seed : options.seed ? *options.seed : draw_seed();
  Prepared prepared = prepare_for(context, backend, rows, options, k, fit.seed);
  fit.warnings = std::move(prepared.warnings);
  fit.recall = prepared.recall;
  fit.n_affinities = prepared.n_affinities;
  fit.n_unreached = prepared.n_unreached;
  State start;
  if (resumed) {
    fit.trace = std::move(resumed->trace);
    start = std::move(resumed->state);
  } else {
    start = at_rest(start_positions(context, backend, rows, prepared, options, fit.seed));
  }
  if (prepared.interrupted) {
    take_start(std::move(start.positions), fit);
    return fit;
  }
  fit.seconds.init = seconds_since(begin);
  run_on_backend(context, backend, options, prepared, std::move(start), checkpoints, begin, fit);
  fit.seconds.total = seconds_since(begin);
  fit.seconds.fit = fit.seconds.total - fit.seconds.init;
  return fit;
}

Fit fit(const Context& context, MatrixView<const float> rows, const Options& options) {
  return fit(context, MatrixRows<float>(rows), options);
}

Divergence divergence(const Context& context, const RowSource<float>& rows,
                      MatrixView<const float> embedding, const Options& options) {
  check_options(options);
  check_rows(rows.rows(), rows.cols(), options);
  check_rows(context, rows);
  const Matrix<float> positions = dense_positions(embedding, rows.rows(), "the embedding");
  const std::int64_t k = choose_neighbors(rows.rows(), options, kDenseDivergenceRows);
  const Plan plan = plan_affinities(context, rows, options, k);
  const CpuBackend backend{context.threads(), plan.n_workers};
  const Prepared prepared = prepare(context, backend, rows, options, k, options.seed.value_or(0));
  const double energy = attraction_energy(backend, prepared.view(), positions.view());
  return {divergence_of(prepared, energy, find_partition(context, backend, positions.view())),
          k == rows.rows() - 1 ? Affinities::dense : Affinities::sparse};
}

}  // namespace culatent::tsne
