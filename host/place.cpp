#include "host/place.hpp"

#include "culatent/error.hpp"
#ifdef CULATENT_HAS_CUDA
#include "kernels/cuda/cuda_device.hpp"
#endif

namespace culatent {

void check_memory(const Context& context, const void* first, const void* last, MemorySpace space,
                  const std::string& what) {
  if (context.cuda() == nullptr) {
    if (space == MemorySpace::host) return;
    throw invalid_argument(what + " in device memory", "Context",
                           "use a Context on that CUDA device, or copy them to the host");
  }
#ifdef CULATENT_HAS_CUDA
  const CudaDevice& device = *context.cuda();
  if (space == MemorySpace::device && !(device.holds(first) && device.holds(last))) {
    throw invalid_argument(
        what + " said to be in device memory, and not all of it is memory of " + context.device(),
        "MemorySpace", "use a Context on the device that holds them, or say MemorySpace::host");
  }
  if (space == MemorySpace::host &&
      (CudaDevice::is_device_memory(first) || CudaDevice::is_device_memory(last))) {
    throw invalid_argument(what + " said to be in host memory and in a device's", "MemorySpace",
                           "say MemorySpace::device");
  }
#else
  static_cast<void>(first);
  static_cast<void>(last);
#endif
}

}  // namespace culatent
