#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>

#include "host/device_flow.hpp"
#include "host/row_pass.hpp"
#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/mixture.hpp"
#include "kernels/cuda/upload.hpp"

namespace culatent {

/// Brings the rows of a source to a CUDA device, pass after pass. Rows that lie there already are
/// used in place; others stay there after the first pass when they fit, and stream through two
/// buffers in every pass when they do not, so that reading, copying and computing overlap.
template <class T>
class DeviceFeed {
 public:
  /// What a feed will hold, known before it is made.
  struct Shape {
    std::int64_t chunk_rows = 0;
    bool resident = false;
    std::int64_t device_bytes = 0;
    std::int64_t pinned_bytes = 0;
  };
  static Shape shape(const RowSource<T>& rows, bool weighted, const DeviceFlow& flow);

  DeviceFeed(const CudaBackend& backend, const FitRows<T>& rows, const Shape& shape);

  /// Calls visit(rows, first row) for all rows in order; `visit` launches work on the compute
  /// stream and does not wait for it. Chunks begin at multiples of kBlockRows.
  using Visit = std::function<void(const DeviceRows<T>& rows, std::int64_t first)>;
  void for_each_chunk(const Visit& visit);

 private:
  void fill(std::int64_t first, std::int64_t count, T* values, T* weights) const;
  void upload(UploadLane& lane, std::int64_t first, std::int64_t count, T* values, T* weights);

  const CudaBackend backend_;
  const FitRows<T>& rows_;
  const Shape shape_;
  bool loaded_ = false;        // the resident rows are there
  DeviceArray<T> values_[2];   // resident rows in the first; otherwise a chunk each
  DeviceArray<T> weights_[2];  // empty without weights
  std::unique_ptr<UploadLane> lanes_[2];
};

/// Calls visit(rows, first row) for the rows of a feed, in waves of at most `wave_rows` rows.
template <class T, class Visit>
void for_each_wave(DeviceFeed<T>& feed, std::int64_t wave_rows, Visit&& visit) {
  feed.for_each_chunk([&](const DeviceRows<T>& rows, std::int64_t first) {
    for (std::int64_t at = 0; at < rows.n_rows; at += wave_rows) {
      DeviceRows<T> wave = rows;
      wave.data += at * rows.stride;
      if (rows.weights != nullptr) wave.weights += at;
      wave.n_rows = std::min(wave_rows, rows.n_rows - at);
      visit(wave, first + at);
    }
  });
}

}  // namespace culatent
