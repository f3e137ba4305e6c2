#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "culatent/error.hpp"
#include "host/kmeans_engine.hpp"
#include "host/kmeans_seeding.hpp"
#include "host/random.hpp"

namespace culatent::kmeans {

/// Values of centroids from which on threads share an update.
inline constexpr std::int64_t kLeastShared = 1 << 15;
inline constexpr int kMostStale = 10;  // mini-batches without progress, as scikit-learn has it

/// What the loop (host/fit_loop.hpp) asks of k-means. The state is the model, in double and in the
/// data's units: what the engine computes with is derived from it, so a fit that resumes computes
/// with the same.
template <class T, class Engine>
class Steps {
 public:
  using Run = RunState;

  Steps(const Context& context, const Plan& plan, const FitRows<T>& rows, const DataSummary& data,
        const Options& options)
      : context_(context),
        host_{context.threads(), plan.n_workers},
        rows_(rows),
        options_(options),
        total_weight_(data.total_weight),
        max_iter_(most_updates(options, rows.source.rows())),
        coordinates_(fit_coordinates(data, options.metric)),
        fixed_(fixed_point<T>(coordinates_, rows.source.rows(), !options.weights.empty())),
        engine_(context, plan, rows, coordinates_, fixed_, options),
        statistics_(fixed_, options.n_clusters) {
    for (std::size_t i = 0; options.mini_batch > 0 && i < options.weights.size(); ++i) {
      if (options.weights[i] > 0.0) positive_.push_back(static_cast<std::int64_t>(i));
    }
  }

  /// Cosine: a row without a direction ends the fit before anything is drawn from the rows.
  void check_rows() {
    if (!coordinates_.unit_length) return;
    const std::int64_t row = engine_.first_zero_row();
    if (row < 0) return;
    throw data_error("all values are 0: the row has no direction", "row " + std::to_string(row),
                     "leave it out, or use --metric euclidean");
  }

  std::string method() const { return "kmeans"; }
  double objective(const TraceEntry& entry) const { return entry.inertia; }
  bool better(double a, double b) const { return a < b; }
  State model() const { return {model_, previous_}; }
  double refined_fraction() const { return n_looked_at_ > 0.0 ? n_refined_ / n_looked_at_ : 0.0; }

  void start(Run& run, std::uint64_t seed, const std::function<bool(double)>& proceed) {
    Model& model = run.model.model;
    model.metric = options_.metric;
    model.counts.assign(index(options_.n_clusters), 0.0);
    if (options_.start.rows() > 0) {
      model.centroids = options_.start;
    } else {
      const Matrix<T> chosen =
          choose_centroids(engine_, context_, rows_, options_, host_, seed,
                           [&](double potential) { return proceed(potential * unit()); });
      model.centroids = Matrix<double>(chosen.rows(), chosen.cols());
      for (std::int64_t k = 0; k < chosen.rows(); ++k) {
        for (std::int64_t j = 0; j < chosen.cols(); ++j) {
          model.centroids(k, j) = to_data(static_cast<double>(chosen(k, j)), j);
        }
      }
    }
    if (coordinates_.unit_length) normalise_rows(model.centroids, "start");
  }

  void load(const Run& run, std::uint64_t seed) {
    seed_ = seed;
    previous_ = run.model.previous;
    labels_known_ = options_.mini_batch == 0 && previous_.rows() > 0;
    if (labels_known_) engine_.pass(to_coordinates<T>(previous_, coordinates_), statistics_);
    model_ = run.model.model;
    place_centroids();
    progress_ = {};
    for (const TraceEntry& entry : run.trace) note_batch(entry.inertia);
  }

