#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <vector>

#include "internal.hpp"

namespace simt {
namespace detail {
namespace {

struct Pinned {
  std::size_t bytes;
  bool ours;  ///< allocated here, not registered
};
[[gnu::init_priority(200)]] std::map<const char*, Pinned> pinned;
std::uint64_t asked = 0;
std::uint64_t until_failure = 0;

auto pinned_at(const void* pointer) {
  auto found = pinned.upper_bound(static_cast<const char*>(pointer));
  if (found == pinned.begin()) return pinned.end();
  --found;
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(pointer) - found->first);
  return offset < found->second.bytes ? found : pinned.end();
}

/// `height` rows of `width` bytes, the starts of which are `pitch` bytes apart.
struct Rows {
  char* begin;
  std::size_t pitch;
};
struct Extent {
  std::size_t width;
  std::size_t height;
};

std::size_t span(std::size_t pitch, Extent extent) {
  return pitch * (extent.height - 1) + extent.width;
}

bool fits(const void* begin, std::size_t bytes) {
  const std::size_t left = device_bytes_from(begin);
  if (bytes <= left) return true;
  report("bad-copy", "%zu bytes at %p of device memory: %zu are allocated there", bytes, begin,
         left);
  return false;
}

bool matches(const void* pointer, std::size_t bytes, bool on_device) {
  if (!on_device && !device_region.contains(pointer)) return true;
  if (on_device && device_region.contains(pointer)) return fits(pointer, bytes);
  report("bad-copy", "%p is %s memory, and the kind of the copy says otherwise", pointer,
         on_device ? "host" : "device");
  return false;
}

cudaError_t check_copy(Rows to, Rows from, Extent extent, cudaMemcpyKind kind) {
  if (kind == cudaMemcpyDefault) {
    const bool to_device = device_region.contains(to.begin);
    const bool from_device = device_region.contains(from.begin);
    kind = to_device ? (from_device ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice)
                     : (from_device ? cudaMemcpyDeviceToHost : cudaMemcpyHostToHost);
  }
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  const bool good = matches(to.begin, span(to.pitch, extent), to_device) &&
                    matches(from.begin, span(from.pitch, extent), from_device);
  return good ? cudaSuccess : cudaErrorInvalidValue;
}

void copy_rows(Rows to, const char* from, std::size_t from_pitch, Extent extent) {
  const DeviceAccess access;
  for (std::size_t row = 0; row < extent.height; ++row) {
    char* begin = to.begin + row * to.pitch;
    const char* source = from + row * from_pitch;
    std::memcpy(begin, source, extent.width);
    mark_written(begin, extent.width);
    if (hooks.copied && device_region.contains(source)) hooks.copied(begin, source, extent.width);
  }
}

cudaError_t copy(Rows to, Rows from, Extent extent, cudaMemcpyKind kind, cudaStream_t stream,
                 bool wait) {
  const cudaError_t status = device_status();
  if (status != cudaSuccess) return status;
  if (to.pitch < extent.width || from.pitch < extent.width) return cudaErrorInvalidValue;
  if (extent.width == 0 || extent.height == 0) return cudaSuccess;
  const cudaError_t checked = check_copy(to, from, extent, kind);
  if (checked != cudaSuccess) return checked;

  cudaError_t pushed;
  if (device_region.contains(from.begin) || is_pinned(from.begin)) {
    pushed = push(stream, [=] { copy_rows(to, from.begin, from.pitch, extent); });
  } else {  // pageable memory is read before the call returns
    std::vector<char> staged(extent.width * extent.height);
    copy_rows({staged.data(), extent.width}, from.begin, from.pitch, extent);
    pushed = push(stream, [=, staged = std::move(staged)] {
      copy_rows(to, staged.data(), extent.width, extent);
    });
  }
  if (pushed != cudaSuccess) return pushed;
  const bool to_pageable = !device_region.contains(to.begin) && !is_pinned(to.begin);
  return wait || to_pageable ? synchronize(stream) : cudaSuccess;
}

Rows rows_of(const void* begin, std::size_t pitch) {
  return {const_cast<char*>(static_cast<const char*>(begin)), pitch};
}

cudaError_t fill(Rows rows, int value, Extent extent, cudaStream_t stream) {
  const cudaError_t status = device_status();
  if (status != cudaSuccess) return status;
  if (rows.pitch < extent.width) return cudaErrorInvalidValue;
  if (extent.width == 0 || extent.height == 0) return cudaSuccess;
  if (!matches(rows.begin, span(rows.pitch, extent), true)) return cudaErrorInvalidValue;
  return push(stream, [=] {
    const DeviceAccess access;
    for (std::size_t row = 0; row < extent.height; ++row) {
      char* begin = rows.begin + row * rows.pitch;
      std::memset(begin, value, extent.width);
      mark_written(begin, extent.width);
    }
  });
}

cudaError_t allocate_device(void** pointer, std::size_t bytes) {
  const cudaError_t status = device_status();
  if (status != cudaSuccess) return status;
  if (pointer == nullptr) return cudaErrorInvalidValue;
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  if (!allocation_must_fail()) *pointer = device_allocate(bytes);
  return *pointer == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}

cudaError_t allocate_pinned(void** pointer, std::size_t bytes) {
  const cudaError_t status = device_status();
  if (status != cudaSuccess) return status;
  if (pointer == nullptr) return cudaErrorInvalidValue;
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  if (allocation_must_fail() || posix_memalign(pointer, kPage, bytes) != 0) {
    *pointer = nullptr;
    return cudaErrorMemoryAllocation;
  }
  if (options().poison) std::memset(*pointer, 0xff, bytes);
  pinned[static_cast<char*>(*pointer)] = {bytes, true};
  return cudaSuccess;
}

}  // namespace

bool is_pinned(const void* pointer) { return pinned_at(pointer) != pinned.end(); }

bool allocation_must_fail() {
  ++asked;
  return planned_failure(until_failure);
}
bool planned_failure(std::uint64_t& countdown) { return countdown > 0 && --countdown == 0; }
void reset_memory_plans() { until_failure = 0; }

cudaError_t copy_to_symbol(void* symbol, std::size_t symbol_bytes, const void* from,
                           std::size_t bytes, std::size_t offset, cudaMemcpyKind kind,
                           cudaStream_t stream) {
  const auto held = lock();
  if (offset > symbol_bytes || bytes > symbol_bytes - offset) return finish(cudaErrorInvalidValue);
  char* begin = static_cast<char*>(symbol) + offset;
  const bool from_device = kind == cudaMemcpyDeviceToDevice;
  return finish(copy(rows_of(begin, bytes), rows_of(from, bytes), {bytes, 1},
                     from_device ? cudaMemcpyDeviceToHost : cudaMemcpyHostToHost, stream, false));
}

}  // namespace detail

