#include "simt/launch.hpp"

#include <cstring>
#include <memory>
#include <new>

#include "internal.hpp"

namespace simt {
namespace detail {
namespace {

std::uint64_t until_launch_failure = 0;

cudaError_t check(const cudaLaunchConfig_t& config, const void* kernel) {
  const cudaError_t status = device_status();
  if (status != cudaSuccess) return status;
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const cudaLaunchAttributeID attribute = config.attrs[i].id;
    if (attribute == cudaLaunchAttributeCooperative ||
        attribute == cudaLaunchAttributeClusterDimension) {
      report("bad-launch", "the stand-in has no cooperative launches and no clusters");
      return cudaErrorNotSupported;
    }
  }
  const dim3 grid = config.gridDim;
  const dim3 block = config.blockDim;
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  const bool block_fits = threads > 0 && block.x <= kMostThreads && block.y <= kMostThreads &&
                          threads <= kMostThreads && block.z <= 64;
  const bool grid_fits = grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x <= 0x7fffffffu &&
                         grid.y <= 65535 && grid.z <= 65535;
  const bool shared_fits = config.dynamicSmemBytes <= most_dynamic_shared(kernel);
  if (!block_fits || !grid_fits || !shared_fits) {
    report("bad-launch", "grid (%u,%u,%u), block (%u,%u,%u), %zu bytes of dynamic shared memory%s",
           grid.x, grid.y, grid.z, block.x, block.y, block.z, config.dynamicSmemBytes,
           shared_fits ? ": too large, or empty"
                       : ": more than cudaFuncSetAttribute allowed the kernel");
    return shared_fits ? cudaErrorInvalidConfiguration : cudaErrorInvalidValue;
  }
  return cudaSuccess;
}

// A copy of a launch's arguments, with their alignment.
std::shared_ptr<void> copy_of(const void* arguments, std::size_t bytes, std::size_t alignment) {
  void* memory = ::operator new(bytes, std::align_val_t(alignment));
  std::memcpy(memory, arguments, bytes);
  return {memory,
          [alignment](void* copy) { ::operator delete(copy, std::align_val_t(alignment)); }};
}

}  // namespace

bool planned_launch_failure() { return planned_failure(until_launch_failure); }

cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel, void (*call)(const void*),
                   const void* arguments, std::size_t bytes, std::size_t alignment) {
  const auto held = lock();
  const cudaError_t status = check(config, kernel);
  if (status != cudaSuccess) return finish(status);
  const dim3 grid = config.gridDim;
  const dim3 block = config.blockDim;
  const std::size_t shared = config.dynamicSmemBytes;
  const std::size_t most = most_shared(kernel);
  const auto copy = copy_of(arguments, bytes, alignment);
  return finish(push_kernel(config.stream, [=] {
    // After a kernel that failed nothing more runs.
    if (device_status() != cudaSuccess) return;
    run_grid(grid, block, shared, most, call, copy.get(), bytes);
  }));
}

}  // namespace detail

void fail_launch(std::uint64_t nth) { detail::until_launch_failure = nth; }

}  // namespace simt

using namespace simt::detail;

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  const auto held = lock();
  if (device_status() != cudaSuccess) return finish(device_status());
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || static_cast<std::size_t>(value) > simt::options().shared_memory) {
    return finish(cudaErrorInvalidValue);
  }
  set_most_dynamic_shared(kernel, static_cast<std::size_t>(value));
  return cudaSuccess;
}
cudaError_t cudaFuncSetCacheConfig(const void*, cudaFuncCache) { return finish(device_status()); }
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel) {
  const auto held = lock();
  *attributes = {};
  attributes->maxThreadsPerBlock = static_cast<int>(kMostThreads);
  attributes->ptxVersion = 90;
  attributes->binaryVersion = 90;
  attributes->maxDynamicSharedSizeBytes = static_cast<int>(most_dynamic_shared(kernel));
  return finish(device_status());
}
