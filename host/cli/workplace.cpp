#include "host/cli/workplace.hpp"

#include <fmt/format.h>

#include "culatent/error.hpp"

namespace culatent::cli {

std::string choose_device(const MachineOptions& machine, bool has_cuda_steps,
                          const std::string& what) {
  if (has_cuda_steps) return resolve_device(machine.device);
  if (machine.device == "auto") return "cpu";
  const std::string device = resolve_device(machine.device);
  if (device == "cpu") return device;
  throw device_error(fmt::format("{} is there, but {} has no steps for CUDA", device, what),
                     "--device " + machine.device, "use --device cpu or auto");
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

Context::Options context_options(const MachineOptions& machine, std::int64_t memory_limit,
                                 const std::string& device) {
  return {.n_threads = static_cast<int>(machine.threads),
          .memory_limit = memory_limit,
          .chunk_rows = machine.chunk_rows,
          .observer = {},
          .device = device};
}

}  // namespace culatent::cli
