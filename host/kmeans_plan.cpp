#include "culatent/error.hpp"
#include "host/kmeans_engine.hpp"
#include "host/kmeans_seeding.hpp"
#include "host/row_method.hpp"

namespace culatent::kmeans {

template <class T>
void check_place(const Context& context, const RowSource<T>& rows) {
  if (context.cuda() != nullptr || rows.space() == MemorySpace::device) {
    throw invalid_argument("k-means runs on the CPU in this version", "Context",
                           "use a Context on the CPU, with rows and outputs in host memory");
  }
}

template <class T>
Plan plan(const Context& context, const RowSource<T>& rows, const Options& options) {
  const std::int64_t n = rows.rows();
  const std::int64_t d = rows.cols();
  const std::int64_t k = options.n_clusters;
  check_options(options, n, d);
  check_place(context, rows);
  const int n_limbs = sizeof(T) == sizeof(float) && options.weights.empty() ? 1 : 2;
  const auto size = static_cast<std::int64_t>(sizeof(T));
  const std::int64_t centroids = checked_product(k, d);
  // The model at hand, the best so far, and what a checkpoint copies.
  const int n_models = (options.n_init > 1 ? 3 : 2) + (options.checkpoint.path.empty() ? 0 : 4);
  std::int64_t fixed = n_models * 8 * (centroids + k) + 2 * size * centroids +
                       8 * n_limbs * (centroids + k) + size * 64 * kBlockRows;
  if (options.mini_batch == 0) {
    fixed += Labels::bytes(n, k);
  } else {
    fixed += checked_product(std::min(options.mini_batch, n), size * d + 16) +
             16 * static_cast<std::int64_t>(options.weights.size());
  }
  Plan result = plan_of_rows(context, n, d);
  const auto total = [&](int workers) {
    return fixed + CpuAssignment<T>::bytes(k, d, rows.in_place(), workers, n_limbs) +
           seeding_bytes<T>(options, n, d, rows.in_place(), workers);
  };
  fit_to_limit(context, total, "raise it, or use fewer clusters, --mini-batch or --init random",
               result);
  return result;
}

#define CULATENT_INSTANTIATE(T)                                   \
  template void check_place(const Context&, const RowSource<T>&); \
  template Plan plan(const Context&, const RowSource<T>&, const Options&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::kmeans
