#pragma once

#include "host/scan.hpp"
#include "kernels/cuda/cuda_device.hpp"

namespace culatent {

/// A look at all rows, where they lie: on the host by the CPU, on the device by its kernel.
/// NaN is bad.
template <class T>
ColumnScan cuda_scan_columns(const Context& context, const CudaBackend& backend,
                             const FitRows<T>& rows);

/// scan() for a CUDA context. The fingerprint of rows on the device is that of their ranges and
/// sums.
template <class T>
DataSummary cuda_scan(const Context& context, const CudaBackend& backend, const RowSource<T>& rows,
                      std::span<const double> weights, const ScanOptions& options);

}  // namespace culatent
