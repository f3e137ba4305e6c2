#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "culatent/context.hpp"
#include "host/checkpoint.hpp"
#include "host/random.hpp"

/// The loop that every method which is fitted by passes over rows runs in: restarts, iterations,
/// convergence, checkpoints and the observer, written once.
namespace culatent {

/// The progress of one restart; what a checkpoint keeps. `trace[t]` holds the values at the
/// parameters after t updates.
template <class Model, class Entry>
struct RunState {
  int restart = 0;
  int iteration = 0;       ///< updates done
  bool converged = false;  ///< the next pass is the last
  Model model;
  std::vector<Entry> trace;
  std::int64_t n_repairs = 0;  ///< components or clusters that were lost and dealt with
};

enum class Verdict {
  proceed,
  last_update,  ///< converged; one more update can only better it
  settled,      ///< converged; an update would change nothing
};

struct LoopOptions {
  int max_iter = 0;
  int n_restarts = 1;
  std::optional<std::uint64_t> seed;
  const CheckpointOptions& checkpoint;
};

template <class Run>
struct LoopResult {
  Run run;  ///< the restart with the best objective
  bool interrupted = false;
  std::uint64_t seed = 0;
  Seconds seconds;
};

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// A seed for those who gave none.
std::uint64_t draw_seed();

/// Runs a method's steps. `Steps` has
///
///     using Run = RunState<Model, Entry>
///     std::string method()                    the METHOD word
///     void start(Run&, seed, proceed)         run.model = where this restart begins;
///     proceed(value)
///                                             after each pass of a costly start may end it
///     void load(const Run&, seed)             goes on from run.model; the seed is start()'s
///     Entry pass(const Run&)                  one look at all rows; throws when not finite
///     double objective(const Entry&)
///     bool better(double, double)             the first objective is better than the second
///     Verdict judge(const Run&, double change)  after a pass; run.trace ends with its entry
///     void update(Run&)                       the next parameters; counts run.n_repairs
///     Model model()                           what load() or update() left
template <class Steps>
class FitLoop {
 public:
  using Run = typename Steps::Run;

  /// `begin` is when the fit began, the scan of the data included.
  FitLoop(const Observer& observer, const LoopOptions& options, Steps& steps,
          Clock::time_point begin)
      : observer_(observer), options_(options), steps_(steps), begin_(begin) {}

  /// Throws what the steps throw, and for a checkpoint that cannot be gone on from.
  LoopResult<Run> run(const std::string& identity);

 private:
  void resume();
  bool notify(const char* phase, const Run& run, double objective, double change);
  Run start(int restart);
  void iterate(Run& run);
  bool checkpoint_due(const Run& run) const;
  void checkpoint(const Run& run);

