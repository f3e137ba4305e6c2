#pragma once

#include <cstddef>
#include <cstdint>

struct CUstream_st;

/// One CUDA device as host code sees it: its streams and an account of its memory. Compiles without
/// the CUDA headers.
namespace culatent {

/// Owns a copy stream, and the compute stream unless the caller gave one. Frees nothing that others
/// allocated.
class CudaDevice {
 public:
  /// `stream` null: one of its own, ordered with the legacy default stream. `memory_limit` bytes of
  /// device memory at most; 0: what is there. Throws device_error.
  CudaDevice(int ordinal, CUstream_st* stream, std::int64_t memory_limit);
  ~CudaDevice();
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  int ordinal() const { return ordinal_; }
  CUstream_st* stream() const { return stream_; }            ///< where steps are ordered
  CUstream_st* copy_stream() const { return copy_stream_; }  ///< for uploads beside them
  int n_multiprocessors() const { return n_multiprocessors_; }
  std::int64_t shared_bytes() const { return shared_bytes_; }  ///< that one block can have
  std::int64_t l2_bytes() const { return l2_bytes_; }
  std::int64_t memory_limit() const { return memory_limit_; }
  std::int64_t used_bytes() const { return used_bytes_; }
  std::int64_t peak_bytes() const { return peak_bytes_; }
  /// Bytes that can still be had: under the limit, and free on the device, which must be active.
  std::int64_t free_bytes() const;
  /// Whether kernels on this device may be given `data`: its own memory, or managed memory.
  bool holds(const void* data) const;
  /// Whether `data` is memory of a device that host code cannot touch.
  static bool is_device_memory(const void* data);

  /// Device memory, 256-byte aligned, contents undefined. Throws out_of_memory with `what` in it.
  void* allocate(std::int64_t bytes, const char* what);
  void release(void* data, std::int64_t bytes) noexcept;
  /// Waits for the compute stream. Throws device_error when something before it failed.
  void synchronize() const;
  /// Copies ordered on the compute stream. to_host waits; to_device may return before the copy is
  /// done but not before `host` may be changed.
  void to_device(void* device, const void* host, std::int64_t bytes);
  void to_host(void* host, const void* device, std::int64_t bytes);
  void copy(void* target, const void* source, std::int64_t bytes);  ///< within the device
  void fill_zero(void* device, std::int64_t bytes);

 private:
  int ordinal_ = 0;
  CUstream_st* stream_ = nullptr;
  CUstream_st* copy_stream_ = nullptr;
  bool owns_stream_ = false;
  int n_multiprocessors_ = 0;
  std::int64_t shared_bytes_ = 0;
  std::int64_t l2_bytes_ = 0;
  std::int64_t memory_limit_ = 0;
  std::int64_t used_bytes_ = 0;
  std::int64_t peak_bytes_ = 0;
};

/// Makes a device the calling thread's for as long as this lives, then what was before is again.
/// Every public call that works on a device begins so.
class ActiveDevice {
 public:
  /// Throws device_error.
  explicit ActiveDevice(const CudaDevice& device);
  ~ActiveDevice();
  ActiveDevice(const ActiveDevice&) = delete;
  ActiveDevice& operator=(const ActiveDevice&) = delete;

 private:
  int before_ = 0;
  bool changed_ = false;
};

/// An array in the memory of a device that outlives it. Elements are not initialised.
template <class T>
class DeviceArray {
 public:
  DeviceArray() = default;
  DeviceArray(CudaDevice& device, std::int64_t size, const char* what)
      : device_(&device),
        data_(static_cast<T*>(device.allocate(size * static_cast<std::int64_t>(sizeof(T)), what))),
        size_(size) {}
  ~DeviceArray() {
    if (data_ != nullptr) device_->release(data_, size_ * static_cast<std::int64_t>(sizeof(T)));
  }
  DeviceArray(DeviceArray&& other) noexcept { swap(other); }
  DeviceArray& operator=(DeviceArray&& other) noexcept {
    swap(other);
    return *this;
  }

  T* data() const { return data_; }
  std::int64_t size() const { return size_; }
  void upload(const T* host, std::int64_t count) {
    device_->to_device(data_, host, count * static_cast<std::int64_t>(sizeof(T)));
  }
  void download(T* host, std::int64_t count) const {
    device_->to_host(host, data_, count * static_cast<std::int64_t>(sizeof(T)));
  }
  void fill_zero() { device_->fill_zero(data_, size_ * static_cast<std::int64_t>(sizeof(T))); }

 private:
  void swap(DeviceArray& other) noexcept {
    CudaDevice* device = device_;
    T* data = data_;
    const std::int64_t size = size_;
    device_ = other.device_;
    data_ = other.data_;
    size_ = other.size_;
    other.device_ = device;
    other.data_ = data;
    other.size_ = size;
  }

  CudaDevice* device_ = nullptr;
  T* data_ = nullptr;
  std::int64_t size_ = 0;
};

}  // namespace culatent
