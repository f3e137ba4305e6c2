#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "culatent/error.hpp"
#include "host/gaussian_mixture_init.hpp"
#include "host/place.hpp"
#include "host/row_method.hpp"
#include "kernels/cpu/gaussian_mixture.hpp"
#ifdef CULATENT_HAS_CUDA
#include "host/gaussian_mixture_cuda.hpp"
#endif

namespace culatent::gaussian_mixture {
namespace {

void check_start_values(const Start& start) {
  double total = 0.0;
  for (const double weight : start.weights) {
    if (!(weight >= 0.0)) {
      throw data_error("a start weight is negative or NaN", "start", "fix the weights");
    }
    total += weight;
  }
  if (!start.weights.empty() && !(std::abs(total - 1.0) < 1e-6)) {
    throw data_error("start weights sum to " + std::to_string(total), "start",
                     "they must sum to 1");
  }
  for (std::int64_t i = 0; i < start.means.size(); ++i) {
    if (!std::isfinite(start.means.data()[i])) {
      throw data_error("a start mean is not finite", "start", "fix the means");
    }
  }
}

}  // namespace

void check_options(const Options& o, std::int64_t n_rows, std::int64_t n_features) {
  const auto wrong = [](const std::string& what, const std::string& option,
                        const std::string& remedy) {
    throw invalid_argument(what, option, remedy);
  };
  if (o.n_components < 1) {
    wrong("n_components is " + std::to_string(o.n_components), "--components", "give at least 1");
  }
  check_iterations(o.max_iter, o.tol, o.n_init, o.checkpoint);
  if (!(o.reg_covar >= 0.0) || !std::isfinite(o.reg_covar)) {
    wrong("reg_covar is negative or not finite", "--reg-covar", "give 0 or more");
  }
  check_size(n_rows, n_features, o.n_components, kComponents);
  const Start& s = o.start;
  if (s.means.rows() > 0) {
    check_start_shape(s.means, "means", o.n_components, n_features, kComponents);
  }
  if (s.means.rows() == 0 && !s.covariances.empty()) {
    throw data_error("start covariances without means", "start", "give the means too");
  }
  if (!s.weights.empty() && static_cast<int>(s.weights.size()) != o.n_components) {
    throw data_error(std::to_string(s.weights.size()) + " start weights for " +
                         std::to_string(o.n_components) + " components",
                     "start", "give one weight a component");
  }
  check_start_values(s);
}

template <class T>
void check_place(const Context& context, const RowSource<T>& rows, bool missing,
                 std::optional<Precision> precision) {
  check_rows(context, rows);
  if (context.cuda() != nullptr && missing) {
    throw invalid_argument("missing values are marginalised on the CPU only", "missing",
                           "compute on the CPU (--device cpu), or fill them");
  }
  if (precision && (*precision == Precision::fp64) != (sizeof(T) == 8)) {
    throw invalid_argument(sizeof(T) == 8 ? "the rows are float64: fp32 and fast are for float32"
                                          : "the rows are float32: fp64 is for float64",
                           "--precision", "change --precision or --dtype");
  }
}

template <class T>
Plan plan(const Context& context, const RowSource<T>& rows, const Options& options) {
  const std::int64_t n = rows.rows();
  const std::int64_t d = rows.cols();
  const std::int64_t k = options.n_components;
  check_options(options, n, d);
  check_place(context, rows, options.missing, options.precision);
  check_view(
      context,
      MatrixView(options.weights.data(), 1, static_cast<std::int64_t>(options.weights.size())),
      "the row weights are");
  const bool in_place = rows.in_place();
  const Layout layout(options.covariance, k, d);
  const std::int64_t size = static_cast<std::int64_t>(sizeof(T));
  const std::int64_t model =
      8 * (covariance_size(options.covariance, k, d) + checked_product(k, d + 1));
  const std::int64_t parameters =
      size * (covariance_size(options.covariance, k, d + 3) + 3 * checked_product(k, d)) +
      (options.missing ? model : 0);
  const std::int64_t factor = checked_product(checked_product(32, d), d);  // of one Cholesky
  // The one at hand, the next, the best so far; a checkpoint copies the first and the last.
  const int n_models = (options.n_init > 1 ? 3 : 2) + (options.checkpoint.path.empty() ? 0 : 4);
  const bool cuda = context.cuda() != nullptr;
  std::int64_t fixed = 8 * layout.size + n_models * model + 2 * parameters;
  std::int64_t per_worker = factor;
  if (cuda) {
    per_worker += in_place ? 0 : checked_product(kBlockRows * size, d);
  } else {
    fixed += ExactSums::bytes(layout.size);
    per_worker +=
        CpuWorkspace<T>::bytes_per_worker(options.covariance, k, d, in_place, options.missing);
  }
  Plan result = plan_of_rows(context, n, d);
  const auto total = [&](int workers) {
    return fixed + workers * per_worker + init_bytes<T>(n, d, in_place, workers, options);
  };
#ifdef CULATENT_HAS_CUDA
  if (cuda) {
    const std::int64_t limit = context.options().memory_limit;
    // Upload buffers may have what all threads leave, or half of what one leaves.
    const std::int64_t pinned_budget =
        limit > 0 ? std::max(limit - total(result.n_workers), (limit - total(1)) / 2)
                  : std::numeric_limits<std::int64_t>::max();
    const ActiveDevice active(*context.cuda());
    CudaEngine<T>::plan(context, rows, options, pinned_budget, result);
    fixed += result.host_bytes;
  }
#endif
  fit_to_limit(context, total, "raise it, or use fewer components or a simpler covariance", result);
  return result;
}

#define CULATENT_INSTANTIATE(T)                                                                   \
  template void check_place(const Context&, const RowSource<T>&, bool, std::optional<Precision>); \
  template Plan plan(const Context&, const RowSource<T>&, const Options&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::gaussian_mixture
