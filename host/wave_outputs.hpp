#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>

#include "culatent/matrix.hpp"
#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/download.hpp"
#include "kernels/cuda/mixture.hpp"

namespace culatent {

/// What a caller wants of every row: a value, a row of a matrix, a label. Empty or null: nothing.
template <class T>
struct RowOutputs {
  std::span<T> values;
  MatrixView<T> matrix;
  std::span<std::int32_t> labels;
  MemorySpace space = MemorySpace::host;
};

/// Where the results of a wave go on their way to the caller: straight to the caller's device
/// memory, or to the host's through a wave's arrays and a pinned buffer, of which there are two:
/// one wave is computed while the one before is copied and the one before that is given to the
/// caller.
template <class T>
class WaveOutputs {
 public:
  WaveOutputs(const CudaBackend& backend, std::int64_t wave_rows, std::int64_t n_rows,
              std::int64_t width, const RowOutputs<T>& outputs)
      : backend_(backend), width_(width), outputs_(outputs) {
    if (outputs.space == MemorySpace::device) return;
    CudaDevice& device = backend.device;
    for (int i = 0; i < (wave_rows < n_rows ? 2 : 1); ++i) {
      Lane& lane = lanes_[i];
      if (!outputs.values.empty()) lane.values = DeviceArray<T>(device, wave_rows, "results");
      if (outputs.matrix.data != nullptr) {
        lane.matrix = DeviceArray<T>(device, checked_product(wave_rows, width), "results");
      }
      if (!outputs.labels.empty()) {
        lane.labels = DeviceArray<std::int32_t>(device, wave_rows, "results");
      }
      const std::int64_t bytes = lane.end();
      if (bytes > 0) lane.download = std::make_unique<DownloadLane>(device, bytes);
    }
  }

  /// Of a row, in each lane; on the device and pinned.
  static std::int64_t row_bytes(std::int64_t width, const RowOutputs<T>& outputs) {
    if (outputs.space == MemorySpace::device) return 0;
    std::int64_t bytes = outputs.values.empty() ? 0 : kSize;
    if (!outputs.labels.empty()) bytes += static_cast<std::int64_t>(sizeof(std::int32_t));
    if (outputs.matrix.data != nullptr) bytes += checked_product(kSize, width);
    return bytes;
  }

  /// Where the results of a wave that begins at row `first` go. Waits for the wave before the last.
  DeviceOutputs<T> begin(std::int64_t first) {
    if (outputs_.space == MemorySpace::host) {
      if (lanes_[1].download != nullptr) turn_ = 1 - turn_;
      Lane& lane = lanes_[turn_];
      deliver(lane);
      lane.first = first;
      return {lane.values.data(), lane.matrix.data(), width_, lane.labels.data()};
    }
    DeviceOutputs<T> out;
    const auto row = static_cast<std::size_t>(first);
    if (!outputs_.values.empty()) out.values = outputs_.values.data() + row;
    if (outputs_.matrix.data != nullptr) {
      out.matrix = outputs_.matrix.row(first);
      out.stride = outputs_.matrix.stride;
    }
    if (!outputs_.labels.empty()) out.labels = outputs_.labels.data() + row;
    return out;
  }

  /// Sends what the launches since begin() write on its way.
  void send(std::int64_t n_rows) {
    Lane& lane = lanes_[turn_];
    if (lane.download == nullptr) return;
    lane.n_rows = n_rows;
    const auto fetch = [&](const auto& array, std::int64_t offset, std::int64_t count) {
      if (array.size() == 0) return;
      lane.download->fetch(array.data(), offset, count * std::int64_t{sizeof(*array.data())});
    };
    fetch(lane.matrix, 0, n_rows * width_);
    fetch(lane.values, lane.values_at(), n_rows);
    fetch(lane.labels, lane.labels_at(), n_rows);
  }

  /// Waits until the caller has everything.
  void finish() {
    deliver(lanes_[1 - turn_]);
    deliver(lanes_[turn_]);
  }

 private:
  static constexpr auto kSize = static_cast<std::int64_t>(sizeof(T));

  // A wave's results on the device, then in pinned memory: matrix, values, labels.
  struct Lane {
    std::int64_t values_at() const { return matrix.size() * kSize; }
    std::int64_t labels_at() const { return values_at() + values.size() * kSize; }
    std::int64_t end() const {
      return labels_at() + labels.size() * static_cast<std::int64_t>(sizeof(std::int32_t));
    }

    DeviceArray<T> values, matrix;
    DeviceArray<std::int32_t> labels;
    std::unique_ptr<DownloadLane> download;  // gone before the arrays that it reads
    std::int64_t first = 0, n_rows = 0;      // of a wave that the caller has not got yet
  };

  void deliver(Lane& lane) {
    if (lane.n_rows == 0) return;
    const auto* const from = static_cast<const char*>(lane.download->host());
    const auto* const matrix = reinterpret_cast<const T*>(from);
    const auto* const values = reinterpret_cast<const T*>(from + lane.values_at());
    const auto* const labels = reinterpret_cast<const std::int32_t*>(from + lane.labels_at());
    backend_.threads.parallel_for(
        (lane.n_rows + kBlockRows - 1) / kBlockRows, backend_.n_workers,
        [&](std::int64_t block, int) {
          const std::int64_t begin = block * kBlockRows;
          const std::int64_t end = std::min(lane.n_rows, begin + kBlockRows);
          const std::int64_t to = lane.first + begin;
          if (!outputs_.values.empty()) {
            std::copy(values + begin, values + end, outputs_.values.data() + to);
          }
          if (!outputs_.labels.empty()) {
            std::copy(labels + begin, labels + end, outputs_.labels.data() + to);
          }
          if (outputs_.matrix.data == nullptr) return;
          for (std::int64_t i = begin; i < end; ++i) {
            std::copy_n(matrix + i * width_, width_, outputs_.matrix.row(lane.first + i));
          }
        });
    lane.n_rows = 0;
  }

  const CudaBackend backend_;
  std::int64_t width_;
  const RowOutputs<T> outputs_;
  Lane lanes_[2];
  int turn_ = 0;
};

}  // namespace culatent
