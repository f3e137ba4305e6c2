#include <algorithm>

#include "streams.hpp"

namespace simt::detail {
namespace {

[[gnu::init_priority(200)]] std::vector<CUgraph_st*> graphs;
[[gnu::init_priority(200)]] std::vector<CUgraphExec_st*> executables;

template <class Handle>
bool is_graph(const std::vector<Handle>& known, Handle handle) {
  if (std::find(known.begin(), known.end(), handle) != known.end()) return true;
  report("bad-handle", "%p is no graph, or one that was destroyed", static_cast<void*>(handle));
  return false;
}

}  // namespace

std::size_t live_graphs() { return graphs.size() + executables.size(); }

}  // namespace simt::detail

using namespace simt::detail;

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode) {
  const auto held = lock();
  const cudaError_t status = device_status();
  if (status != cudaSuccess) return finish(status);
  CUstream_st* stream = stream_of(handle);
  if (stream == nullptr) return finish(cudaErrorInvalidResourceHandle);
  const bool legacy = stream == stream_of(nullptr);
  if (legacy || stream->capture) return finish(cudaErrorStreamCaptureUnsupported);
  stream->capture = std::make_unique<CUgraph_st>();
  stream->spoiled = false;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  const auto held = lock();
  CUstream_st* stream = stream_of(handle);
  if (stream == nullptr) return finish(cudaErrorInvalidResourceHandle);
  if (graph == nullptr || !stream->capture) return finish(cudaErrorInvalidValue);
  const std::unique_ptr<CUgraph_st> captured = std::move(stream->capture);
  *graph = nullptr;
  if (stream->spoiled) return finish(cudaErrorStreamCaptureInvalidated);
  *graph = new CUgraph_st(*captured);
  graphs.push_back(*graph);
  return finish(device_status());
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long) {
  const auto held = lock();
  if (executable == nullptr || !is_graph(graphs, graph)) return finish(cudaErrorInvalidValue);
  *executable = new CUgraphExec_st{graph->kernels};
  executables.push_back(*executable);
  return finish(device_status());
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  const auto held = lock();
  const cudaError_t status = device_status();
  if (status != cudaSuccess) return finish(status);
  if (!is_graph(executables, executable)) return finish(cudaErrorInvalidValue);
  for (const std::function<void()>& kernel : executable->kernels) {
    const cudaError_t pushed = push_kernel(stream, kernel);
    if (pushed != cudaSuccess) return finish(pushed);
  }
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  const auto held = lock();
  if (!is_graph(executables, executable)) return finish(cudaErrorInvalidValue);
  std::erase(executables, executable);
  delete executable;  // what was launched holds its own copy
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const auto held = lock();
  if (!is_graph(graphs, graph)) return finish(cudaErrorInvalidValue);
  std::erase(graphs, graph);
  delete graph;
  return cudaSuccess;
}
