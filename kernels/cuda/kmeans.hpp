#pragma once

#include <cstdint>

#include "kernels/cuda/gaussian_mixture.hpp"
#include "kernels/kmeans.hpp"

/// The CUDA steps of k-means. Pointers are to device memory, calls are ordered on the stream.
namespace culatent::kmeans {

/// Assigns the rows of a wave to the nearest centroid (lowest index on ties) in the distance
/// sum_j (metric_j (x'_j − centroid_kj))². Writes labels[i], distances[i] and, for every block of
/// kBlockRows rows, a record [2 + K + K D] of kmeans::Layout's sums to `partials` in double.
template <class T>
void assign(const CudaBackend& backend, const gaussian_mixture::DeviceRows<T>& rows,
            const gaussian_mixture::DeviceFrame<T>& frame, const T* centroids, const T* metric,
            std::int64_t n_clusters, std::int32_t* labels, T* distances, double* partials);

}  // namespace culatent::kmeans
