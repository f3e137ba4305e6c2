#include <algorithm>
#include <string>
#include <string_view>

#include "culatent/error.hpp"
#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/launch.cuh"

namespace culatent {
namespace {

// Memory that CUDA does not know is the host's.
cudaPointerAttributes attributes_of(const void* data) {
  cudaPointerAttributes attributes{};
  device::check(cudaPointerGetAttributes(&attributes, data), "cudaPointerGetAttributes");
  return attributes;
}

}  // namespace

namespace device {

void check(cudaError_t status, const char* what, const std::source_location& where) {
  if (status == cudaSuccess) return;
  // Errors that leave the device usable are reported once; this takes them back.
  static_cast<void>(cudaGetLastError());
  std::string_view file = where.file_name();
  file.remove_prefix(std::min(file.rfind('/') + 1, file.size()));
  throw device_error(std::string(what) + " failed: " + cudaGetErrorString(status),
                     std::string(file) + ":" + std::to_string(where.line()),
                     "see `culatent devices`; after a failed kernel the process must start anew");
}

void allow_shared(const void* kernel, const std::source_location& where) {
  int ordinal = 0, most = 0;
  cudaFuncAttributes attributes{};
  check(cudaGetDevice(&ordinal), "cudaGetDevice", where);
  check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, ordinal),
        "device query", where);
  check(cudaFuncGetAttributes(&attributes, kernel), "cudaFuncGetAttributes", where);
  const int dynamic = most - static_cast<int>(attributes.sharedSizeBytes);
  if (attributes.maxDynamicSharedSizeBytes >= dynamic) return;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, dynamic),
        "cudaFuncSetAttribute", where);
}

}  // namespace device

using device::check;

CudaDevice::CudaDevice(int ordinal, CUstream_st* stream, std::int64_t memory_limit)
    : ordinal_(ordinal), stream_(stream), memory_limit_(memory_limit) {
  const ActiveDevice active(*this);
  int value = 0;
  check(cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, ordinal), "device query");
  n_multiprocessors_ = value;
  check(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, ordinal),
        "device query");
  shared_bytes_ = value;
  check(cudaDeviceGetAttribute(&value, cudaDevAttrL2CacheSize, ordinal), "device query");
  l2_bytes_ = value;
  cudaStream_t copies = nullptr;
  check(cudaStreamCreateWithFlags(&copies, cudaStreamNonBlocking), "cudaStreamCreate");
  copy_stream_ = copies;
  if (stream_ != nullptr) return;
  cudaStream_t own = nullptr;
  // A default stream flag: what the caller queued on the legacy stream is done before our work.
  const cudaError_t status = cudaStreamCreateWithFlags(&own, cudaStreamDefault);
  if (status != cudaSuccess) {
    static_cast<void>(cudaStreamDestroy(copies));
    check(status, "cudaStreamCreate");
  }
  stream_ = own;
  owns_stream_ = true;
}

CudaDevice::~CudaDevice() {
  int before = ordinal_;
  static_cast<void>(cudaGetDevice(&before));
  static_cast<void>(cudaSetDevice(ordinal_));
  static_cast<void>(cudaStreamDestroy(copy_stream_));
  if (owns_stream_) static_cast<void>(cudaStreamDestroy(stream_));
  if (before != ordinal_) static_cast<void>(cudaSetDevice(before));
}

ActiveDevice::ActiveDevice(const CudaDevice& device) {
  check(cudaGetDevice(&before_), "cudaGetDevice");
  changed_ = before_ != device.ordinal();
  if (changed_) check(cudaSetDevice(device.ordinal()), "cudaSetDevice");
}

ActiveDevice::~ActiveDevice() {
  if (changed_) static_cast<void>(cudaSetDevice(before_));
}

std::int64_t CudaDevice::free_bytes() const {
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  // A part is left: for what the driver takes as it goes, and for pieces too small to use.
  const auto there = static_cast<std::int64_t>(free - free / 32);
  if (memory_limit_ == 0) return there;
  return std::clamp<std::int64_t>(memory_limit_ - used_bytes_, 0, there);
}

bool CudaDevice::holds(const void* data) const {
  const cudaPointerAttributes attributes = attributes_of(data);
  return attributes.type == cudaMemoryTypeManaged ||
         (attributes.type == cudaMemoryTypeDevice && attributes.device == ordinal_);
}

bool CudaDevice::is_device_memory(const void* data) {
  return attributes_of(data).type == cudaMemoryTypeDevice;
}

void* CudaDevice::allocate(std::int64_t bytes, const char* what) {
  if (bytes <= 0) return nullptr;
  if (memory_limit_ > 0 && bytes > memory_limit_ - used_bytes_) {
    throw out_of_memory(std::string(what) + " needs " + std::to_string(bytes) +
                            " bytes of device memory, " + std::to_string(used_bytes_) + " of " +
                            std::to_string(memory_limit_) + " are taken",
                        "--memory-limit", "raise it");
  }
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, static_cast<std::size_t>(bytes));
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    throw out_of_memory(std::string(what) + " needs " + std::to_string(bytes) +
                            " bytes of device memory, the device has no more",
                        "cuda:" + std::to_string(ordinal_),
                        "free some, use a smaller --memory-limit, or compute on the CPU");
  }
  check(status, "cudaMalloc");
  used_bytes_ += bytes;
  peak_bytes_ = std::max(peak_bytes_, used_bytes_);
  return data;
}

void CudaDevice::release(void* data, std::int64_t bytes) noexcept {
  if (data == nullptr) return;
  static_cast<void>(cudaFree(data));  // waits for the work that may use it
  used_bytes_ -= bytes;
}

void CudaDevice::synchronize() const { check(cudaStreamSynchronize(stream_), "CUDA work"); }

void CudaDevice::to_device(void* device, const void* host, std::int64_t bytes) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(device, host, static_cast<std::size_t>(bytes), cudaMemcpyHostToDevice,
                        stream_),
        "copy to the device");
}

void CudaDevice::to_host(void* host, const void* device, std::int64_t bytes) {
  if (bytes > 0) {
    check(cudaMemcpyAsync(host, device, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToHost,
                          stream_),
          "copy to the host");
  }
  synchronize();
}

void CudaDevice::copy(void* target, const void* source, std::int64_t bytes) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(target, source, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToDevice,
                        stream_),
        "copy within the device");
}

void CudaDevice::fill_zero(void* device, std::int64_t bytes) {
  if (bytes == 0) return;
  check(cudaMemsetAsync(device, 0, static_cast<std::size_t>(bytes), stream_), "cudaMemset");
}

}  // namespace culatent
