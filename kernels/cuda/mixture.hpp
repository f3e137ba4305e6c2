#pragma once

#include <cstdint>

#include "kernels/backend.hpp"

/// What the CUDA steps of mixtures share: rows and responsibilities in device memory. Every call is
/// ordered on backend.device.stream() and does not wait. N rows, D features, K components.
namespace culatent {

/// Rows of one wave: row i at data + i * stride; weights[i], null: all 1 (weights are scaled).
template <class T>
struct DeviceRows {
  const T* data = nullptr;
  const T* weights = nullptr;
  std::int64_t n_rows = 0;
  std::int64_t n_features = 0;
  std::int64_t stride = 0;
};

/// Responsibilities of a wave, component-major: element (k, row) at data[k * stride + row].
template <class T>
struct DeviceResponsibilities {
  T* data = nullptr;
  std::int64_t stride = 0;  // at least the rows of a wave rounded up to kBlockRows
};

/// Where results go, for the rows of a wave; null: not wanted. A mixture's values are log p(x), its
/// matrix the responsibilities; matrix[i * stride + k]; labels the best k, lowest index on ties.
template <class T>
struct DeviceOutputs {
  T* values = nullptr;
  T* matrix = nullptr;
  std::int64_t stride = 0;
  std::int32_t* labels = nullptr;
};
/// Copies responsibilities of rows without weights, and log_prob, to the outputs.
template <class T>
void write_outputs(const CudaBackend& backend, std::int64_t n_rows, std::int64_t n_components,
                   const DeviceResponsibilities<T>& resp, const double* log_prob,
                   const DeviceOutputs<T>& outputs);

}  // namespace culatent
