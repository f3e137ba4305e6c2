#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/normalise.cuh"
#include "kernels/cuda/gaussian_mixture.hpp"
#include "kernels/cuda/gaussian_mixture_far_row.cuh"

// ---- normalise ----------------------------------------------------------------------------------
//
// As kernels/cuda/device/normalise.cuh has it; rows whose densities all leave T are done again in
// double.

namespace culatent::gaussian_mixture {
namespace {

using device::NormaliseHead;
static_assert(NormaliseHead::kWeight == Layout::kWeight &&
              NormaliseHead::kLogLikelihood == Layout::kLogLikelihood &&
              NormaliseHead::kJoint == Layout::kJoint &&
              NormaliseHead::kEntropy == Layout::kEntropy &&
              NormaliseHead::kSize == Layout::kEntropy + 1);

template <class T>
__global__ void __launch_bounds__(device::kRecordThreads, sizeof(T) == 4 ? 2 : 1)
    normalise_kernel(DeviceRows<T> rows, DeviceFrame<T> frame, DeviceParameters<T> parameters,
                     DeviceResponsibilities<T> resp, double* log_prob, double* heads) {
  device::normalise_block(resp, rows.weights, rows.n_rows, parameters.n_components, log_prob, heads,
                          [&](std::int64_t row, bool far, double greatest) {
                            return replace_far_rows(rows, frame, parameters, resp, row, far,
                                                    greatest);
                          });
}

}  // namespace

template <class T>
void normalise(const CudaBackend& backend, const DeviceRows<T>& rows, const DeviceFrame<T>& frame,
               const DeviceParameters<T>& parameters, const DeviceResponsibilities<T>& resp,
               double* log_prob, const DevicePartials<T>& partials) {
  if (rows.n_rows == 0) return;
  const std::int64_t n_blocks = device::div_up(rows.n_rows, kBlockRows);
  device::launch(normalise_kernel<T>, dim3(static_cast<unsigned>(n_blocks)),
                 dim3(device::kRecordThreads), 0, backend.device.stream(), rows, frame, parameters,
                 resp, log_prob, partials.heads);
}

#define CULATENT_INSTANTIATE(T)                                                                  \
  template void normalise(const CudaBackend&, const DeviceRows<T>&, const DeviceFrame<T>&,       \
                          const DeviceParameters<T>&, const DeviceResponsibilities<T>&, double*, \
                          const DevicePartials<T>&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::gaussian_mixture
