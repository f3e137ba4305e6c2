#include <algorithm>
#include <chrono>
#include <vector>

#include "bench/cuda/limits.hpp"
#include "bench/cuda/timing.hpp"
#include "kernels/cuda/device/launch.cuh"

// What it costs to start a kernel that does nothing: the floor of every step on little data.

namespace culatent::bench {
namespace {

constexpr int kLaunches = 500;

__global__ void empty_kernel(int) {}

void launch_empty(const Limits& limits) {
  device::launch(empty_kernel, dim3(1), dim3(32), 0, limits.device.stream(), 0);
}

void launch_many(const Limits& limits) {
  for (int i = 0; i < kLaunches; ++i) launch_empty(limits);
}

// Launch and wait, by the host's clock: what an iteration pays for the one scalar that it returns.
double round_trip(const Limits& limits) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> seconds;
  for (int i = 0; i < kLaunches; ++i) {
    const auto start = Clock::now();
    launch_empty(limits);
    limits.device.synchronize();
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + kLaunches / 2, seconds.end());
  return seconds[kLaunches / 2];
}

// A chain of kernels captured as a graph, launched as one.
double graph_seconds(const Limits& limits) {
  const auto stream = static_cast<cudaStream_t>(limits.device.stream());
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t chain = nullptr;
  device::check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
  launch_many(limits);
  device::check(cudaStreamEndCapture(stream, &graph), "capture");
  device::check(cudaGraphInstantiate(&chain, graph, 0), "cudaGraphInstantiate");
  const double seconds = median_seconds(limits.device.stream(), limits.budget, [&] {
    device::check(cudaGraphLaunch(chain, stream), "cudaGraphLaunch");
  });
  device::check(cudaGraphExecDestroy(chain), "cudaGraphExecDestroy");
  device::check(cudaGraphDestroy(graph), "cudaGraphDestroy");
  return seconds;
}

}  // namespace

void measure_launch(const Limits& limits) {
  Entry entry{.name = "limits.launch", .workload = "one after another, each"};
  entry.seconds =
      median_seconds(limits.device.stream(), limits.budget, [&] { launch_many(limits); }) /
      kLaunches;
  limits.add(entry);
  entry.workload = "and wait for it";
  entry.seconds = round_trip(limits);
  limits.add(entry);
  entry.workload = "node of a graph";
  entry.seconds = graph_seconds(limits) / kLaunches;
  limits.add(entry);
}

}  // namespace culatent::bench
