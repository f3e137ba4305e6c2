#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "array.hpp"
#include "simt/simt.hpp"

// The runtime's functions as a library calls them: devices, memory, copies, errors and failures.

namespace {

__global__ void fill_kernel(float* values, float value) { values[threadIdx.x] = value; }

class Runtime : public testing::Test {
 protected:
  ~Runtime() override { simt::options() = before_; }
  simt::Options before_ = simt::options();
};

// ---- devices -----------------------------------------------------------------------------------

TEST_F(Runtime, DescribesItsDevice) {
  simt::options().multiprocessors = 132;
  cudaDeviceProp properties{};
  ASSERT_EQ(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
  EXPECT_EQ(std::string(properties.name), "simt stand-in");
  EXPECT_EQ(properties.major, 9);
  EXPECT_EQ(properties.minor, 0);
  EXPECT_EQ(properties.multiProcessorCount, 132);
  EXPECT_EQ(properties.sharedMemPerBlockOptin, 227u << 10);
  int value = 0;
  EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, 0), cudaSuccess);
  EXPECT_EQ(value, 132);
  EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrWarpSize, 1), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
}

TEST_F(Runtime, MayHaveNoDevice) {
  simt::set_device_count(0);
  int count = 7;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorNoDevice);
  EXPECT_EQ(count, 0);
  float* pointer = nullptr;
  EXPECT_EQ(cudaMalloc(&pointer, 4), cudaErrorNoDevice);
  cudaStream_t stream = nullptr;
  EXPECT_EQ(cudaStreamCreate(&stream), cudaErrorNoDevice);
}

TEST_F(Runtime, MayHaveAnOldDriverOrNone) {
  simt::options().driver_version = 12040;
  int version = 0;
  EXPECT_EQ(cudaDriverGetVersion(&version), cudaSuccess);
  EXPECT_EQ(version, 12040);
  int count = 0;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
  simt::options().driver_version = 0;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
}

TEST_F(Runtime, MayHaveSeveralDevices) {
  simt::set_device_count(2);
  EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
  float* pointer = nullptr;
  ASSERT_EQ(cudaMalloc(&pointer, 4), cudaSuccess);
  EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
  cudaPointerAttributes attributes{};
  EXPECT_EQ(cudaPointerGetAttributes(&attributes, pointer), cudaSuccess);
  EXPECT_EQ(attributes.type, cudaMemoryTypeDevice);
  EXPECT_EQ(attributes.device, 1);
  EXPECT_EQ(cudaFree(pointer), cudaSuccess);
}

// ---- memory ------------------------------------------------------------------------------------

TEST_F(Runtime, TellsMemoryApart) {
  float on_stack = 0.0f;
  float* pinned = nullptr;
  ASSERT_EQ(cudaMallocHost(&pinned, 64), cudaSuccess);
  cudaPointerAttributes attributes{};
  cudaPointerGetAttributes(&attributes, pinned + 15);
  EXPECT_EQ(attributes.type, cudaMemoryTypeHost);
  cudaPointerGetAttributes(&attributes, &on_stack);
  EXPECT_EQ(attributes.type, cudaMemoryTypeUnregistered);
  EXPECT_EQ(cudaHostRegister(&on_stack, 4, 0), cudaSuccess);
  EXPECT_EQ(cudaHostRegister(&on_stack, 4, 0), cudaErrorHostMemoryAlreadyRegistered);
  cudaPointerGetAttributes(&attributes, &on_stack);
  EXPECT_EQ(attributes.type, cudaMemoryTypeHost);
  EXPECT_EQ(cudaHostUnregister(&on_stack), cudaSuccess);
  EXPECT_EQ(cudaHostUnregister(&on_stack), cudaErrorHostMemoryNotRegistered);
  EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
}

TEST_F(Runtime, CountsMemory) {
  const std::size_t live = simt::live_bytes();
  simt::reset_peak_bytes();
  char* first = nullptr;
  char* second = nullptr;
  cudaMalloc(&first, 1000);
  cudaMalloc(&second, 500);
  EXPECT_EQ(simt::live_bytes(), live + 1500);
  cudaFree(first);
  EXPECT_EQ(simt::live_bytes(), live + 500);
  EXPECT_EQ(simt::peak_bytes(), live + 1500);
  cudaFree(second);

  simt::options().device_memory = simt::live_bytes() + 4096;
  std::size_t free_bytes = 0;
  std::size_t total = 0;
  cudaMemGetInfo(&free_bytes, &total);
  EXPECT_EQ(free_bytes, 4096u);
  EXPECT_EQ(cudaMalloc(&first, 4097), cudaErrorMemoryAllocation);
  EXPECT_EQ(first, nullptr);
  EXPECT_EQ(cudaMalloc(&first, 4096), cudaSuccess);
  cudaFree(first);
}

