#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <utility>

#include "culatent/error.hpp"
#include "host/bernoulli_mixture.hpp"
#include "host/kmeans.hpp"
#include "host/kmeans_steps.hpp"
#include "host/random.hpp"
#include "host/row_method.hpp"
#include "host/row_pass.hpp"

namespace culatent::bernoulli_mixture {
namespace {

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

// What must be the same for a checkpoint to be gone on from.
std::string identity_of(const Options& o, const DataSummary& data) {
  std::string text = std::to_string(o.n_components) + " " + std::to_string(o.max_iter) + " " +
                     name(o.init) + " " + std::to_string(o.n_init) + " " +
                     std::to_string(o.missing) + " " + std::to_string(data.fingerprint);
  const auto mix = [&](const double* values, std::size_t count) {
    text += " " + std::to_string(XXH3_64bits(values, count * sizeof(double)));
  };
  const double least = least_probability(o);
  mix(&o.tol, 1);
  mix(&o.smoothing, 1);
  mix(&least, 1);
  mix(o.weights.data(), o.weights.size());
  mix(o.start.weights.data(), o.start.weights.size());
  mix(o.start.means.data(), index(o.start.means.size()));
  return text;
}

// Rows with the features' means where values are missing, for the start alone.
template <class T>
class FilledRows final : public RowSource<T> {
 public:
  FilledRows(const RowSource<T>& rows, const std::vector<double>& fill)
      : rows_(rows), fill_(fill) {}
  std::int64_t rows() const override { return rows_.rows(); }
  std::int64_t cols() const override { return rows_.cols(); }
  MatrixView<const T> read(std::int64_t first, MatrixView<T> buffer) const override {
    const MatrixView<const T> read = rows_.read(first, buffer);
    for (std::int64_t i = 0; i < buffer.rows; ++i) {
      for (std::int64_t j = 0; j < buffer.cols; ++j) {
        const T value = read(i, j);
        buffer(i, j) = std::isnan(value) ? static_cast<T>(fill_[index(j)]) : value;
      }
    }
    return buffer;
  }

 private:
  const RowSource<T>& rows_;
  const std::vector<double>& fill_;
};

// What the loop asks of the mixture. The state is the model in double.
template <class T>
class Steps {
 public:
  using Run = RunState;

  Steps(const Context& context, const Plan& plan, const FitRows<T>& rows, const DataSummary& data,
        const Options& options)
      : context_(context),
        plan_(plan),
        backend_{context.threads(), plan.n_workers},
        rows_(rows),
        data_(data),
        options_(options),
        total_weight_(data.total_weight / data.weight_scale),
        layout_(options.n_components, rows.source.cols(), options.missing),
        workspace_(backend_, layout_, options.n_components, rows.source.cols(),
                   rows.source.in_place()),
        sums_(layout_.size),
        values_(index(layout_.size)) {}

  std::string method() const { return "bernoulli-mixture"; }
  double objective(const TraceEntry& entry) const { return entry.objective; }
  bool better(double a, double b) const { return a > b; }
  Model model() const { return model_; }

  void start(Run& run, std::uint64_t seed, const std::function<bool(double)>& proceed) {
    const std::int64_t k = options_.n_components;
    run.model.weights.assign(index(k), 1.0 / static_cast<double>(k));
    if (options_.start.means.rows() > 0) {
      run.model.means = options_.start.means;
    } else if (options_.init == Init::kmeans) {
      start_by_kmeans(run, seed, proceed);
    } else {
      start_at_random(run, seed);
    }
    if (!options_.start.weights.empty()) run.model.weights = options_.start.weights;
    check_model(run.model, "start");
  }

  void load(const Run& run, std::uint64_t) { model_ = run.model; }

  TraceEntry pass(const Run& run) {
    const Parameters<T> parameters(model_, options_.missing);
    BadValue bad;
    row_pass(context_, Communicator(), rows_, sums_, [&](const RowChunk<T>& chunk) {
      expectation_maximisation(backend_, workspace_, chunk, parameters, sums_, bad);
    });
    check_values(bad);
    sums_.round(values_);
    TraceEntry entry;
    const double weight = values_[Layout::kWeight];
    entry.log_likelihood = values_[Layout::kLogLikelihood] / weight;
    entry.entropy = values_[Layout::kEntropy] / weight;
    entry.objective = entry.log_likelihood + log_prior(model_, options_.smoothing) / total_weight_;
    if (!std::isfinite(entry.objective)) {
      throw data_error("the log-likelihood is not finite",
                       "iteration " + std::to_string(run.iteration),
                       "use --smoothing or --min-probability above 0");
    }
    return entry;
  }

  Verdict judge(const Run&, double change) const {
    return std::abs(change) < options_.tol ? Verdict::last_update : Verdict::proceed;
  }

  void update(Run& run) {
    const std::int64_t d = model_.n_features();
    const double total = values_[Layout::kWeight];
    for (std::int64_t k = 0; k < model_.n_components(); ++k) {
      const double count = values_[index(Layout::counts + k)];
      model_.weights[index(k)] = count / total;
      if (!(count > 0.0)) {
        ++run.n_repairs;
        continue;
      }
      const double* sums = values_.data() + layout_.sums + k * layout_.inputs;
      for (std::int64_t j = 0; j < d; ++j) {
        set_mean(k, j, sums[j], options_.missing ? sums[d + j] : count);
      }
    }
  }

