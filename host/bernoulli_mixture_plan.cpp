#include <algorithm>
#include <cmath>
#include <cstdio>

#include "culatent/error.hpp"
#include "host/bernoulli_mixture.hpp"
#include "host/kmeans_seeding.hpp"
#include "host/row_method.hpp"
#include "host/row_pass.hpp"

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

template <class T>
void check_place(const Context& context, const RowSource<T>& rows) {
  if (context.cuda() == nullptr && rows.space() == MemorySpace::host) return;
  throw invalid_argument("the Bernoulli mixture runs on the CPU in this version", "Context",
                         "use a Context on the CPU, with rows and outputs in host memory");
}

void check_values(const BadValue& bad) {
  if (bad.row < 0) return;
  char value[32];
  std::snprintf(value, sizeof(value), "%g", bad.value);
  throw data_error(
      std::string("the value ") + value + " is outside [0, 1]",
      "row " + std::to_string(bad.row) + ", column " + std::to_string(bad.column),
      "make the values zeros and ones (--binarize T), or bring them into [0, 1] (--scale X)");
}

double least_probability(const Options& options) {
  return options.min_probability.value_or(options.smoothing > 0.0 ? 0.0 : 1e-6);
}

template <class T>
Plan plan(const Context& context, const RowSource<T>& rows, const Options& options) {
  const std::int64_t n = rows.rows();
  const std::int64_t d = rows.cols();
  const std::int64_t k = options.n_components;
  check_options(options, n, d);
  check_place(context, rows);
  const Layout layout(k, d, options.missing);
  const std::int64_t model = 8 * (checked_product(k, d) + k);
  // The model at hand, the best so far, and what a checkpoint copies.
  const int n_models = (options.n_init > 1 ? 3 : 2) + (options.checkpoint.path.empty() ? 0 : 4);
  const auto size = static_cast<std::int64_t>(sizeof(T));
  const std::int64_t fixed = n_models * model + size * (k + 6) * (layout.inputs + 1) +
                             8 * layout.size + ExactSums::bytes(layout.size);
  Plan result = plan_of_rows(context, n, d);
  const bool by_kmeans = options.init == Init::kmeans && options.start.means.rows() == 0;
  const auto total = [&](int workers) {
    std::int64_t start = 0;
    if (by_kmeans) {
      kmeans::Options clusters{.n_clusters = options.n_components};
      clusters.init = kmeans::Init::kmeans_parallel;
      start =
          kmeans::Labels::bytes(n, k) +
          kmeans::seeding_bytes<T>(clusters, n, d, rows.in_place() && !options.missing, workers) +
          kmeans::CpuAssignment<T>::bytes(k, d, rows.in_place() && !options.missing, workers, 2);
    }
    return fixed + start +
           workers * CpuWorkspace<T>::bytes_per_worker(layout, k, d, rows.in_place());
  };
  fit_to_limit(context, total, "raise it, or use fewer components or --init random", result);
  return result;
}

#define CULATENT_INSTANTIATE(T)                                   \
  template void check_place(const Context&, const RowSource<T>&); \
  template Plan plan(const Context&, const RowSource<T>&, const Options&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::bernoulli_mixture
