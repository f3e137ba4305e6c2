#include <utility>

#include "host/affinities_cuda.hpp"
#include "host/tsne_cuda.hpp"

namespace culatent::tsne {
namespace {

template <class T>
DeviceArray<T> upload(const CudaBackend& backend, Matrix<T> values, const char* what) {
  DeviceArray<T> there(backend.device, values.size(), what);
  there.upload(values.data(), values.size());
  return there;
}

}  // namespace

Prepared prepare_on_device(const Context& context, const CudaBackend& backend,
                           const RowSource<float>& rows, const Options& options,
                           std::int64_t n_neighbors, std::uint64_t seed) {
  neighbors::Neighbors found =
      neighbors::search(context, rows, neighbor_options(options, n_neighbors, seed));
  Prepared prepared;
  prepared.warnings = std::move(found.warnings);
  prepared.recall = found.recall;
  prepared.interrupted = found.interrupted;
  if (prepared.interrupted) return prepared;
  DeviceArray<double> squares = upload(backend, std::move(found.squared_distances), "distances");
  DeviceArray<std::int32_t> indices = upload(backend, std::move(found.indices), "neighbours");
  DeviceArray<float> conditional(backend.device, squares.size(), "affinities");
  const affinities::RowCounts counts = affinities::conditional(
      backend, squares, n_neighbors, {options.perplexity, options.sigma}, conditional);
  squares = {};
  check_apart(static_cast<std::int64_t>(counts.n_equal), rows.rows(), n_neighbors);
  auto graph = std::make_shared<const affinities::DeviceGraph>(
      affinities::symmetric(backend, std::move(indices), std::move(conditional), n_neighbors));
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
