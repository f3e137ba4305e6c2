#include <xxhash.h>

#include <algorithm>
#include <string>
#include <utility>

#include "culatent/error.hpp"
#include "host/kmeans.hpp"
#include "host/kmeans_steps.hpp"
#include "host/row_method.hpp"
#ifdef CULATENT_HAS_CUDA
#include "host/kmeans_cuda.hpp"
#endif

namespace culatent::kmeans {
namespace {

// What must be the same for a checkpoint to be gone on from.
std::string identity_of(const Options& o, const DataSummary& data) {
  std::string text = std::to_string(o.n_clusters) + " " + name(o.init) + " " +
                     std::to_string(o.n_init) + " " + name(o.empty) + " " + name(o.metric) + " " +
                     std::to_string(o.max_iter.value_or(-1)) + " " + std::to_string(o.mini_batch) +
                     " " + std::to_string(data.fingerprint);
  const auto mix = [&](const double* values, std::size_t count) {
    text += " " + std::to_string(XXH3_64bits(values, count * sizeof(double)));
  };
  mix(&o.tol, 1);
  mix(o.weights.data(), o.weights.size());
  mix(o.start.data(), static_cast<std::size_t>(o.start.size()));
  return text;
}

template <class T, class Engine>
Fit fit_on(const Context& context, const RowSource<T>& rows, const Options& options) {
  const Clock::time_point begin = Clock::now();
  const Plan plan = culatent::kmeans::plan(context, rows, options);
  const DataSummary data =
      Engine::scan(context, plan, rows, options.weights,
                   {.fingerprint = !options.checkpoint.path.empty(), .can_miss = false});
  check_counting_rows(options.weights, rows.rows(), options.n_clusters, kClusters);
  const FitRows<T> fit_rows{rows, options.weights, data.weight_scale};
  Steps<T, Engine> steps(context, plan, fit_rows, data, options);
  steps.check_rows();
  const LoopOptions loop{most_updates(options, rows.rows()),
                         options.start.rows() > 0 ? 1 : options.n_init, options.seed,
                         options.checkpoint};
  auto result =
      FitLoop(context.options().observer, loop, steps, begin).run(identity_of(options, data));
  Fit fit;
  fit.inertia = result.run.trace.back().inertia;
  if (result.interrupted && options.mini_batch > 0) fit.inertia = steps.measure(result.run.model);
  fit.model = std::move(result.run.model.model);
  take_result(result, plan, fit);
  fit.n_relocated = result.run.n_repairs;
  fit.n_empty = std::count(fit.model.counts.begin(), fit.model.counts.end(), 0.0);
  if (fit.n_empty > 0 && options.empty == Empty::error && !fit.interrupted) {
    throw data_error(std::to_string(fit.n_empty) + " clusters have no rows", "the last pass",
                     "use fewer clusters, or --empty relocate");
  }
  fit.refined_fraction = steps.refined_fraction();
  if (options.start.rows() > 0 && options.n_init > 1) {
    fit.warnings.push_back(
        {"one_start", "a given start makes one restart, not " + std::to_string(options.n_init)});
  }
  const std::int64_t n_light = count_light_rows(options.weights, data.weight_scale);
  if (n_light > 0) {
    fit.warnings.push_back({"light", std::to_string(n_light) +
                                         " rows weigh so little beside others that their weight "
                                         "was taken as 0"});
  }
  if (fit.n_relocated > 0) {
    fit.warnings.push_back({"relocated", "empty clusters were moved to the farthest rows " +
                                             std::to_string(fit.n_relocated) + " times"});
  }
  if (fit.n_empty > 0) {
    fit.warnings.push_back(
        {"empty", std::to_string(fit.n_empty) + " of " + std::to_string(options.n_clusters) +
                      " clusters have no rows: there may be fewer distinct rows than clusters"});
  }
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

}  // namespace culatent::kmeans
