#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <vector>

#include "array.hpp"
#include "simt/simt.hpp"

namespace {

// Kernels are what a capture keeps; that of the test multiplies by two and adds one.
__global__ void twice_and_one_kernel(float* value) { *value = 2.0f * *value + 1.0f; }

class Graphs : public testing::Test {
 protected:
  Graphs() {
    simt::options().deferred = true;
    cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking);
  }
  ~Graphs() override {
    cudaStreamDestroy(stream_);
    simt::options() = before_;
  }
  cudaError_t launch() {
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(1);
    config.blockDim = dim3(1);
    config.stream = stream_;
    return cudaLaunchKernelEx(&config, twice_and_one_kernel, device_.data());
  }
  float value() {
    float value = -1.0f;
    cudaMemcpyAsync(&value, device_.data(), sizeof(float), cudaMemcpyDeviceToHost, stream_);
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
    return value;
  }
  cudaGraphExec_t captured(int n_launches) {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    EXPECT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    for (int i = 0; i < n_launches; ++i) EXPECT_EQ(launch(), cudaSuccess);
    EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
    EXPECT_EQ(cudaGraphInstantiate(&executable, graph), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    return executable;
  }

  simt::Options before_ = simt::options();
  Array<float> device_{std::vector<float>{1.0f}};
  cudaStream_t stream_ = nullptr;
};

TEST_F(Graphs, WhatIsCapturedRunsAtEachLaunchAndNotBefore) {
  const std::uint64_t handles = simt::live_handles();
  const cudaGraphExec_t graph = captured(2);
  EXPECT_EQ(simt::live_handles(), handles + 1);
  EXPECT_EQ(value(), 1.0f);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(cudaGraphLaunch(graph, stream_), cudaSuccess);
  cudaGraphExecDestroy(graph);  // as in CUDA, what is under way ends
  EXPECT_EQ(value(), 31.0f);
  EXPECT_EQ(simt::live_handles(), handles);
}

TEST_F(Graphs, WhatCannotBeCapturedEndsTheCapture) {
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeThreadLocal),
            cudaErrorStreamCaptureUnsupported);
  cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(launch(), cudaSuccess);
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(graph, nullptr);
  EXPECT_EQ(value(), 1.0f);
  cudaStream_t blocking = nullptr;
  cudaStreamCreate(&blocking);
  cudaStreamBeginCapture(blocking, cudaStreamCaptureModeThreadLocal);
  EXPECT_EQ(cudaMemset(device_.data(), 0, sizeof(float)), cudaErrorStreamCaptureImplicit);
  EXPECT_EQ(cudaStreamEndCapture(blocking, &graph), cudaErrorStreamCaptureInvalidated);
  cudaStreamDestroy(blocking);
  EXPECT_EQ(value(), 1.0f);
}

TEST_F(Graphs, AKernelOfAGraphCanBeMadeToFail) {
  const cudaGraphExec_t graph = captured(3);
  simt::fail_launch(5);
  EXPECT_EQ(cudaGraphLaunch(graph, stream_), cudaSuccess);
  EXPECT_EQ(cudaGraphLaunch(graph, stream_), cudaErrorLaunchOutOfResources);
  simt::fail_launch(0);
  static_cast<void>(cudaGetLastError());
  cudaGraphExecDestroy(graph);
}

}  // namespace
