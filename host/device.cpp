#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "culatent/context.hpp"
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
