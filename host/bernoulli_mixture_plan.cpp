#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "culatent/error.hpp"
#include "host/bernoulli_mixture.hpp"
#include "host/kmeans_seeding.hpp"
#include "host/place.hpp"
#include "host/row_method.hpp"
#include "host/row_pass.hpp"
#ifdef CULATENT_HAS_CUDA
#include "host/bernoulli_mixture_cuda.hpp"
#include "host/host_rows.hpp"
#endif

namespace culatent::bernoulli_mixture {

void check_options(const Options& o, std::int64_t n_rows, std::int64_t n_features) {
  const auto wrong = [](const std::string& what, const std::string& option,
                        const std::string& remedy) {
    throw invalid_argument(what, option, remedy);
  };
  if (o.n_components < 1) {
    wrong("n_components is " + std::to_string(o.n_components), "--components", "give at least 1");
  }
  check_iterations(o.max_iter, o.tol, o.n_init, o.checkpoint);
  if (!(o.smoothing >= 0.0) || !std::isfinite(o.smoothing)) {
    wrong("smoothing is negative or not finite", "--smoothing", "give 0 or more");
  }
  if (o.min_probability && !(*o.min_probability >= 0.0 && *o.min_probability < 0.5)) {
    wrong("min_probability is outside [0, 0.5)", "--min-probability", "give a small number");
  }
  check_size(n_rows, n_features, o.n_components, kComponents);
  const Start& s = o.start;
  if (s.means.rows() > 0) {
    check_start_shape(s.means, "means", o.n_components, n_features, kComponents);
  }
  if (!s.weights.empty() && static_cast<int>(s.weights.size()) != o.n_components) {
    throw data_error(std::to_string(s.weights.size()) + " start weights for " +
                         std::to_string(o.n_components) + " components",
                     "start", "give one weight a component");
  }
}

void check_values(const BadValue& bad) {
  if (bad.row < 0) return;
  const std::string where =
      "row " + std::to_string(bad.row) + ", column " + std::to_string(bad.column);
  if (!std::isfinite(bad.value)) {
    throw data_error(std::isnan(bad.value) ? "NaN in the data" : "infinite value in the data",
                     where, "remove or fill it, or mark NaN as missing (missing / --missing)");
  }
  char value[32];
  std::snprintf(value, sizeof(value), "%g", bad.value);
  throw data_error(
      std::string("the value ") + value + " is outside [0, 1]", where,
      "make the values zeros and ones (--binarize T), or bring them into [0, 1] (--scale X)");
}

double least_probability(const Options& options) {
  return options.min_probability.value_or(options.smoothing > 0.0 ? 0.0 : 1e-6);
}

double smoothed_mean(const Options& options, double ones, double rows, double otherwise) {
  const double most = rows + 2.0 * options.smoothing;
  if (!(most > 0.0)) return otherwise;
  const double least = least_probability(options);
  return std::clamp((ones + options.smoothing) / most, least, 1.0 - least);
}

kmeans::Options start_clusters(const Options& options) {
  kmeans::Options clusters{.n_clusters = options.n_components};
  clusters.init = kmeans::Init::kmeans_parallel;
  clusters.max_iter = 30;
  clusters.weights = options.weights;
  return clusters;
}

template <class T>
Plan plan(const Context& context, const RowSource<T>& rows, const Options& options) {
  const std::int64_t n = rows.rows();
  const std::int64_t d = rows.cols();
  const std::int64_t k = options.n_components;
  check_options(options, n, d);
  check_fit_rows(context, rows, options.weights);
  const bool cuda = context.cuda() != nullptr;
  const bool in_place = rows.in_place() && rows.space() == MemorySpace::host;
  const Layout layout(k, d, options.missing);
  const std::int64_t model = 8 * (checked_product(k, d) + k);
  // The model at hand, the best so far, and what a checkpoint copies.
  const int n_models = (options.n_init > 1 ? 3 : 2) + (options.checkpoint.path.empty() ? 0 : 4);
  const auto size = static_cast<std::int64_t>(sizeof(T));
  std::int64_t fixed = n_models * model;
  std::int64_t per_worker = 0;
  if (cuda) {
    per_worker = in_place ? 0 : checked_product(kBlockRows * size, d);  // to read rows into
  } else {
    fixed += size * (k + 6) * (layout.inputs + 1) + 8 * layout.size + ExactSums::bytes(layout.size);
    per_worker = CpuWorkspace<T>::bytes_per_worker(layout, k, d, in_place);
  }
  Plan result = plan_of_rows(context, n, d);
  const kmeans::Options clusters = start_clusters(options);
  const bool by_kmeans = options.init == Init::kmeans && options.start.means.rows() == 0;
  Plan start;               // of k-means on a device, which runs before the engine is there
  std::int64_t pinned = 0;  // by the engine
#ifdef CULATENT_HAS_CUDA
  if (cuda && by_kmeans) {
    const HostRows<T> host_rows(context, rows);  // missing values are filled there
    start = kmeans::plan<T>(context, options.missing ? host_rows : rows, clusters);
    result.n_workers = std::min(result.n_workers, start.n_workers);
  }
#endif
  const auto total = [&](int workers) {
    if (cuda) return fixed + std::max(start.host_bytes, pinned + workers * per_worker);
    std::int64_t seeding = 0;
    if (by_kmeans) {
      const bool unfilled = in_place && !options.missing;
      seeding = kmeans::Labels::bytes(n, k) +
                kmeans::seeding_bytes<T>(clusters, n, d, unfilled, workers) +
                kmeans::CpuAssignment<T>::bytes(k, d, unfilled, workers, 2);
    }
    return fixed + seeding + workers * per_worker;
  };
#ifdef CULATENT_HAS_CUDA
  if (cuda) {
    const std::int64_t limit = context.options().memory_limit;
    // Upload buffers may have what all threads leave, or half of what one leaves.
    const std::int64_t budget = limit > 0 ? std::max(limit - fixed - result.n_workers * per_worker,
                                                     (limit - fixed - per_worker) / 2)
                                          : std::numeric_limits<std::int64_t>::max();
    const ActiveDevice active(*context.cuda());
    CudaEngine<T>::plan(context, rows, options, budget, result);
    pinned = result.host_bytes;
    result.device_bytes = std::max(result.device_bytes, start.device_bytes);
  }
#endif
  fit_to_limit(context, total, "raise it, or use fewer components or --init random", result);
  return result;
}

template Plan plan(const Context&, const RowSource<float>&, const Options&);
template Plan plan(const Context&, const RowSource<double>&, const Options&);

}  // namespace culatent::bernoulli_mixture
