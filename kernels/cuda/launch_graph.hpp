#pragma once

#include <functional>

#include "kernels/cuda/cuda_device.hpp"

struct CUgraphExec_st;

namespace culatent {

/// Launches that are the same each time, recorded once and from then on started as one (a CUDA
/// graph): between short kernels that takes less time than starting each.
class LaunchGraph {
 public:
  explicit LaunchGraph(CudaDevice& device) : device_(device) {}
  ~LaunchGraph();
  LaunchGraph(const LaunchGraph&) = delete;
  LaunchGraph& operator=(const LaunchGraph&) = delete;

  /// `launches` starts kernels on the device's compute stream and does nothing else. The first time
  /// it is called as it is, so that its kernels are loaded; the second time it is recorded; later
  /// what was recorded is started, with the arguments of then. A stream that cannot be recorded,
  /// the legacy default stream of a caller, has every call as it is. Throws device_error, and what
  /// `launches` throws.
  void run(const std::function<void()>& launches);

 private:
  /// False: the stream cannot be.
  bool record(const std::function<void()>& launches);

  CudaDevice& device_;
  CUgraphExec_st* graph_ = nullptr;
  bool loaded_ = false;
  bool plain_ = false;  // the stream cannot be recorded
};

}  // namespace culatent
