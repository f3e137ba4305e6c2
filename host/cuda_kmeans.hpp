#pragma once

#include "host/device_feed.hpp"
#include "host/kmeans.hpp"
#include "kernels/cuda/gaussian_mixture.hpp"

/// k-means on a CUDA device, as the initialisation of other methods.
namespace culatent::kmeans {

/// sample_rows() for rows that may lie on the device.
template <class T>
RowSample<T> cuda_sample_rows(const CudaBackend& backend, const FitRows<T>& rows,
                              const Frame& frame, std::uint64_t seed, std::int64_t count);

/// Blocks of rows that are best assigned before their records are added up.
std::int64_t cuda_lloyd_blocks(std::int64_t n_clusters, std::int64_t n_features);

/// The rows of a feed as Lloyd's iterations take them, `wave_rows` at a time. What is passed must
/// outlive the result.
template <class T>
LloydRows<T> cuda_lloyd_rows(const CudaBackend& backend, DeviceFeed<T>& feed,
                             const gaussian_mixture::DeviceFrame<T>& device_frame,
                             const FitRows<T>& rows, const Frame& frame, std::span<const T> metric,
                             std::int64_t n_clusters, std::int64_t wave_rows);

/// Device bytes of cuda_lloyd_rows() or, for rows on the device, of a sample of them: the larger.
template <class T>
std::int64_t cuda_lloyd_bytes(std::int64_t n_rows, std::int64_t n_clusters, std::int64_t n_features,
                              std::int64_t wave_rows, bool on_device);

}  // namespace culatent::kmeans
