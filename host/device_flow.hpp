#pragma once

#include <cstdint>
#include <vector>

#include "culatent/context.hpp"

namespace culatent {

/// How the rows of one call go through a device: how many are there at a time, and what of them.
/// No bit of a result depends on it. All but the last of each are multiples of kBlockRows.
struct DeviceFlow {
  std::int64_t chunk_rows = 0;    ///< host rows that are uploaded at a time; all: one upload
  bool resident = false;          ///< the rows stay on the device from pass to pass
  std::int64_t wave_rows = 0;     ///< whose records of sums are there at a time
  std::int64_t tile_rows = 0;     ///< whose responsibilities are: at most wave_rows
  std::int64_t cluster_rows = 0;  ///< that k-means assigns before it adds up their records
};

/// What decides a flow.
struct FlowNeeds {
  std::int64_t n_rows = 0;
  std::int64_t row_bytes = 0;       ///< of a row, its weight included
  bool on_device = false;           ///< the rows lie there
  bool once = false;                ///< one pass alone: nothing is gained by keeping them there
  std::int64_t chunk_rows = 0;      ///< Context::Options::chunk_rows
  std::int64_t tile_bytes = 0;      ///< of kBlockRows rows: responsibilities
  std::int64_t record_bytes = 0;    ///< of kBlockRows rows: records of sums
  bool fused = false;               ///< passes keep no responsibilities
  std::int64_t cluster_blocks = 0;  ///< wanted by k-means; 0: there is none
  std::int64_t n_multiprocessors = 1;
  std::int64_t l2_bytes = 0;
};

/// Flows from the fastest to the smallest, which has one block of everything. The fastest has waves
/// that fill all multiprocessors, as many times over as the L2 cache holds their rows and
/// responsibilities; without these, one wave where its records are no burden. Rows that do not stay
/// on the device come in chunks of whole tiles.
std::vector<DeviceFlow> device_flows(const FlowNeeds& needs);

/// Throws out_of_memory, with `remedy`, when a fit's bytes of device memory are more than can be
/// had. The context's device must be active.
void check_device_bytes(const Context& context, std::int64_t bytes, const char* remedy);

}  // namespace culatent
