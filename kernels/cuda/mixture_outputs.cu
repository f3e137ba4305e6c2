#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/mixture.hpp"

// ---- write_outputs ------------------------------------------------------------------------------
//
//   log_prob[i] = log p(x_i),   labels[i] = arg max_k q(k, i),   responsibilities(i, k) = q(k, i)
//
// The first two by a thread a row, which reads along rows. The third is a transpose through a tile
// of 32 rows by 32 components in shared memory, so that reads run along rows and writes along
// components; a block walks over the components of its 32 rows.
//   bytes 2 N K read, N K written (sizes of T): from L2 to memory

namespace culatent {
namespace {

constexpr int kSide = 32;
constexpr int kLines = 8;  // of a tile that a block moves at a time
constexpr int kThreads = 256;

template <class T>
__global__ void __launch_bounds__(kThreads)
    row_outputs_kernel(std::int64_t n_rows, std::int64_t n_components,
                       DeviceResponsibilities<T> resp, const double* log_prob, T* log_prob_out,
                       std::int32_t* labels) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (row >= n_rows) return;
  if (log_prob_out != nullptr) log_prob_out[row] = static_cast<T>(log_prob[row]);
  if (labels == nullptr) return;
  std::int32_t best = 0;
  T greatest = resp.data[row];
  for (std::int64_t k = 1; k < n_components; ++k) {
    const T q = resp.data[k * resp.stride + row];
    if (q > greatest) {
      greatest = q;
      best = static_cast<std::int32_t>(k);
    }
  }
  labels[row] = best;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    transpose_kernel(std::int64_t n_rows, std::int64_t n_components, DeviceResponsibilities<T> resp,
                     T* out, std::int64_t stride) {
  CULATENT_SHARED(tile, T[kSide][kSide + 1]);  // + 1: read along one side, written along the other
  const int along = static_cast<int>(threadIdx.x) % kSide;
  const int line = static_cast<int>(threadIdx.x) / kSide;
  const std::int64_t first_row = static_cast<std::int64_t>(blockIdx.x) * kSide;
  for (std::int64_t first = 0; first < n_components; first += kSide) {
    for (int i = line; i < kSide; i += kLines) {
      const bool inside = first + i < n_components && first_row + along < n_rows;
      if (inside) tile[i][along] = resp.data[(first + i) * resp.stride + first_row + along];
    }
    __syncthreads();
    for (int i = line; i < kSide; i += kLines) {
      const bool inside = first_row + i < n_rows && first + along < n_components;
      if (inside) out[(first_row + i) * stride + first + along] = tile[along][i];
    }
    __syncthreads();
  }
}

}  // namespace

template <class T>
void write_outputs(const CudaBackend& backend, std::int64_t n_rows, std::int64_t n_components,
                   const DeviceResponsibilities<T>& resp, const double* log_prob,
                   const DeviceOutputs<T>& outputs) {
  if (n_rows == 0) return;
  const auto blocks = [&](int rows) {
    return dim3(static_cast<unsigned>(device::div_up<std::int64_t>(n_rows, rows)));
  };
  if (outputs.values != nullptr || outputs.labels != nullptr) {
    device::launch(row_outputs_kernel<T>, blocks(kThreads), dim3(kThreads), 0,
                   backend.device.stream(), n_rows, n_components, resp, log_prob, outputs.values,
                   outputs.labels);
  }
  if (outputs.matrix != nullptr) {
    device::launch(transpose_kernel<T>, blocks(kSide), dim3(kThreads), 0, backend.device.stream(),
                   n_rows, n_components, resp, outputs.matrix, outputs.stride);
  }
}

#define CULATENT_INSTANTIATE(T)                                                \
  template void write_outputs(const CudaBackend&, std::int64_t, std::int64_t,  \
                              const DeviceResponsibilities<T>&, const double*, \
                              const DeviceOutputs<T>&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent
