#include <string>

#include "culatent/error.hpp"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/download.hpp"

namespace culatent {

using device::check;

DownloadLane::DownloadLane(CudaDevice& device, std::int64_t bytes) : device_(device) {
  const cudaError_t status = cudaMallocHost(&host_, static_cast<std::size_t>(bytes));
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    throw out_of_memory("a download buffer needs " + std::to_string(bytes) +
                            " bytes of pinned host memory, they cannot be had",
                        "cuda:" + std::to_string(device.ordinal()),
                        "use fewer rows a chunk (--chunk-rows)");
  }
  check(status, "cudaMallocHost");
  const bool made = cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking) == cudaSuccess &&
                    cudaEventCreateWithFlags(&computed_, cudaEventDisableTiming) == cudaSuccess;
  if (made) return;
  const cudaError_t failure = cudaGetLastError();
  if (stream_ != nullptr) static_cast<void>(cudaStreamDestroy(stream_));
  static_cast<void>(cudaFreeHost(host_));
  check(failure == cudaSuccess ? cudaErrorUnknown : failure, "cudaStreamCreate");
}

DownloadLane::~DownloadLane() {
  static_cast<void>(cudaStreamSynchronize(stream_));  // it may still write host_
  static_cast<void>(cudaEventDestroy(computed_));
  static_cast<void>(cudaStreamDestroy(stream_));
  static_cast<void>(cudaFreeHost(host_));
}

void DownloadLane::fetch(const void* source, std::int64_t offset, std::int64_t bytes) {
  check(cudaEventRecord(computed_, device_.stream()), "cudaEventRecord");
  check(cudaStreamWaitEvent(stream_, computed_, 0), "cudaStreamWaitEvent");
  check(cudaMemcpyAsync(static_cast<char*>(host_) + offset, source, static_cast<std::size_t>(bytes),
                        cudaMemcpyDeviceToHost, stream_),
        "download");
}

const void* DownloadLane::host() const {
  check(cudaStreamSynchronize(stream_), "download");
  return host_;
}

}  // namespace culatent
