#pragma once

#include "host/device_feed.hpp"

namespace culatent {

/// How the rows of an evaluation (a call that writes something of every row) go through a device,
/// and what it holds at most.
struct Evaluation {
  DeviceFlow flow;  ///< tile_rows at a time
  std::int64_t device_bytes = 0;
  std::int64_t host_bytes = 0;
  int n_workers = 1;  ///< threads that the memory limit leaves
};

/// What decides it. Bytes of a tile are for kBlockRows rows of it.
struct EvaluationNeeds {
  std::int64_t fixed_bytes = 0;   ///< on the device, whatever the flow
  std::int64_t tile_bytes = 0;    ///< of scratch
  std::int64_t record_bytes = 0;  ///< of sums
  std::int64_t result_bytes = 0;  ///< of a row, on the device and pinned: both lanes' together
};

/// Throws out_of_memory when there is less than it needs.
template <class T>
Evaluation plan_evaluation(const Context& context, const RowSource<T>& rows,
                           const EvaluationNeeds& needs);

}  // namespace culatent
