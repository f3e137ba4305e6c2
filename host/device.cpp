#include <fstream>
#include <string>
#include <thread>

#include "culatent/context.hpp"

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

std::string backends() { return "cpu"; }

std::vector<Device> devices() {
  Device cpu;
  cpu.name = "cpu";
  cpu.text =
      processor_name() + ", " + std::to_string(std::thread::hardware_concurrency()) + " threads";
  cpu.available = true;
  return {cpu};
}

}  // namespace culatent
