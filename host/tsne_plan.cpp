#include <algorithm>

#include "host/principal_components.hpp"
#include "host/row_method.hpp"
#include "host/spectral_embedding.hpp"
#include "host/tsne_checkpoint.hpp"
#include "host/tsne_engine.hpp"
#ifdef CULATENT_HAS_CUDA
#include "host/affinities_cuda.hpp"
#include "host/device_flow.hpp"
#include "host/neighbors_cuda.hpp"
#include "host/tsne_cuda.hpp"
#endif

namespace culatent::tsne {
namespace {

std::int64_t start_bytes(const Options& options, const RowSource<float>& rows, int n_workers) {
  if (options.start.size() > 0) return checked_product(rows.rows(), 4 * options.n_dimensions);
  std::int64_t bytes = checked_product(rows.rows(), 4 * options.n_dimensions);
  const bool on_host = rows.space() == MemorySpace::host;
  if (options.init == Init::pca) {
    bytes += principal_components_bytes<float>(n_workers, rows.cols(), options.n_dimensions,
                                               rows.in_place() && on_host);
  }
  if (options.init == Init::spectral) {
    bytes += spectral_embedding_bytes(rows.rows(), options.n_dimensions);
  }
  return bytes;
}

// The influence function of the largest grid, which the host makes in double and hands over in
// float.
std::int64_t grid_bytes(std::int64_t n_rows, int n_dimensions, int n_workers) {
  const auto size = [](std::int64_t nodes) { return (nodes + kMargin) * 5 / 2 + 32; };
  const std::int64_t most = choose_most_nodes(n_rows);
  const std::int64_t size0 = size(most), size1 = size(n_dimensions == 1 ? kOrder + 1 : most);
  return size0 * size1 + influence_bytes(size0, size1, n_workers);
}

Plan plan_making(const Context& context, const RowSource<float>& rows, const Options& options,
                 std::int64_t k) {
#ifdef CULATENT_HAS_CUDA
  if (context.cuda() != nullptr) {
    return neighbors::plan_search_on_device(context, rows, neighbor_options(options, k));
  }
#endif
  return plan_affinities(context, rows, options, k);
}

#ifdef CULATENT_HAS_CUDA
void plan_device(const Context& context, std::int64_t n, std::int64_t k, const Options& options,
                 Plan& plan) {
  const ActiveDevice active(*context.cuda());
  const CudaBackend backend{*context.cuda(), context.threads(), plan.n_workers};
  const std::int64_t descent =
      affinities::device_graph_bytes(n, k) +
      CudaEngine::bytes(backend, n, options.n_dimensions, choose_repulsion(n, options, true));
  plan.device_bytes = std::max({plan.device_bytes, affinities::making_device_bytes(n, k), descent});
  check_device_bytes(context, plan.device_bytes,
                     "give it more, use a lower perplexity, or compute on the CPU");
}
#endif

}  // namespace

Plan plan(const Context& context, const RowSource<float>& rows, const Options& options) {
  check_options(options);
  check_rows(rows.rows(), rows.cols(), options);
  const std::int64_t n = rows.rows(), k = choose_neighbors(n, options);
  const bool cuda = context.cuda() != nullptr;
  const Repulsion repulsion = choose_repulsion(n, options, cuda);
  Plan plan = plan_making(context, rows, options, k);
  const std::int64_t making = plan.host_bytes;
  const std::int64_t keeping = Checkpoints::bytes(options.checkpoint, n, options.n_dimensions);
  // What is resumed waits for the graph. That stays; beside it the start is made, then the descent
  // runs. A device's comes to the host for a start alone.
  const std::int64_t graph = affinities::graph_bytes(n, k);
  const bool spectral = options.init == Init::spectral && options.start.size() == 0;
  const auto total = [&](int workers) {
    std::int64_t descent = CpuEngine::bytes(n, options.n_dimensions, repulsion, workers);
    if (cuda) {
      descent = checked_product(n, 3 * 4 * options.n_dimensions);  // the start, on the way there
      // The influence function is made by the host.
      if (repulsion == Repulsion::fft) {
        descent += grid_bytes(n, options.n_dimensions, workers);
      }
    }
    const std::int64_t kept = cuda && !spectral ? 0 : graph;
    return keeping + std::max({making, kept + start_bytes(options, rows, workers), kept + descent});
  };
  fit_to_limit(context, total, "raise it, or use a lower perplexity or fewer rows", plan);
#ifdef CULATENT_HAS_CUDA
  if (cuda) plan_device(context, n, k, options, plan);
#endif
  return plan;
}

}  // namespace culatent::tsne