  TraceEntry pass(const Run& run) {
    TraceEntry entry;
    const bool all = options_.mini_batch == 0 || run.converged || run.iteration >= max_iter_;
    if (all) {
      engine_.pass(centroids_, statistics_);
      entry.inertia = statistics_.inertia.value(0) * unit();
      if (labels_known_) entry.moved = statistics_.n_moved;
      labels_known_ = options_.mini_batch == 0;
    } else {
      batch_ = batch_rows(run);
      engine_.pass_batch(batch_, centroids_, statistics_);
      const double weight = batch_weight();
      if (weight > 0.0) {
        entry.inertia = statistics_.inertia.value(0) * (total_weight_ / weight) * unit();
        note_batch(entry.inertia);
      } else if (!run.trace.empty()) {
        entry.inertia = run.trace.back().inertia;  // a batch without weight tells nothing
      }
    }
    if (!std::isfinite(entry.inertia)) {
      throw data_error("the inertia is not finite", "iteration " + std::to_string(run.iteration),
                       "rescale the data (--scale)");
    }
    n_refined_ += static_cast<double>(statistics_.n_refined);
    n_looked_at_ +=
        all ? static_cast<double>(rows_.source.rows()) : static_cast<double>(batch_.size());
    if (all) count_rows();
    return entry;
  }

  Verdict judge(const Run& run, double change) const {
    const TraceEntry& last = run.trace.back();
    if (options_.mini_batch > 0) {
      const bool stale = options_.tol > 0.0 && progress_.n_stale >= kMostStale;
      return stale ? Verdict::last_update : Verdict::proceed;
    }
    const bool can_relocate =
        options_.empty == Empty::relocate &&
        last.inertia > noise() * total_weight_ / rows_.weight_scale &&
        std::find(model_.counts.begin(), model_.counts.end(), 0.0) != model_.counts.end();
    if (last.moved == 0 && !can_relocate) return Verdict::settled;
    const bool slow = options_.tol > 0.0 && -change < options_.tol * last.inertia;
    return slow ? Verdict::last_update : Verdict::proceed;
  }

  /// Inertia and counts of a state over all rows: where mini-batches were interrupted.
  double measure(State& state) {
    model_ = state.model;
    place_centroids();
    engine_.pass(centroids_, statistics_);
    count_rows();
    state.model.counts = model_.counts;
    return statistics_.inertia.value(0) * unit();
  }

  void update(Run& run) {
    previous_ = model_.centroids;
    std::vector<std::int64_t> empty;
    const bool batches = options_.mini_batch > 0;
    const std::int64_t n_clusters = model_.n_clusters();
    const int n_workers = model_.centroids.size() < kLeastShared ? 1 : host_.n_workers;
    host_.threads.parallel_for(n_clusters, n_workers, [&](std::int64_t k, int) {
      const double weight = statistics_.count(fixed_, k);
      if (weight > 0.0) move_centroid(k, weight, batches ? model_.counts[index(k)] : 0.0);
    });
    for (std::int64_t k = 0; k < n_clusters; ++k) {
      if (batches) model_.counts[index(k)] += statistics_.count(fixed_, k) / rows_.weight_scale;
      if (model_.counts[index(k)] == 0.0) empty.push_back(k);
    }
    if (!empty.empty() && (!batches || seen_enough(run))) fill_empty(run, empty);
    place_centroids();
  }

 private:
  // The squared distance that rounding leaves where a row lies on its centroid: rows of length 1
  // of one direction differ from their mean by a few units in the last place.
  double noise() const {
    const double epsilon = static_cast<double>(std::numeric_limits<T>::epsilon());
    return coordinates_.unit_length ? 64.0 * epsilon * epsilon : 0.0;
  }
  static std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

  // Of a squared distance in the coordinates, summed with scaled weights.
  double unit() const {
    const double scale = coordinates_.unit_length ? 1.0 : coordinates_.frame.scale.front();
    return 1.0 / (scale * scale * rows_.weight_scale);
  }
  double to_data(double value, std::int64_t j) const {
    return coordinates_.unit_length ? value : from_coordinates(value, coordinates_, j);
  }
  void place_centroids() { centroids_ = to_coordinates<T>(model_.centroids, coordinates_); }

  void count_rows() {
    for (std::int64_t k = 0; k < model_.n_clusters(); ++k) {
      model_.counts[index(k)] = statistics_.count(fixed_, k) / rows_.weight_scale;
    }
  }
  double batch_weight() const {
    double sum = 0.0;
    for (std::int64_t k = 0; k < model_.n_clusters(); ++k) sum += statistics_.count(fixed_, k);
    return sum;
  }

