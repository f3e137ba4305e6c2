#include "host/device_evaluation.hpp"

#include <algorithm>
#include <string>

#include "culatent/error.hpp"
#include "host/cuda_scan.hpp"

namespace culatent {

template <class T>
Evaluation plan_evaluation(const Context& context, const RowSource<T>& rows,
                           const EvaluationNeeds& needs) {
  const CudaDevice& device = *context.cuda();
  FlowNeeds flows;
  flows.n_rows = rows.rows();
  flows.row_bytes = checked_product(sizeof(T), rows.cols());
  flows.on_device = rows.space() == MemorySpace::device;
  flows.once = true;
  flows.chunk_rows = context.options().chunk_rows;
  flows.tile_bytes = needs.tile_bytes + checked_product(kBlockRows, needs.result_bytes);
  flows.record_bytes = needs.record_bytes;
  flows.n_multiprocessors = device.n_multiprocessors();
  flows.l2_bytes = device.l2_bytes();
  const std::int64_t available = device.free_bytes();
  const std::int64_t limit = context.options().memory_limit;
  // What a thread reads rows into when it looks at them before.
  const std::int64_t buffer = rows.in_place() ? 0 : checked_product(kBlockRows, flows.row_bytes);
  Evaluation result;
  result.n_workers = context.n_threads();
  while (limit > 0 && result.n_workers > 1 && result.n_workers * buffer > limit) {
    --result.n_workers;
  }
  for (const DeviceFlow& flow : device_flows(flows)) {
    const auto feed = DeviceFeed<T>::shape(rows, false, flow);
    result.flow = flow;
    result.device_bytes = needs.fixed_bytes + feed.device_bytes +
                          flow.tile_rows / kBlockRows * (flows.tile_bytes + flows.record_bytes);
    if (flows.on_device) {
      result.device_bytes = std::max(result.device_bytes, cuda_scan_bytes(rows.cols()));
    }
    result.host_bytes = std::max(result.n_workers * buffer,
                                 feed.pinned_bytes + flow.tile_rows * needs.result_bytes);
    if (result.device_bytes <= available && (limit == 0 || result.host_bytes <= limit)) {
      return result;
    }
  }
  const bool on_host = result.device_bytes <= available;
  throw out_of_memory("this needs " +
                          std::to_string(on_host ? result.host_bytes : result.device_bytes) +
                          (on_host ? " bytes of host memory, the limit is "
                                   : " bytes of device memory, there are ") +
                          std::to_string(on_host ? limit : available),
                      limit > 0 ? "--memory-limit" : context.device(),
                      "raise it, or compute on the CPU (--device cpu)");
}

template Evaluation plan_evaluation(const Context&, const RowSource<float>&,
                                    const EvaluationNeeds&);
template Evaluation plan_evaluation(const Context&, const RowSource<double>&,
                                    const EvaluationNeeds&);

}  // namespace culatent
