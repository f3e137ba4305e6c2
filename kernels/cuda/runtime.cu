#include <cuda_runtime_api.h>

#include <algorithm>
#include <iterator>
#include <string>

#include "kernels/cuda/runtime.hpp"

namespace culatent {
namespace {

// What nvcc was told to compile for, as 100 major + 10 minor. Code for an older device serves a
// newer one (its PTX is compiled at load time), never the other way round.
constexpr int kArchitectures[] = {__CUDA_ARCH_LIST__};

std::string version_text(int version) {  // 13000 → "13.0"
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// Why cudaGetDeviceCount failed, and what a person does about it.
std::string reason_text(cudaError_t status) {
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess) driver = 0;
  if (driver == 0) return "no NVIDIA driver: install one";
  if (status == cudaErrorInsufficientDriver) {
    return "the NVIDIA driver supports CUDA " + version_text(driver) + ", this build needs " +
           version_text(CUDART_VERSION) + ": install a newer driver";
  }
  if (status == cudaErrorNoDevice) return "no CUDA device, or CUDA_VISIBLE_DEVICES hides them";
  return cudaGetErrorString(status);
}

Device unavailable(const std::string& name, const std::string& text, const std::string& reason) {
  Device device;
  device.name = name;
  device.text = text;
  device.reason = reason;
  return device;
}

Device describe(int ordinal) {
  const std::string name = "cuda:" + std::to_string(ordinal);
  cudaDeviceProp properties{};
  const cudaError_t status = cudaGetDeviceProperties(&properties, ordinal);
  if (status != cudaSuccess) return unavailable(name, "NVIDIA GPU", cudaGetErrorString(status));

  const auto gibibytes = (properties.totalGlobalMem + (std::size_t{1} << 29)) >> 30;
  const std::string capability =
      std::to_string(properties.major) + "." + std::to_string(properties.minor);
  const std::string text = std::string(properties.name) + ", " + std::to_string(gibibytes) +
                           " GiB, " + std::to_string(properties.multiProcessorCount) +
                           " multiprocessors, compute capability " + capability;
  const int oldest = *std::min_element(std::begin(kArchitectures), std::end(kArchitectures));
  if (100 * properties.major + 10 * properties.minor < oldest) {
    return unavailable(name, text,
                       "this build needs compute capability " + std::to_string(oldest / 100) + "." +
                           std::to_string(oldest % 100 / 10) +
                           ": build with CMAKE_CUDA_ARCHITECTURES=" +
                           std::to_string(properties.major) + std::to_string(properties.minor));
  }
  Device device;
  device.name = name;
  device.text = text;
  device.available = true;
  return device;
}

}  // namespace

std::vector<Device> cuda_devices() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) return {unavailable("cuda", "NVIDIA GPU", reason_text(status))};
  std::vector<Device> found;
  for (int ordinal = 0; ordinal < count; ++ordinal) found.push_back(describe(ordinal));
  return found;
}

}  // namespace culatent
