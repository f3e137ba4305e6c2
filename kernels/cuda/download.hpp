#pragma once

#include <cstdint>

#include "kernels/cuda/cuda_device.hpp"

struct CUevent_st;

namespace culatent {

/// Pinned host memory that results pass through on their way from the device, on a stream of its
/// own. With two lanes, one is copied to and emptied while the device computes what the other gets:
///
///     … launches that write source …
///     lane.fetch(source, 0, bytes);      // when they are done
///     … what the other lane does …
///     read(lane.host());                 // waits for the copies; source may be written again
class DownloadLane {
 public:
  /// Throws out_of_memory; device_error when the device has failed before.
  DownloadLane(CudaDevice& device, std::int64_t bytes);
  ~DownloadLane();
  DownloadLane(const DownloadLane&) = delete;
  DownloadLane& operator=(const DownloadLane&) = delete;

  /// Copies to `offset` of the lane after all that is on the compute stream now.
  void fetch(const void* source, std::int64_t offset, std::int64_t bytes);
  const void* host() const;

 private:
  CudaDevice& device_;
  void* host_ = nullptr;
  CUstream_st* stream_ = nullptr;
  CUevent_st* computed_ = nullptr;
};

}  // namespace culatent
