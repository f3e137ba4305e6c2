#include <string>

#include "culatent/error.hpp"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/upload.hpp"

namespace culatent {

using device::check;

UploadLane::UploadLane(CudaDevice& device, std::int64_t bytes) : device_(device) {
  const cudaError_t status = cudaMallocHost(&host_, static_cast<std::size_t>(bytes));
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    throw out_of_memory("an upload buffer needs " + std::to_string(bytes) +
                            " bytes of pinned host memory, they cannot be had",
                        "cuda:" + std::to_string(device.ordinal()),
                        "use fewer rows a chunk (--chunk-rows)");
  }
  check(status, "cudaMallocHost");
  const bool made = cudaEventCreateWithFlags(&sent_, cudaEventDisableTiming) == cudaSuccess &&
                    cudaEventCreateWithFlags(&consumed_, cudaEventDisableTiming) == cudaSuccess;
  if (made) return;
  const cudaError_t failure = cudaGetLastError();
  if (sent_ != nullptr) static_cast<void>(cudaEventDestroy(sent_));
  static_cast<void>(cudaFreeHost(host_));
  check(failure == cudaSuccess ? cudaErrorUnknown : failure, "cudaEventCreate");
}

UploadLane::~UploadLane() {
  static_cast<void>(cudaStreamSynchronize(device_.copy_stream()));  // it may still read host_
  static_cast<void>(cudaEventDestroy(sent_));
  static_cast<void>(cudaEventDestroy(consumed_));
  static_cast<void>(cudaFreeHost(host_));
}

void* UploadLane::host() {
  check(cudaEventSynchronize(sent_), "upload");
  return host_;
}

void UploadLane::send(void* target, std::int64_t offset, std::int64_t bytes) {
  check(cudaStreamWaitEvent(device_.copy_stream(), consumed_, 0), "cudaStreamWaitEvent");
  check(cudaMemcpyAsync(target, static_cast<const char*>(host_) + offset,
                        static_cast<std::size_t>(bytes), cudaMemcpyHostToDevice,
                        device_.copy_stream()),
        "upload");
}

void UploadLane::publish() {
  check(cudaEventRecord(sent_, device_.copy_stream()), "cudaEventRecord");
  check(cudaStreamWaitEvent(device_.stream(), sent_, 0), "cudaStreamWaitEvent");
}

void UploadLane::consumed() {
  check(cudaEventRecord(consumed_, device_.stream()), "cudaEventRecord");
}

}  // namespace culatent
