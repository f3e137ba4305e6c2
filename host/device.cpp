#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "culatent/context.hpp"
#include "culatent/error.hpp"
#ifdef CULATENT_HAS_CUDA
#include "kernels/cuda/runtime.hpp"
#endif

namespace culatent {
namespace {

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  std::string line;
  while (std::getline(info, line)) {
    if (line.starts_with("model name")) {
      const auto colon = line.find(": ");
      if (colon != std::string::npos) return line.substr(colon + 2);
    }
  }
  return "CPU";
}

}  // namespace

std::string backends() {
#ifdef CULATENT_HAS_CUDA
  return "cpu cuda";
#else
  return "cpu";
#endif
}

std::string resolve_device(const std::string& device) {
  if (device == "cpu") return "cpu";
  const std::vector<Device> found = devices();
  if (device == "auto") {
    for (const Device& candidate : found) {
      if (candidate.available && candidate.name != "cpu") return candidate.name;
    }
    return "cpu";
  }
  const bool numbered = device.starts_with("cuda:") && device.size() > 5 && device.size() < 15 &&
                        device.find_first_not_of("0123456789", 5) == std::string::npos;
  const std::string where = "--device " + device;
  if (device != "cuda" && !numbered) {
    throw invalid_argument("'" + device + "' is no device", where,
                           "give auto, cpu, cuda or cuda:N; `culatent devices` lists them");
  }
  if (backends() == "cpu") {
    throw device_error("looked for a CUDA backend in this build and found only: cpu", where,
                       "use --device cpu, or a build with nvcc");
  }
  const std::string wanted =
      "cuda:" + (numbered ? std::to_string(std::stoll(device.substr(5))) : std::string("0"));
  for (const Device& candidate : found) {
    if (candidate.name != wanted && candidate.name != "cuda") continue;
    if (candidate.available) return candidate.name;
    throw device_error("looked for " + wanted + ": " + candidate.reason, where,
                       "use --device cpu; `culatent devices` lists what there is");
  }
  throw device_error("looked for " + wanted + " among the devices of this machine, it has none",
                     where, "use --device cpu; `culatent devices` lists what there is");
}

std::vector<Device> devices() {
  Device cpu;
  cpu.name = "cpu";
  cpu.text =
      processor_name() + ", " + std::to_string(std::thread::hardware_concurrency()) + " threads";
  cpu.available = true;
  std::vector<Device> found = {cpu};
#ifdef CULATENT_HAS_CUDA
  for (Device& device : cuda_devices()) found.push_back(std::move(device));
#endif
  return found;
}

}  // namespace culatent
