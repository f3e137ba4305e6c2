#include "host/affinities_cuda.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "kernels/cuda/prefix_sums.hpp"

namespace culatent::affinities {
namespace {

// Edges after merging, at most: every row has N − 1 columns.
std::int64_t most_edges(std::int64_t n_rows, std::int64_t n_neighbors) {
  return checked_product(n_rows, std::min(2 * n_neighbors, n_rows - 1));
}

}  // namespace

RowCounts conditional(const CudaBackend& backend, const DeviceArray<double>& squares,
                      std::int64_t n_neighbors, const Bandwidth& bandwidth,
                      DeviceArray<float>& conditional, double* beta) {
  DeviceBandwidth there;
  DeviceArray<double> entropies;
  if (bandwidth.sigma) {
    there.beta = 0.5 / (*bandwidth.sigma * *bandwidth.sigma);
  } else {
    std::vector<double> logarithms;
    for (const double perplexity : bandwidth.perplexity) logarithms.push_back(std::log(perplexity));
    there.n_scales = static_cast<int>(logarithms.size());
    entropies = {backend.device, there.n_scales, "perplexities"};
    entropies.upload(logarithms.data(), entropies.size());
    there.entropies = entropies.data();
  }
  DeviceArray<RowCounts> counts(backend.device, 1, "counts of rows");
  counts.fill_zero();
  affinities::conditional(backend, {squares.data(), squares.size() / n_neighbors, n_neighbors},
                          there, conditional.data(), beta, counts.data());
  RowCounts found{};
  counts.download(&found, 1);
  return found;
}

DeviceGraph symmetric(const CudaBackend& backend, DeviceArray<std::int32_t> indices,
                      DeviceArray<float> conditional, std::int64_t n_neighbors) {
  CudaDevice& device = backend.device;
  const std::int64_t n = indices.size() / n_neighbors;
  DeviceArray<std::int32_t> counts(device, n, "edges of rows");
  DeviceArray<std::int64_t> scratch(device, prefix_scratch(n), "sums of edges");
  const DeviceArray<std::int64_t> incoming(device, n + 1, "edges of rows");
  count_incoming(backend, indices.data(), indices.size(), n, counts.data());
  exclusive_sums(backend, counts.data(), n, incoming.data(), scratch.data());
  const DeviceArray<EdgeKey> keys(device, 2 * indices.size(), "edges");
  const EdgeSlots slots = {keys.data(), incoming.data(), n, n_neighbors};
  scatter_edges(backend, indices.data(), conditional.data(), slots, counts.data());
  indices = {};
  conditional = {};

  DeviceGraph graph;
  graph.starts = {device, n + 1, "affinities"};
  const DeviceArray<std::int32_t> long_rows(device, n + 1, "rows of many edges");
  sort_edges(backend, slots, counts.data(), long_rows.data());
  exclusive_sums(backend, counts.data(), n, graph.starts.data(), scratch.data());
  std::int64_t size = 0;
  device.to_host(&size, graph.starts.data() + n, sizeof(size));
  graph.columns = {device, size, "affinities"};
  graph.values = {device, size, "affinities"};
  merge_edges(backend, slots, graph.starts.data(), graph.columns.data(), graph.values.data());
  return graph;
}

GraphSums sums(const CudaBackend& backend, const DeviceGraph& graph) {
  const std::int64_t n_parts = graph_parts(graph.size());
  const DeviceArray<double> parts(backend.device, 2 * n_parts, "sums of affinities");
  graph_sums(backend, graph.values.data(), graph.size(), parts.data());
  std::vector<double> found(static_cast<std::size_t>(2 * n_parts));
  parts.download(found.data(), parts.size());
  GraphSums sums;
  for (std::size_t part = 0; part < found.size() / 2; ++part) {
    sums.total += found[part];
    sums.entropy += found[found.size() / 2 + part];
  }
  return sums;
}

std::int64_t device_graph_bytes(std::int64_t n_rows, std::int64_t n_neighbors) {
  return checked_product(most_edges(n_rows, n_neighbors), 4 + 4) + 8 * (n_rows + 1);
}

std::int64_t making_device_bytes(std::int64_t n_rows, std::int64_t n_neighbors) {
  const std::int64_t edges = checked_product(n_rows, n_neighbors);
  const std::int64_t small = 4 * n_rows + 8 * (n_rows + 1) + 8 * prefix_scratch(n_rows);
  const std::int64_t finding = checked_product(edges, 4 + 8 + 4) + 1024;
  const std::int64_t scattering = checked_product(edges, 4 + 4 + 16) + small;
  const std::int64_t merging = checked_product(edges, 16) + small + 4 * (n_rows + 1) +
                               device_graph_bytes(n_rows, n_neighbors);
  return std::max({finding, scattering, merging});
}

Graph download(const DeviceGraph& graph) {
  Graph host;
  host.starts.resize(static_cast<std::size_t>(graph.starts.size()));
  host.columns.resize(static_cast<std::size_t>(graph.size()));
  host.values.resize(static_cast<std::size_t>(graph.size()));
  graph.starts.download(host.starts.data(), graph.starts.size());
  graph.columns.download(host.columns.data(), graph.size());
  graph.values.download(host.values.data(), graph.size());
  return host;
}

}  // namespace culatent::affinities
