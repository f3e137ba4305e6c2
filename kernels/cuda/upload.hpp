#pragma once

#include <cstdint>

#include "kernels/cuda/cuda_device.hpp"

struct CUevent_st;

namespace culatent {

/// Pinned host memory that rows pass through on their way to the device, and the order of what
/// happens to it. With two lanes, one is filled while the other is copied and computed on:
///
///     fill(lane.host());                 // waits until the last copy has left it
///     lane.send(target, 0, bytes);       // on the copy stream, after consumed()
///     lane.publish();                    // the compute stream waits for the copies
///     … launches that read target …
///     lane.consumed();                   // the next send waits for them
class UploadLane {
 public:
  /// Throws out_of_memory; device_error when the device has failed before.
  UploadLane(CudaDevice& device, std::int64_t bytes);
  ~UploadLane();
  UploadLane(const UploadLane&) = delete;
  UploadLane& operator=(const UploadLane&) = delete;

  void* host();
  void send(void* target, std::int64_t offset, std::int64_t bytes);
  void publish();
  void consumed();

 private:
  CudaDevice& device_;
  void* host_ = nullptr;
  CUevent_st* sent_ = nullptr;
  CUevent_st* consumed_ = nullptr;
};

}  // namespace culatent
