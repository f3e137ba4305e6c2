#pragma once

#include <cstdint>
#include <string>

#include "culatent/context.hpp"
#include "culatent/dataset.hpp"
#include "host/cli/options.hpp"

namespace culatent::cli {

/// The device that --device means, as reports name it. `auto` is the CPU for work that has no steps
/// for CUDA; a CUDA device asked for by name is then a device_error that says `what` has none.
std::string choose_device(const MachineOptions& machine, bool has_cuda_steps,
                          const std::string& what);

/// Opens DATA; formats that must be decoded into memory stay under `memory_limit` bytes (0: none)
/// and take `n_threads` (0: every processor).
Dataset open_data(const DataOptions& options, std::int64_t memory_limit, int n_threads = 0);

/// What `held` bytes leave of the limit (0: there is none). Throws out_of_memory when nothing is
/// left.
std::int64_t limit_after(std::int64_t memory_limit, std::int64_t held, const std::string& what);

Context::Options context_options(const MachineOptions& machine, std::int64_t memory_limit,
                                 const std::string& device);

}  // namespace culatent::cli
