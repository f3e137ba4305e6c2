#include "host/kmeans_engine.hpp"
#include "host/kmeans_seeding.hpp"
#include "host/place.hpp"
#include "host/row_method.hpp"
#ifdef CULATENT_HAS_CUDA
#include "host/kmeans_cuda.hpp"
#endif

namespace culatent::kmeans {

template <class T>
Plan plan(const Context& context, const RowSource<T>& rows, const Options& options) {
  const std::int64_t n = rows.rows();
  const std::int64_t d = rows.cols();
  const std::int64_t k = options.n_clusters;
  check_options(options, n, d);
  check_fit_rows(context, rows, options.weights);
  const bool cuda = context.cuda() != nullptr;
  const int n_limbs = sizeof(T) == sizeof(float) && options.weights.empty() ? 1 : 2;
  const auto size = static_cast<std::int64_t>(sizeof(T));
  const std::int64_t centroids = checked_product(k, d);
  // The run at hand and its steps have a model and the centroids before, so has the best run so
  // far, and what a checkpoint copies.
  const int n_models = (options.n_init > 1 ? 6 : 4) + (options.checkpoint.path.empty() ? 0 : 4);
  std::int64_t fixed = n_models * 8 * (centroids + k) + 2 * size * centroids +
                       8 * n_limbs * (centroids + k) + size * 64 * kBlockRows;
  if (options.mini_batch > 0) {
    fixed += checked_product(std::min(options.mini_batch, n), size * d + 16) +
             16 * static_cast<std::int64_t>(options.weights.size());
  } else if (!cuda) {
    fixed += Labels::bytes(n, k);
  }
  Plan result = plan_of_rows(context, n, d);
#ifdef CULATENT_HAS_CUDA
  if (cuda) {
    const ActiveDevice active(*context.cuda());
    CudaEngine<T>::plan(context, rows, options, result);
    fixed += result.host_bytes;
  }
#endif
  const std::int64_t buffer = rows.in_place() ? 0 : checked_product(kBlockRows * size, d);
  const auto total = [&](int workers) {
    const std::int64_t scratch =
        cuda ? workers * buffer : CpuAssignment<T>::bytes(k, d, rows.in_place(), workers, n_limbs);
    return fixed + scratch + seeding_bytes<T>(options, n, d, rows.in_place(), workers, !cuda);
  };
  fit_to_limit(context, total, "raise it, or use fewer clusters, --mini-batch or --init random",
               result);
  return result;
}

#define CULATENT_INSTANTIATE(T) \
  template Plan plan(const Context&, const RowSource<T>&, const Options&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::kmeans
