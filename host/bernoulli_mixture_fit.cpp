#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "culatent/error.hpp"
#include "host/bernoulli_mixture_engine.hpp"
#include "host/host_rows.hpp"
#include "host/kmeans.hpp"
#include "host/kmeans_steps.hpp"
#include "host/random.hpp"
#include "host/row_method.hpp"
#ifdef CULATENT_HAS_CUDA
#include "host/bernoulli_mixture_cuda.hpp"
#endif

namespace culatent::bernoulli_mixture {
namespace {

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

// What must be the same for a checkpoint to be gone on from.
std::string identity_of(const std::string& arithmetic, const Options& o, const DataSummary& data) {
  std::string text = arithmetic + " " + std::to_string(o.n_components) + " " +
                     std::to_string(o.max_iter) + " " + name(o.init) + " " +
                     std::to_string(o.n_init) + " " + std::to_string(o.missing) + " " +
                     std::to_string(data.fingerprint);
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

// What the loop asks of the mixture. The state is the model in double. Engine is CpuEngine<T> or
// CudaEngine<T>.
template <class T, class Engine>
class Steps {
 public:
  using Run = RunState;

  Steps(const Context& context, const Plan& plan, const FitRows<T>& rows, const DataSummary& data,
        const Options& options)
      : context_(context),
        plan_(plan),
        rows_(rows),
        host_rows_(context, rows.source),
        data_(data),
        options_(options),
        total_weight_(data.total_weight / data.weight_scale) {}

  std::string method() const { return "bernoulli-mixture"; }
  double objective(const TraceEntry& entry) const { return entry.objective; }
  bool better(double a, double b) const { return a > b; }
  Model model() const { return engine_->model(); }

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

  void load(const Run& run, std::uint64_t) {
    if (!engine_) engine_.emplace(context_, plan_, rows_, options_);
    engine_->load(run.model);
  }

  TraceEntry pass(const Run& run) {
    const PassSums sums = engine_->pass();
    check_values(sums.bad);
    TraceEntry entry;
    entry.log_likelihood = sums.log_likelihood / sums.weight;
    entry.entropy = sums.entropy / sums.weight;
    entry.objective = entry.log_likelihood + sums.log_prior / total_weight_;
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

  void update(Run& run) { engine_->update(run.n_repairs); }

 private:
  void start_by_kmeans(Run& run, std::uint64_t seed, const std::function<bool(double)>& proceed) {
    engine_.reset();  // k-means takes its memory
    kmeans::Options clusters = start_clusters(options_);
    clusters.seed = seed;
    const FilledRows<T> filled(host_rows_, data_.frame.centre);
    const FitRows<T> rows{options_.missing ? filled : rows_.source, rows_.weights,
                          rows_.weight_scale};
    kmeans::Steps<T, typename Engine::Clusters> steps(context_, plan_, rows, data_, clusters);
    const Observer observer = [&](const Progress& p) { return proceed(p.objective); };
    const LoopOptions loop{*clusters.max_iter, 1, seed, clusters.checkpoint};
    const kmeans::Model found =
        FitLoop(observer, loop, steps, Clock::now()).run("").run.model.model;
    Model& model = run.model;
    model.means = found.centroids;
    for (std::int64_t k = 0; k < found.n_clusters(); ++k) {
      // One row more for each, so that none begins at 0.
      const double count = found.counts[index(k)];
      model.weights[index(k)] =
          (count + 1.0) / (total_weight_ + static_cast<double>(found.n_clusters()));
      for (std::int64_t j = 0; j < found.n_features(); ++j) {
        const double ones = std::clamp(found.centroids(k, j), 0.0, 1.0) * count;
        model.means(k, j) = smoothed_mean(options_, ones, count, found.centroids(k, j));
      }
    }
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
      const MatrixView<const T> row = host_rows_.read(chosen[index(k)], buffer.view());
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
  const FitRows<T>& rows_;
  const HostRows<T> host_rows_;
  const DataSummary& data_;
  const Options& options_;
  const double total_weight_;
  std::optional<Engine> engine_;
};

template <class T, class Engine>
Fit fit_on(const Context& context, const RowSource<T>& rows, const Options& options) {
  const Clock::time_point begin = Clock::now();
  const Plan plan = culatent::bernoulli_mixture::plan(context, rows, options);
  const DataSummary data = Engine::scan(context, plan, rows, options.weights,
                                        {options.missing, !options.checkpoint.path.empty(), true});
  check_counting_rows(options.weights, rows.rows(), options.n_components, kComponents);
  const FitRows<T> fit_rows{rows, options.weights, data.weight_scale};
  Steps<T, Engine> steps(context, plan, fit_rows, data, options);
  const LoopOptions loop{options.max_iter, options.start.means.rows() > 0 ? 1 : options.n_init,
                         options.seed, options.checkpoint};
  const std::string arithmetic =
      std::string(context.cuda() != nullptr ? "cuda" : "cpu") + (sizeof(T) == 8 ? " 64" : " 32");
  auto result = FitLoop(context.options().observer, loop, steps, begin)
                    .run(identity_of(arithmetic, options, data));
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

}  // namespace culatent::bernoulli_mixture
