#pragma once

#include "host/scan.hpp"
#include "kernels/cuda/cuda_device.hpp"

namespace culatent {

/// A look at all rows, where they lie: on the host by the CPU, on the device by its kernel; nothing
/// is hashed. Of the device's memory it takes `device_budget` bytes, or cuda_scan_bytes() when that
/// is more.
template <class T>
ColumnScan cuda_scan_columns(const Context& context, const CudaBackend& backend,
                             const FitRows<T>& rows, const ScanOptions& options,
                             std::int64_t device_budget);

/// The least that a scan of rows on the device holds there.
std::int64_t cuda_scan_bytes(std::int64_t n_features);

/// scan() for a CUDA context. The fingerprint of rows on the device is that of their ranges and
/// sums.
template <class T>
DataSummary cuda_scan(const Context& context, const CudaBackend& backend, const RowSource<T>& rows,
                      std::span<const double> weights, const ScanOptions& options,
                      std::int64_t device_budget);

}  // namespace culatent
