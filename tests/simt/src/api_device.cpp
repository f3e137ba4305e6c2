#include <algorithm>
#include <cstdio>
#include <cstring>

#include "internal.hpp"

namespace simt {
namespace detail {
namespace {

std::recursive_mutex one_at_a_time;
thread_local cudaError_t last_error = cudaSuccess;
thread_local int device_of_thread = 0;
cudaError_t lasting_failure = cudaSuccess;

constexpr int kMostThreadsResident = 2048;  // of a multiprocessor, compute 9.0
constexpr int kMostBlocksResident = 32;
constexpr std::size_t kSharedPerMultiprocessor = std::size_t{228} << 10;
constexpr std::size_t kReservedShared = std::size_t{1} << 10;  // of a block
constexpr int kL2Bytes = 50 << 20;

// Whether there is a driver and a device at all; kernels' failures do not count.
cudaError_t presence() {
  if (options().driver_version < CUDART_VERSION) return cudaErrorInsufficientDriver;
  return options().device_count > 0 ? cudaSuccess : cudaErrorNoDevice;
}
bool is_device(int device) { return device >= 0 && device < options().device_count; }

int value_of(cudaDeviceAttr attribute) {
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      return static_cast<int>(kMostThreads);
    case cudaDevAttrMaxGridDimX:
      return 0x7fffffff;
    case cudaDevAttrMaxGridDimY:
      return 65535;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      return static_cast<int>(kDefaultShared);
    case cudaDevAttrWarpSize:
      return static_cast<int>(kLanes);
    case cudaDevAttrMultiProcessorCount:
      return options().multiprocessors;
    case cudaDevAttrL2CacheSize:
      return kL2Bytes;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      return kMostThreadsResident;
    case cudaDevAttrComputeCapabilityMajor:
      return 9;
    case cudaDevAttrComputeCapabilityMinor:
      return 0;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      return int{kSharedPerMultiprocessor};
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      return static_cast<int>(options().shared_memory);
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      return kMostBlocksResident;
    case cudaDevAttrMemoryPoolsSupported:
      return 1;
  }
  return -1;
}

}  // namespace

std::unique_lock<std::recursive_mutex> lock() { return std::unique_lock(one_at_a_time); }

cudaError_t finish(cudaError_t status) {
  if (status != cudaSuccess && status != cudaErrorNotReady) last_error = status;
  return status;
}

cudaError_t device_status() {
  const cudaError_t status = presence();
  return status != cudaSuccess ? status : lasting_failure;
}

void fail_for_good(cudaError_t error) { lasting_failure = error; }
int current_device() { return device_of_thread; }

}  // namespace detail

void set_device_count(int count) { options().device_count = count; }

void reset() {
  const auto held = detail::lock();
  detail::drop_pending_work();
  detail::reset_memory_plans();
  detail::lasting_failure = cudaSuccess;
  detail::last_error = cudaSuccess;
  fail_launch(0);
  clear_diagnostics();
  stats() = {};
}

}  // namespace simt

using namespace simt::detail;

cudaError_t cudaGetLastError() {
  const auto held = lock();
  const cudaError_t error = lasting_failure != cudaSuccess ? lasting_failure : last_error;
  last_error = cudaSuccess;
  return error;
}
cudaError_t cudaPeekAtLastError() {
  const auto held = lock();
  return lasting_failure != cudaSuccess ? lasting_failure : last_error;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = simt::options().driver_version;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  const auto held = lock();
  const cudaError_t status = presence();
  *count = status == cudaSuccess ? simt::options().device_count : 0;
  return finish(status);
}
cudaError_t cudaGetDevice(int* device) {
  const auto held = lock();
  *device = device_of_thread;
  return finish(presence());
}
cudaError_t cudaSetDevice(int device) {
  const auto held = lock();
  if (presence() != cudaSuccess) return finish(presence());
  if (!is_device(device)) return finish(cudaErrorInvalidDevice);
  device_of_thread = device;
  return finish(device_status());
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  const auto held = lock();
  if (presence() != cudaSuccess) return finish(presence());
  if (!is_device(device)) return finish(cudaErrorInvalidDevice);
  *value = value_of(attribute);
  return *value < 0 ? finish(cudaErrorInvalidValue) : cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char* id, int length, int device) {
  const auto held = lock();
  if (presence() != cudaSuccess) return finish(presence());
  if (!is_device(device)) return finish(cudaErrorInvalidDevice);
  std::snprintf(id, static_cast<std::size_t>(std::max(length, 0)), "0000:%02x:00.0", device + 1);
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  const auto held = lock();
  if (presence() != cudaSuccess) return finish(presence());
  if (!is_device(device)) return finish(cudaErrorInvalidDevice);
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "simt stand-in");
  properties->totalGlobalMem = simt::options().device_memory;
  properties->sharedMemPerBlock = kDefaultShared;
  properties->sharedMemPerBlockOptin = simt::options().shared_memory;
  properties->sharedMemPerMultiprocessor = kSharedPerMultiprocessor;
  properties->reservedSharedMemPerBlock = kReservedShared;
  properties->totalConstMem = std::size_t{64} << 10;
  properties->regsPerBlock = 65536;
  properties->regsPerMultiprocessor = 65536;
  properties->warpSize = static_cast<int>(kLanes);
  properties->maxThreadsPerBlock = static_cast<int>(kMostThreads);
  const int most_threads[3] = {1024, 1024, 64};
  const int most_blocks[3] = {0x7fffffff, 65535, 65535};
  std::copy_n(most_threads, 3, properties->maxThreadsDim);
  std::copy_n(most_blocks, 3, properties->maxGridSize);
  properties->major = 9;
  properties->multiProcessorCount = simt::options().multiprocessors;
  properties->maxThreadsPerMultiProcessor = kMostThreadsResident;
  properties->maxBlocksPerMultiProcessor = kMostBlocksResident;
  properties->l2CacheSize = kL2Bytes;
  properties->memoryBusWidth = 5120;
  properties->asyncEngineCount = 3;
  properties->concurrentKernels = 1;
  properties->unifiedAddressing = 1;
  properties->pciBusID = device + 1;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  const auto held = lock();
  synchronize_device();
  return finish(device_status());
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* kernel,
                                                          int block_threads,
                                                          std::size_t dynamic_shared_bytes) {
  const auto held = lock();
  if (block_threads <= 0 || block_threads > static_cast<int>(kMostThreads) ||
      dynamic_shared_bytes > most_dynamic_shared(kernel)) {
    *blocks = 0;
    return finish(cudaErrorInvalidValue);
  }
  const int warps = (block_threads + warpSize - 1) / warpSize;
  const int by_shared =
      static_cast<int>(kSharedPerMultiprocessor / (dynamic_shared_bytes + kReservedShared));
  *blocks = std::min({kMostBlocksResident, kMostThreadsResident / (warps * warpSize), by_shared});
  return cudaSuccess;
}
