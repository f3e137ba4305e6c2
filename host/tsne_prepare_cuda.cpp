#include <utility>

#include "host/affinities_cuda.hpp"
#include "host/neighbors_cuda.hpp"
#include "host/tsne_cuda.hpp"

namespace culatent::tsne {

Prepared prepare_on_device(const Context& context, const CudaBackend& backend,
                           const RowSource<float>& rows, const Options& options,
                           std::int64_t n_neighbors, std::uint64_t seed) {
  neighbors::DeviceNeighbors found =
      neighbors::search_on_device(context, rows, neighbor_options(options, n_neighbors, seed));
  Prepared prepared;
  prepared.warnings = std::move(found.rest.warnings);
  prepared.recall = found.rest.recall;
  prepared.interrupted = found.rest.interrupted;
  if (prepared.interrupted) return prepared;
  DeviceArray<float> conditional(backend.device, found.indices.size(), "affinities");
  const affinities::RowCounts counts =
      affinities::conditional(backend, found.squared_distances, n_neighbors,
                              {options.perplexity, options.sigma}, conditional);
  found.squared_distances = {};
  check_apart(static_cast<std::int64_t>(counts.n_equal), rows.rows(), n_neighbors);
  auto graph = std::make_shared<const affinities::DeviceGraph>(affinities::symmetric(
      backend, std::move(found.indices), std::move(conditional), n_neighbors));
  const affinities::GraphSums sums = affinities::sums(backend, *graph);
  prepared.total = sums.total;
  prepared.entropy = sums.entropy;
  prepared.n_affinities = graph->size();
  tell_unreached(static_cast<std::int64_t>(counts.n_unreached), prepared);
  if (options.init == Init::spectral && options.start.size() == 0) {
    prepared.graph = affinities::download(*graph);
  }
  prepared.device_graph = std::move(graph);
  return prepared;
}

}  // namespace culatent::tsne