void fail_allocation(std::uint64_t nth) { detail::until_failure = nth; }
std::uint64_t allocations() { return detail::asked; }
std::uint64_t live_allocations() {
  const auto ours = std::count_if(detail::pinned.begin(), detail::pinned.end(),
                                  [](const auto& entry) { return entry.second.ours; });
  return detail::device_allocations_live() + static_cast<std::uint64_t>(ours);
}

}  // namespace simt

using namespace simt::detail;

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  const auto held = lock();
  return finish(allocate_device(pointer, bytes));
}
cudaError_t cudaMallocAsync(void** pointer, std::size_t bytes, cudaStream_t) {
  return cudaMalloc(pointer, bytes);
}
cudaError_t cudaFree(void* pointer) {
  const auto held = lock();
  if (pointer == nullptr) return cudaSuccess;
  synchronize_device();
  if (device_free(pointer)) return cudaSuccess;
  report("bad-free", "cudaFree of %p, which is no live allocation", pointer);
  return finish(cudaErrorInvalidValue);
}
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  const auto held = lock();
  if (pointer == nullptr) return cudaSuccess;
  return finish(push(stream, [pointer] {
    if (!device_free(pointer)) {
      report("bad-free", "cudaFreeAsync of %p, which is no live allocation", pointer);
    }
  }));
}
cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  const auto held = lock();
  return finish(allocate_pinned(pointer, bytes));
}
cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned) {
  return cudaMallocHost(pointer, bytes);
}
cudaError_t cudaFreeHost(void* pointer) {
  const auto held = lock();
  if (pointer == nullptr) return cudaSuccess;
  synchronize_device();
  const auto found = pinned.find(static_cast<const char*>(pointer));
  if (found == pinned.end() || !found->second.ours) {
    report("bad-free", "cudaFreeHost of %p, which cudaMallocHost did not give", pointer);
    return finish(cudaErrorInvalidValue);
  }
  pinned.erase(found);
  std::free(pointer);
  return cudaSuccess;
}
cudaError_t cudaHostRegister(void* pointer, std::size_t bytes, unsigned) {
  const auto held = lock();
  if (device_status() != cudaSuccess) return finish(device_status());
  if (pointer == nullptr || bytes == 0) return finish(cudaErrorInvalidValue);
  if (is_pinned(pointer)) return finish(cudaErrorHostMemoryAlreadyRegistered);
  pinned[static_cast<char*>(pointer)] = {bytes, false};
  return cudaSuccess;
}
cudaError_t cudaHostUnregister(void* pointer) {
  const auto held = lock();
  synchronize_device();
  const auto found = pinned.find(static_cast<const char*>(pointer));
  if (found == pinned.end() || found->second.ours) return finish(cudaErrorHostMemoryNotRegistered);
  pinned.erase(found);
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const auto held = lock();
  *total = simt::options().device_memory;
  *free = *total - std::min(*total, simt::live_bytes());
  return finish(device_status());
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  const auto held = lock();
  void* address = const_cast<void*>(pointer);
  if (const int device = device_of(pointer); device >= 0) {
    *attributes = {cudaMemoryTypeDevice, device, address, nullptr};
  } else if (is_pinned(pointer)) {
    *attributes = {cudaMemoryTypeHost, current_device(), address, address};
  } else {
    *attributes = {cudaMemoryTypeUnregistered, -2, nullptr, address};
  }
  return finish(device_status());
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  const auto held = lock();
  return finish(copy(rows_of(to, bytes), rows_of(from, bytes), {bytes, 1}, kind, nullptr, true));
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const auto held = lock();
  return finish(copy(rows_of(to, bytes), rows_of(from, bytes), {bytes, 1}, kind, stream, false));
}
cudaError_t cudaMemcpy2D(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                         std::size_t width, std::size_t height, cudaMemcpyKind kind) {
  const auto held = lock();
  return finish(
      copy(rows_of(to, to_pitch), rows_of(from, from_pitch), {width, height}, kind, nullptr, true));
}
cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t width, std::size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream) {
  const auto held = lock();
  return finish(
      copy(rows_of(to, to_pitch), rows_of(from, from_pitch), {width, height}, kind, stream, false));
}
cudaError_t cudaMemset(void* pointer, int value, std::size_t bytes) {
  return cudaMemsetAsync(pointer, value, bytes, nullptr);
}
cudaError_t cudaMemsetAsync(void* pointer, int value, std::size_t bytes, cudaStream_t stream) {
  const auto held = lock();
  return finish(fill(rows_of(pointer, bytes), value, {bytes, 1}, stream));
}
cudaError_t cudaMemset2DAsync(void* pointer, std::size_t pitch, int value, std::size_t width,
                              std::size_t height, cudaStream_t stream) {
  const auto held = lock();
  return finish(fill(rows_of(pointer, pitch), value, {width, height}, stream));
}
