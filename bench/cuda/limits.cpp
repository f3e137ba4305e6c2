#include "bench/cuda/limits.hpp"

#include <cuda_runtime_api.h>

#include <cstdio>
#include <string>

/// limits [--quick] [--json FILE] [--only TEXT]: measures the device. limits --describe: says in
/// lines `key value` what it is.
namespace culatent::bench {
namespace {

void describe() {
  cudaDeviceProp properties{};
  int driver = 0, runtime = 0, clock = 0;
  static_cast<void>(cudaGetDeviceProperties(&properties, 0));
  static_cast<void>(cudaDriverGetVersion(&driver));
  static_cast<void>(cudaRuntimeGetVersion(&runtime));
  static_cast<void>(cudaDeviceGetAttribute(&clock, cudaDevAttrClockRate, 0));
  std::printf("gpu %s\n", properties.name);
  std::printf("compute_capability %d.%d\n", properties.major, properties.minor);
  std::printf("multiprocessors %d\n", properties.multiProcessorCount);
  std::printf("memory_bytes %zu\n", properties.totalGlobalMem);
  std::printf("l2_bytes %d\n", properties.l2CacheSize);
  std::printf("clock_mhz %d\n", clock / 1000);
  std::printf("cuda_driver %d.%d\n", driver / 1000, driver % 1000 / 10);
  std::printf("cuda_runtime %d.%d\n", runtime / 1000, runtime % 1000 / 10);
}

void measure(const Arguments& arguments) {
  require_device();
  if (arguments.describe) return describe();
  Results results(arguments.floors, arguments.json);
  CudaDevice device(0, nullptr, 0);
  const Limits limits{.device = device,
                      .budget = arguments.quick ? 0.05 : 0.3,
                      .quick = arguments.quick,
                      .add = [&](const Entry& entry) { results.add(entry); }};
  const struct {
    const char* name;
    void (*measure)(const Limits&);
  } groups[] = {{"memory", measure_memory}, {"arithmetic", measure_arithmetic},
                {"tensor", measure_tensor}, {"split", measure_split},
                {"launch", measure_launch}, {"solver", measure_solver}};
  for (const auto& group : groups) {
    if (std::string(group.name).find(arguments.filter) != std::string::npos) group.measure(limits);
  }
}

}  // namespace
}  // namespace culatent::bench

int main(int argc, char** argv) {
  return culatent::bench::run("limits", argc, argv, culatent::bench::measure);
}
