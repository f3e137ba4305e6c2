#include "kernels/cuda/launch_graph.hpp"

#include <stdexcept>
#include <vector>

#include "kernels/cuda/kmeans_distances.hpp"
#include "tests/cuda/cuda_test.hpp"

// Launches recorded once: each run does what the launches do, whatever became of the one before.
namespace culatent {
namespace {

constexpr float kMost = std::numeric_limits<float>::max();

class LaunchGraphs : public CudaTest {
 protected:
  // Fills `there` with the largest number by a kernel; before, it is zero.
  void expect_run(LaunchGraph& graph, const CudaBackend& backend, DeviceArray<float>& there) {
    there.fill_zero();
    graph.run([&] { kmeans::forget_distances(backend, there.size(), there.data()); });
    EXPECT_EQ(to_host(there), std::vector<float>(static_cast<std::size_t>(there.size()), kMost));
  }
};

TEST_F(LaunchGraphs, DoTheSameEachTime) {
  const CudaBackend here = backend();
  DeviceArray<float> there(here.device, 300, "test");
  LaunchGraph graph(here.device);
  for (int i = 0; i < 5; ++i) expect_run(graph, here, there);
}

TEST_F(LaunchGraphs, KeepTheArgumentsThatWereRecorded) {
  const CudaBackend here = backend();
  DeviceArray<float> first(here.device, 40, "test"), second(here.device, 40, "test");
  LaunchGraph graph(here.device);
  for (int i = 0; i < 2; ++i) expect_run(graph, here, first);
  first.fill_zero();
  second.fill_zero();
  graph.run([&] { kmeans::forget_distances(here, second.size(), second.data()); });
  EXPECT_EQ(to_host(first), std::vector<float>(40, kMost));
  EXPECT_EQ(to_host(second), std::vector<float>(40, 0.0f));
}

TEST_F(LaunchGraphs, LeaveTheStreamInOrderWhenWhatIsRecordedThrows) {
  const CudaBackend here = backend();
  DeviceArray<float> there(here.device, 40, "test");
  LaunchGraph graph(here.device);
  expect_run(graph, here, there);
  for (int i = 0; i < 2; ++i) {
    EXPECT_THROW(graph.run([&] {
      kmeans::forget_distances(here, there.size(), there.data());
      throw std::runtime_error("on the way");
    }),
                 std::runtime_error);
  }
  for (int i = 0; i < 3; ++i) expect_run(graph, here, there);
}

TEST_F(LaunchGraphs, AreLaunchesOnAStreamThatCannotBeRecorded) {
  const CudaBackend here = backend();
  auto* const legacy = reinterpret_cast<CUstream_st*>(1);  // cudaStreamLegacy
  CudaDevice device(0, legacy, 0);
  const CudaBackend there = {device, here.threads, 1};
  DeviceArray<float> values(device, 40, "test");
  LaunchGraph graph(device);
  for (int i = 0; i < 3; ++i) expect_run(graph, there, values);
}

}  // namespace
}  // namespace culatent
