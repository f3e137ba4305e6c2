#pragma once

#include <cstdint>
#include <string>

#include "culatent/context.hpp"
#include "culatent/dataset.hpp"
#include "host/cli/options.hpp"

namespace culatent::cli {

/// The device that --device means, as reports name it. Throws device_error saying what was looked
/// for when it is not there, invalid_argument for a word that names no device.
std::string resolve_device(const std::string& device);

/// Opens DATA; formats that must be decoded into memory stay under `memory_limit` bytes (0: none)
/// and take `n_threads` (0: every processor).
Dataset open_data(const DataOptions& options, std::int64_t memory_limit, int n_threads = 0);

/// What `held` bytes leave of the limit (0: there is none). Throws out_of_memory when nothing is
/// left.
std::int64_t limit_after(std::int64_t memory_limit, std::int64_t held, const std::string& what);

Context::Options context_options(const MachineOptions& machine, std::int64_t memory_limit);

}  // namespace culatent::cli
