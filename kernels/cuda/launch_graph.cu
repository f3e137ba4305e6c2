#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/launch_graph.hpp"

namespace culatent {

using device::check;

LaunchGraph::~LaunchGraph() {
  if (graph_ != nullptr) static_cast<void>(cudaGraphExecDestroy(graph_));
}

bool LaunchGraph::record(const std::function<void()>& launches) {
  const cudaStream_t stream = device_.stream();
  // Of this thread: others may work on the device meanwhile.
  const cudaError_t begun = cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
  if (begun == cudaErrorStreamCaptureUnsupported || begun == cudaErrorStreamCaptureImplicit) {
    static_cast<void>(cudaGetLastError());
    return false;
  }
  check(begun, "cudaStreamBeginCapture");
  cudaGraph_t graph = nullptr;
  try {
    launches();
  } catch (...) {  // the stream must not stay as it is
    static_cast<void>(cudaStreamEndCapture(stream, &graph));
    static_cast<void>(cudaGetLastError());
    if (graph != nullptr) static_cast<void>(cudaGraphDestroy(graph));
    throw;
  }
  check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  const cudaError_t made = cudaGraphInstantiate(&graph_, graph, 0);
  static_cast<void>(cudaGraphDestroy(graph));
  check(made, "cudaGraphInstantiate");
  return true;
}

void LaunchGraph::run(const std::function<void()>& launches) {
  if (loaded_ && !plain_ && graph_ == nullptr) plain_ = !record(launches);
  if (graph_ == nullptr) {
    launches();
    loaded_ = true;
    return;
  }
  check(cudaGraphLaunch(graph_, device_.stream()), "cudaGraphLaunch");
}

}  // namespace culatent