TEST_F(Runtime, FailsTheAllocationThatItIsToldTo) {
  float* pointers[3] = {};
  const std::uint64_t before = simt::allocations();
  simt::fail_allocation(2);
  EXPECT_EQ(cudaMalloc(&pointers[0], 4), cudaSuccess);
  EXPECT_EQ(cudaMallocHost(&pointers[1], 4), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_EQ(cudaMallocAsync(&pointers[2], 4, nullptr), cudaSuccess);
  EXPECT_EQ(simt::allocations() - before, 3u);
  EXPECT_EQ(pointers[1], nullptr);
  cudaFree(pointers[0]);
  cudaFreeAsync(pointers[2], nullptr);
}

TEST_F(Runtime, FreshMemoryHoldsNan) {
  float* pinned = nullptr;
  cudaMallocHost(&pinned, 8);
  EXPECT_NE(pinned[1], pinned[1]);
  cudaFreeHost(pinned);
}

// ---- copies ------------------------------------------------------------------------------------

TEST_F(Runtime, CopiesRowsWithPitch) {
  const std::vector<float> values = {1, 2, -1, 3, 4, -1};  // 2 rows of 2 in rows of 3
  Array<float> device(std::vector<float>(8, 9.0f));        // in rows of 4
  EXPECT_EQ(cudaMemcpy2DAsync(device.data(), 16, values.data(), 12, 8, 2, cudaMemcpyHostToDevice),
            cudaSuccess);
  EXPECT_EQ(device.host(), (std::vector<float>{1, 2, 9, 9, 3, 4, 9, 9}));
  EXPECT_EQ(cudaMemset2DAsync(device.data() + 2, 16, 0, 4, 2), cudaSuccess);
  EXPECT_EQ(device.host(), (std::vector<float>{1, 2, 0, 9, 3, 4, 0, 9}));
  std::vector<float> back(4);
  EXPECT_EQ(cudaMemcpy2D(back.data(), 8, device.data(), 16, 8, 2, cudaMemcpyDefault), cudaSuccess);
  EXPECT_EQ(back, (std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(cudaMemcpy2D(back.data(), 4, device.data(), 16, 8, 2, cudaMemcpyDefault),
            cudaErrorInvalidValue);
}

TEST_F(Runtime, HostCodeMayNotTouchDeviceMemory) {
  Array<float> device(std::vector<float>{1.0f});
  EXPECT_DEATH(device.data()[0] = 2.0f, "host code goes to device memory|AddressSanitizer");
  simt::enqueue(nullptr, [&] {
    device.data()[0] += 2.0f;
    simt::mark_written(device.data(), 4);
  });
  EXPECT_EQ(device.host()[0], 3.0f);
}

__global__ void deep_kernel(float* values) {
  volatile char large[400 << 10];
  large[0] = 1;
  values[0] = static_cast<float>(large[0]);
}

TEST_F(Runtime, SaysWhatAKernelDiesOf) {
  Array<float> device(8);
  const auto run_deep = [&] {
    launch(deep_kernel, 1, 1, 0, device.data());
    cudaDeviceSynchronize();
  };
  EXPECT_DEATH(run_deep(), "used up its stack|AddressSanitizer");
  if (simt::is_check_build()) return;  // reports and ends the launch instead
  const auto run_wild = [&] {
    launch(fill_kernel, 1, 8, 0, device.data() + 5000, 1.0f);
    cudaDeviceSynchronize();
  };
  EXPECT_DEATH(run_wild(), "outside every allocation|AddressSanitizer");
}

// ---- launches ----------------------------------------------------------------------------------

TEST_F(Runtime, FailsTheLaunchThatItIsToldTo) {
  Array<float> device(8);
  simt::fail_launch(2);
  EXPECT_EQ(launch(fill_kernel, 1, 8, 0, device.data(), 1.0f), cudaSuccess);
  EXPECT_EQ(launch(fill_kernel, 1, 8, 0, device.data(), 2.0f), cudaErrorLaunchOutOfResources);
  EXPECT_EQ(device.host()[7], 1.0f);
  EXPECT_EQ(launch(fill_kernel, 1, 8, 0, device.data(), 3.0f), cudaSuccess);
  EXPECT_EQ(device.host()[7], 3.0f);
}

TEST_F(Runtime, RefusesLaunchesThatADeviceRefuses) {
  Array<float> device(8);
  const auto status = [&](dim3 grid, dim3 block) {
    return launch(fill_kernel, grid, block, 0, device.data(), 1.0f);
  };
  EXPECT_EQ(status(0, 8), cudaErrorInvalidConfiguration);
  EXPECT_EQ(status(1, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(status(1, 1025), cudaErrorInvalidConfiguration);
  EXPECT_EQ(status(1, dim3(1, 1, 65)), cudaErrorInvalidConfiguration);
  EXPECT_EQ(status(1, dim3(1u << 31, 2, 1)), cudaErrorInvalidConfiguration);
  EXPECT_EQ(status(dim3(1, 65536), 8), cudaErrorInvalidConfiguration);
  EXPECT_EQ(status(0, 8), cudaErrorInvalidConfiguration);
  EXPECT_TRUE(simt::has_diagnostic("bad-launch"));
  EXPECT_EQ(simt::diagnostics().size(), 6u);  // the same text once
  simt::clear_diagnostics();
  EXPECT_EQ(cudaFuncSetAttribute(fill_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 (227 << 10) + 1),
            cudaErrorInvalidValue);
}

TEST_F(Runtime, MayHaveLittleSharedMemory) {
  constexpr auto kAttribute = cudaFuncAttributeMaxDynamicSharedMemorySize;
  simt::options().shared_memory = std::size_t{64} << 10;
  int most = 0;
  EXPECT_EQ(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0), cudaSuccess);
  EXPECT_EQ(most, 64 << 10);
  EXPECT_EQ(cudaFuncSetAttribute(fill_kernel, kAttribute, most + 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(fill_kernel, kAttribute, most), cudaSuccess);
}

TEST_F(Runtime, OccupancyIsBoundByThreadsBlocksAndSharedMemory) {
  int blocks = 0;
  cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, fill_kernel, 1024, 0);
  EXPECT_EQ(blocks, 2);
  cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, fill_kernel, 32, 0);
  EXPECT_EQ(blocks, 32);
  cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, fill_kernel, 128, 48 << 10);
  EXPECT_EQ(blocks, 4);
}

__global__ void trap_kernel() { __trap(); }

TEST_F(Runtime, AFailedKernelFailsEveryCallAfterIt) {
  Array<float> device(8);
  EXPECT_EQ(launch(trap_kernel, 1, 1, 0), cudaSuccess);  // known only once it has run
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_EQ(launch(fill_kernel, 1, 8, 0, device.data(), 1.0f), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  float* pointer = nullptr;
  EXPECT_EQ(cudaMalloc(&pointer, 4), cudaErrorLaunchFailure);
  simt::reset();
  EXPECT_EQ(launch(fill_kernel, 1, 8, 0, device.data(), 1.0f), cudaSuccess);
  EXPECT_EQ(device.host(), std::vector<float>(8, 1.0f));
}

TEST_F(Runtime, ErrorsHaveNamesAndBelongToAThread) {
  EXPECT_EQ(std::string(cudaGetErrorName(cudaErrorNoDevice)), "cudaErrorNoDevice");
  EXPECT_EQ(std::string(cudaGetErrorString(cudaErrorMemoryAllocation)), "out of memory");
  EXPECT_EQ(cudaSetDevice(5), cudaErrorInvalidDevice);
  std::thread([] { EXPECT_EQ(cudaGetLastError(), cudaSuccess); }).join();
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
}

TEST_F(Runtime, HostThreadsTakeTurns) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([i] {
      for (int round = 0; round < 20; ++round) {
        Array<float> device(64);
        launch(fill_kernel, 1, 64, 0, device.data(), static_cast<float>(i));
        EXPECT_EQ(device.host(), std::vector<float>(64, static_cast<float>(i)));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