  const Observer& observer_;
  const LoopOptions options_;
  Steps& steps_;
  const Clock::time_point begin_;
  std::string identity_;
  std::uint64_t seed_ = 0;
  std::optional<Run> resumed_;
  std::optional<Run> best_;
  bool stopped_ = false;
  double fit_seconds_ = 0.0;
  int n_passes_ = 0;
  Clock::time_point last_checkpoint_ = begin_;
};

template <class Steps>
void FitLoop<Steps>::resume() {
  const std::string& path = options_.checkpoint.path;
  if (path.empty() || !options_.checkpoint.resume || !std::filesystem::exists(path)) return;
  Checkpoint<Run> state = load_checkpoint<Run>(path, steps_.method(), identity_);
  if (options_.seed && *options_.seed != state.seed) {
    throw data_error("the checkpoint was made with seed " + std::to_string(state.seed), path,
                     "resume with that seed, or remove the file to start afresh");
  }
  seed_ = state.seed;
  resumed_ = std::move(state.run);
  best_ = std::move(state.best);
}

template <class Steps>
bool FitLoop<Steps>::notify(const char* phase, const Run& run, double objective, double change) {
  if (stopped_ || !observer_) return !stopped_;
  Progress progress;
  progress.phase = phase;
  progress.restart = run.restart;
  progress.iteration = run.iteration;
  progress.max_iter = options_.max_iter;
  progress.objective = objective;
  progress.change = change;
  progress.seconds = seconds_since(begin_);
  const int restarts_left = std::max(0, options_.n_restarts - 1 - run.restart);
  const double passes_left = static_cast<double>(options_.max_iter - run.iteration) +
                             static_cast<double>(restarts_left) * options_.max_iter;
  progress.eta_seconds = fit_seconds_ / std::max(n_passes_, 1) * std::max(passes_left, 0.0);
  if (!observer_(progress)) stopped_ = true;
  return !stopped_;
}

template <class Steps>
typename FitLoop<Steps>::Run FitLoop<Steps>::start(int restart) {
  Run run;
  run.restart = restart;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  steps_.start(run, random::restart_seed(seed_, restart),
               [&](double value) { return notify("init", run, value, nan); });
  return run;
}

template <class Steps>
bool FitLoop<Steps>::checkpoint_due(const Run& run) const {
  const CheckpointOptions& options = options_.checkpoint;
  if (options.path.empty()) return false;
  if (options.every_iterations > 0) return run.iteration % options.every_iterations == 0;
  return seconds_since(last_checkpoint_) >= options.every_seconds;
}

template <class Steps>
void FitLoop<Steps>::checkpoint(const Run& run) {
  if (options_.checkpoint.path.empty()) return;
  save_checkpoint(options_.checkpoint.path, steps_.method(), identity_,
                  Checkpoint<Run>{seed_, run, best_});
  last_checkpoint_ = Clock::now();
}

// From run.model until it converges, max_iter, or the observer stops it.
template <class Steps>
void FitLoop<Steps>::iterate(Run& run) {
  steps_.load(run, random::restart_seed(seed_, run.restart));
  for (;;) {
    const Clock::time_point begin = Clock::now();
    const auto entry = steps_.pass(run);
    const double objective = steps_.objective(entry);
    const double change = run.trace.empty() ? std::numeric_limits<double>::quiet_NaN()
                                            : objective - steps_.objective(run.trace.back());
    run.trace.push_back(entry);
    fit_seconds_ += seconds_since(begin);
    ++n_passes_;
    const bool stopped_before = stopped_;
    const bool proceed = notify("fit", run, objective, change);
    const Verdict verdict = run.converged ? Verdict::settled : steps_.judge(run, change);
    run.converged = verdict == Verdict::settled;
    if (run.converged || run.iteration >= options_.max_iter) break;
    if (!proceed) {
      if (stopped_before) break;  // its start was cut short: not one to go on from
      run.model = steps_.model();
      Run before = run;
      before.trace.pop_back();  // a resumed fit takes the last pass again
      checkpoint(before);
      break;
    }
    const Clock::time_point updating = Clock::now();
    run.converged = verdict == Verdict::last_update;
    ++run.iteration;
    steps_.update(run);
    fit_seconds_ += seconds_since(updating);
    if (checkpoint_due(run)) {
      run.model = steps_.model();
      checkpoint(run);
    }
  }
  run.model = steps_.model();
}

template <class Steps>
LoopResult<typename Steps::Run> FitLoop<Steps>::run(const std::string& identity) {
  identity_ = identity;
  seed_ = options_.seed ? *options_.seed : draw_seed();
  resume();
  for (int restart = resumed_ ? resumed_->restart : 0; restart < options_.n_restarts; ++restart) {
    Run run;
    if (resumed_) {
      run = std::move(*resumed_);
      resumed_.reset();
    } else {
      run = start(restart);
      // The best so far would be lost; but a start that was cut short is not one to go on from.
      if (!stopped_ && (restart > 0 || checkpoint_due(run))) checkpoint(run);
    }
    iterate(run);
    if (!best_ ||
        steps_.better(steps_.objective(run.trace.back()), steps_.objective(best_->trace.back()))) {
      best_ = std::move(run);
    }
    if (stopped_) break;
  }
  const double total = seconds_since(begin_);
  return {std::move(*best_), stopped_, seed_, {total - fit_seconds_, fit_seconds_, total}};
}

}  // namespace culatent
