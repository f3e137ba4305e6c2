#pragma once

#include "kernels/cuda/kmeans_assign.hpp"

/// Distances of rows to centroids that are kept. Pointers are to device memory, calls are ordered
/// on backend.device.stream() and do not wait.
namespace culatent::kmeans {

/// distances[i * stride + k] = unit |x'_i − c_k|, summed feature by feature in T.
///   flops: 3 N D K     bytes: N K sizeof(T) written
template <class T>
void all_distances(const CudaBackend& backend, const ClusterRows<T>& rows,
                   const DeviceCentroids<T>& centroids, double unit, T* distances,
                   std::int64_t stride);

/// least[i] = the largest number, 0 ≤ i < n_rows: what lower_distances() begins with.
template <class T>
void forget_distances(const CudaBackend& backend, std::int64_t n_rows, T* least);

}  // namespace culatent::kmeans
