#pragma once

#include <cstdint>

#include "host/affinities.hpp"
#include "kernels/cuda/affinities.hpp"
#include "kernels/cuda/cuda_device.hpp"

/// Affinities on a CUDA device, which is active in all of this. Neighbours are device arrays [N,
/// k], nearest first.
namespace culatent::affinities {

/// Graph in device memory.
struct DeviceGraph {
  DeviceArray<std::int64_t> starts;   ///< [N + 1]
  DeviceArray<std::int32_t> columns;  ///< [E]
  DeviceArray<float> values;          ///< [E]

  std::int64_t n_rows() const { return starts.size() - 1; }
  std::int64_t size() const { return columns.size(); }
};

/// As conditional() of a CPU, to rounding. `beta`, where not null: [N] on the device.
RowCounts conditional(const CudaBackend& backend, const DeviceArray<double>& squares,
                      std::int64_t n_neighbors, const Bandwidth& bandwidth,
                      DeviceArray<float>& conditional, double* beta = nullptr);

/// The graph that symmetric() makes on a CPU, to the bit. Its input is freed on the way.
DeviceGraph symmetric(const CudaBackend& backend, DeviceArray<std::int32_t> indices,
                      DeviceArray<float> conditional, std::int64_t n_neighbors);

/// Sums over a graph's values, in a fixed order.
struct GraphSums {
  double total = 0.0;    ///< sum p
  double entropy = 0.0;  ///< sum p log p
};
GraphSums sums(const CudaBackend& backend, const DeviceGraph& graph);

/// Device bytes while a graph is made, its neighbours and itself included, at most.
std::int64_t making_device_bytes(std::int64_t n_rows, std::int64_t n_neighbors);
/// Bytes of the graph alone, at most.
std::int64_t device_graph_bytes(std::int64_t n_rows, std::int64_t n_neighbors);

/// A copy on the host.
Graph download(const DeviceGraph& graph);

}  // namespace culatent::affinities