  // The mean of the rows of the pass, and of `before` rows that the centroid is the mean of.
  void move_centroid(std::int64_t k, double weight, double before) {
    before *= rows_.weight_scale;
    double square = 0.0;
    for (std::int64_t j = 0; j < model_.n_features(); ++j) {
      const double old = static_cast<double>(centroids_(k, j));
      const double mean = (before * old + statistics_.sum(fixed_, k, j)) / (before + weight);
      model_.centroids(k, j) = to_data(mean, j);
      square += mean * mean;
    }
    if (!coordinates_.unit_length) return;
    for (std::int64_t j = 0; j < model_.n_features(); ++j) {
      double& value = model_.centroids(k, j);
      value = square > 0.0 ? value / std::sqrt(square) : previous_(k, j);  // any direction will do
    }
  }

  // Mini-batches: a cluster is empty when so many rows had none for it.
  bool seen_enough(const Run& run) const {
    const std::int64_t every =
        std::max<std::int64_t>(1, 10 * options_.n_clusters / options_.mini_batch);
    return run.iteration % every == 0;
  }

  void fill_empty(Run& run, const std::vector<std::int64_t>& empty) {
    if (options_.empty == Empty::keep) return;
    if (options_.empty == Empty::error) {
      throw data_error("cluster " + std::to_string(empty.front()) + " has no rows",
                       "iteration " + std::to_string(run.iteration),
                       "use fewer clusters, or --empty relocate");
    }
    const std::vector<std::int64_t> rows =
        engine_.farthest(centroids_, static_cast<std::int64_t>(empty.size()), batch_, noise());
    const Matrix<T> far = engine_.fetch(rows);
    for (std::int64_t i = 0; i < far.rows(); ++i) {
      for (std::int64_t j = 0; j < far.cols(); ++j) {
        model_.centroids(empty[index(i)], j) = to_data(static_cast<double>(far(i, j)), j);
      }
    }
    run.n_repairs += far.rows();
  }

  // With replacement from the rows of positive weight, by (seed, iteration) alone; ascending, for
  // the sake of the disk.
  std::vector<std::int64_t> batch_rows(const Run& run) const {
    const std::int64_t n = rows_.source.rows();
    const std::int64_t m = positive_.empty() ? n : static_cast<std::int64_t>(positive_.size());
    std::vector<std::int64_t> rows(index(std::min(options_.mini_batch, n)));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const double u = random::uniform(
          seed_, random::Stream::batch,
          static_cast<std::uint64_t>(run.iteration) * static_cast<std::uint64_t>(rows.size()) + i,
          0);
      const std::int64_t at =
          std::min(m - 1, static_cast<std::int64_t>(u * static_cast<double>(m)));
      rows[i] = positive_.empty() ? at : positive_[index(at)];
    }
    std::sort(rows.begin(), rows.end());
    return rows;
  }

  // The inertia of batches, smoothed over about one pass of all rows.
  struct BatchProgress {
    double smooth = -1.0;  // none yet
    double least = 0.0;
    int n_stale = 0;  // batches since it last fell
  };
  void note_batch(double inertia) {
    BatchProgress& p = progress_;
    const double share = std::min(1.0, 2.0 * static_cast<double>(options_.mini_batch) /
                                           static_cast<double>(rows_.source.rows() + 1));
    const bool first = p.smooth < 0.0;
    p.smooth = first ? inertia : p.smooth * (1.0 - share) + inertia * share;
    const bool fell = first || p.smooth < p.least * (1.0 - options_.tol);
    p.n_stale = fell ? 0 : p.n_stale + 1;
    if (fell) p.least = p.smooth;
  }

  const Context& context_;
  const CpuBackend host_;
  const FitRows<T>& rows_;
  const Options& options_;
  const double total_weight_;
  const int max_iter_;
  const Coordinates coordinates_;
  const FixedPoint fixed_;
  Engine engine_;
  Statistics statistics_;
  bool labels_known_ = false;  // the engine has those of the pass before
  std::uint64_t seed_ = 0;
  Model model_;
  Matrix<double> previous_;  // centroids of the pass before
  BatchProgress progress_;
  Matrix<T> centroids_;                 // of model_, in the coordinates
  std::vector<std::int64_t> positive_;  // rows of positive weight, for mini-batches with weights
  std::vector<std::int64_t> batch_;
  double n_refined_ = 0.0;
  double n_looked_at_ = 0.0;
};

}  // namespace culatent::kmeans
