#include "host/cli/workplace.hpp"

#include <fmt/format.h>

#include "culatent/error.hpp"
#include "host/cli/numbers.hpp"

namespace culatent::cli {

std::string resolve_device(const std::string& device) {
  if (device == "auto" || device == "cpu") return "cpu";
  if (device != "cuda" && !device.starts_with("cuda:")) {
    throw invalid_argument(fmt::format("'{}' is no device", device), "--device",
                           "give auto, cpu, cuda or cuda:N; `culatent devices` lists them");
  }
  if (device != "cuda") parse_integer(device.substr(5), "--device", 0, kMaxInt);
  const std::string where = "--device " + device;
  if (backends().find("cuda") == std::string::npos) {
    throw device_error(
        fmt::format("looked for a CUDA backend in this build and found only: {}", backends()),
        where, "use --device cpu, or a build with nvcc");
  }
  const std::string wanted = device == "cuda" ? "cuda:0" : device;
  for (const Device& found : devices()) {
    if (found.name != wanted && !(found.name == "cuda" && !found.available)) continue;
    if (!found.available) {
      throw device_error(fmt::format("looked for {}: {}", wanted, found.reason), where,
                         "use --device cpu; `culatent devices` lists what there is");
    }
    throw device_error(fmt::format("{} is there, but no method has steps for CUDA yet", wanted),
                       where, "use --device cpu");
  }
  throw device_error(
      fmt::format("looked for {} among the devices of this machine, it has none", wanted), where,
      "use --device cpu; `culatent devices` lists what there is");
}

Dataset open_data(const DataOptions& options, std::int64_t memory_limit, int n_threads) {
  DatasetOptions reading = options.reading;
  reading.memory_limit = memory_limit;
  reading.n_threads = n_threads;
  return open_dataset(options.path, reading);
}

std::int64_t limit_after(std::int64_t memory_limit, std::int64_t held, const std::string& what) {
  if (memory_limit == 0) return 0;
  if (held >= memory_limit) {
    throw out_of_memory(
        fmt::format("{} takes {} of {} bytes, nothing is left", what, held, memory_limit),
        "--memory-limit", "raise it");
  }
  return memory_limit - held;
}

Context::Options context_options(const MachineOptions& machine, std::int64_t memory_limit) {
  return {.n_threads = static_cast<int>(machine.threads),
          .memory_limit = memory_limit,
          .chunk_rows = machine.chunk_rows,
          .observer = {}};
}

}  // namespace culatent::cli