 private:
  // (ones + α) / (rows + 2 α), of weights as they came.
  void set_mean(std::int64_t k, std::int64_t j, double ones, double rows) {
    const double scale = rows_.weight_scale;
    const double most = rows / scale + 2.0 * options_.smoothing;
    if (!(most > 0.0)) return;  // no row of the component has the feature
    const double least = least_probability(options_);
    model_.means(k, j) = std::clamp((ones / scale + options_.smoothing) / most, least, 1.0 - least);
  }

  void start_by_kmeans(Run& run, std::uint64_t seed, const std::function<bool(double)>& proceed) {
    kmeans::Options clusters{.n_clusters = options_.n_components};
    clusters.init = kmeans::Init::kmeans_parallel;
    clusters.max_iter = 30;
    clusters.weights = options_.weights;
    clusters.seed = seed;
    const FilledRows<T> filled(rows_.source, data_.frame.centre);
    const FitRows<T> rows{options_.missing ? filled : rows_.source, rows_.weights,
                          rows_.weight_scale};
    kmeans::Steps<T, kmeans::CpuEngine<T>> steps(context_, plan_, rows, data_, clusters);
    const Observer observer = [&](const Progress& p) { return proceed(p.objective); };
    const LoopOptions loop{*clusters.max_iter, 1, seed, clusters.checkpoint};
    const kmeans::Model found =
        FitLoop(observer, loop, steps, Clock::now()).run("").run.model.model;
    model_ = run.model;
    model_.means = found.centroids;
    for (std::int64_t k = 0; k < found.n_clusters(); ++k) {
      // One row more for each, so that none begins at 0.
      const double count = found.counts[index(k)];
      model_.weights[index(k)] =
          (count + 1.0) / (total_weight_ + static_cast<double>(found.n_clusters()));
      for (std::int64_t j = 0; j < found.n_features(); ++j) {
        const double ones = std::clamp(found.centroids(k, j), 0.0, 1.0) * count;
        set_mean(k, j, ones * rows_.weight_scale, count * rows_.weight_scale);
      }
    }
    run.model = std::move(model_);
  }

  // Around the means of all rows, so that no mean begins at 0 or 1.
  void start_at_random(Run& run, std::uint64_t seed) {
    const std::int64_t d = rows_.source.cols();
    Matrix<double>& means = run.model.means;
    means = Matrix<double>(options_.n_components, d);
    const std::vector<std::int64_t> chosen =
        kmeans::choose_rows(rows_.weights, rows_.source.rows(), seed, options_.n_components);
    Matrix<T> buffer(1, d);
    for (std::int64_t k = 0; k < means.rows(); ++k) {
      const MatrixView<const T> row = rows_.source.read(chosen[index(k)], buffer.view());
      for (std::int64_t j = 0; j < d; ++j) {
        const double middle = std::clamp(data_.frame.centre[index(j)], 0.0, 1.0);
        double other = static_cast<double>(row(0, j));
        if (options_.init == Init::random) {
          other = 0.25 + 0.5 * random::uniform(seed, random::Stream::means,
                                               static_cast<std::uint64_t>(k * d + j), 0);
        }
        if (!(other >= 0.0 && other <= 1.0))
          other = middle;  // missing; what is bad, the pass tells
        means(k, j) = std::clamp(0.5 * (middle + other), 1e-3, 1.0 - 1e-3);
      }
    }
  }

  const Context& context_;
  const Plan& plan_;
  const CpuBackend backend_;
  const FitRows<T>& rows_;
  const DataSummary& data_;
  const Options& options_;
  const double total_weight_;
  const Layout layout_;
  CpuWorkspace<T> workspace_;
  ExactSums sums_;
  std::vector<double> values_;
  Model model_;
};

}  // namespace

template <class T>
Fit fit(const Context& context, const RowSource<T>& rows, const Options& options) {
  const Clock::time_point begin = Clock::now();
  const Plan plan = culatent::bernoulli_mixture::plan(context, rows, options);
  const CpuBackend backend{context.threads(), plan.n_workers};
  const DataSummary data = scan(context, backend, rows, options.weights,
                                {options.missing, !options.checkpoint.path.empty()});
  check_counting_rows(options.weights, rows.rows(), options.n_components, kComponents);
  const FitRows<T> fit_rows{rows, options.weights, data.weight_scale};
  Steps<T> steps(context, plan, fit_rows, data, options);
  const LoopOptions loop{options.max_iter, options.start.means.rows() > 0 ? 1 : options.n_init,
                         options.seed, options.checkpoint};
  auto result =
      FitLoop(context.options().observer, loop, steps, begin).run(identity_of(options, data));
  Fit fit;
  fit.model = std::move(result.run.model);
  take_result(result, plan, fit);
  fit.n_empty = result.run.n_repairs;
  if (fit.n_empty > 0) {
    fit.warnings.push_back({"empty", "components had no rows " + std::to_string(fit.n_empty) +
                                         " times and kept their means: use fewer components"});
  }
  warn_of_missing(data.n_missing, fit.warnings);
  return fit;
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

}  // namespace culatent::bernoulli_mixture
