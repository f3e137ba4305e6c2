#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>

#include "culatent/matrix.hpp"
#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/download.hpp"
#include "kernels/cuda/mixture.hpp"

namespace culatent {

/// Where the results of a wave go on their way to the caller: straight to the caller's device
/// memory, or to the host's through a wave's arrays and a pinned buffer, of which there are two:
/// one wave is computed while the one before is copied and the one before that is given to the
/// caller. Outputs has `log_prob`, `responsibilities`, `labels` and `space`, as a mixture's do.
template <class T, class Outputs>
class WaveOutputs {
 public:
  WaveOutputs(const CudaBackend& backend, std::int64_t wave_rows, std::int64_t n_rows,
              std::int64_t n_components, const Outputs& outputs)
      : backend_(backend), n_components_(n_components), outputs_(outputs) {
    if (outputs.space == MemorySpace::device) return;
    CudaDevice& device = backend.device;
    for (int i = 0; i < (wave_rows < n_rows ? 2 : 1); ++i) {
      Lane& lane = lanes_[i];
      if (!outputs.log_prob.empty()) lane.log_prob = DeviceArray<T>(device, wave_rows, "results");
      if (outputs.responsibilities.data != nullptr) {
        lane.responsibilities =
            DeviceArray<T>(device, checked_product(wave_rows, n_components), "results");
      }
      if (!outputs.labels.empty()) {
        lane.labels = DeviceArray<std::int32_t>(device, wave_rows, "results");
      }
      const std::int64_t bytes = lane.end();
      if (bytes > 0) lane.download = std::make_unique<DownloadLane>(device, bytes);
    }
  }

  /// Of a row, in each lane; on the device and pinned.
  static std::int64_t row_bytes(std::int64_t n_components, const Outputs& outputs) {
    if (outputs.space == MemorySpace::device) return 0;
    std::int64_t bytes = outputs.log_prob.empty() ? 0 : kSize;
    if (!outputs.labels.empty()) bytes += static_cast<std::int64_t>(sizeof(std::int32_t));
    if (outputs.responsibilities.data != nullptr) bytes += checked_product(kSize, n_components);
    return bytes;
  }

  /// Where the results of a wave that begins at row `first` go. Waits for the wave before the last.
  DeviceOutputs<T> begin(std::int64_t first) {
    if (outputs_.space == MemorySpace::host) {
      if (lanes_[1].download != nullptr) turn_ = 1 - turn_;
      Lane& lane = lanes_[turn_];
      deliver(lane);
      lane.first = first;
      return {lane.log_prob.data(), lane.responsibilities.data(), n_components_,
              lane.labels.data()};
    }
    DeviceOutputs<T> out;
    const auto row = static_cast<std::size_t>(first);
    if (!outputs_.log_prob.empty()) out.log_prob = outputs_.log_prob.data() + row;
    if (outputs_.responsibilities.data != nullptr) {
      out.responsibilities = outputs_.responsibilities.row(first);
      out.responsibilities_stride = outputs_.responsibilities.stride;
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
    fetch(lane.responsibilities, 0, n_rows * n_components_);
    fetch(lane.log_prob, lane.log_prob_at(), n_rows);
    fetch(lane.labels, lane.labels_at(), n_rows);
  }

  /// Waits until the caller has everything.
  void finish() {
    deliver(lanes_[1 - turn_]);
    deliver(lanes_[turn_]);
  }

 private:
  static constexpr auto kSize = static_cast<std::int64_t>(sizeof(T));

  // A wave's results on the device, then in pinned memory: responsibilities, log_prob, labels.
  struct Lane {
    std::int64_t log_prob_at() const { return responsibilities.size() * kSize; }
    std::int64_t labels_at() const { return log_prob_at() + log_prob.size() * kSize; }
    std::int64_t end() const {
      return labels_at() + labels.size() * static_cast<std::int64_t>(sizeof(std::int32_t));
    }

    DeviceArray<T> log_prob, responsibilities;
    DeviceArray<std::int32_t> labels;
    std::unique_ptr<DownloadLane> download;  // gone before the arrays that it reads
    std::int64_t first = 0, n_rows = 0;      // of a wave that the caller has not got yet
  };

  void deliver(Lane& lane) {
    if (lane.n_rows == 0) return;
    const auto* const from = static_cast<const char*>(lane.download->host());
    const auto* const resp = reinterpret_cast<const T*>(from);
    const auto* const log_prob = reinterpret_cast<const T*>(from + lane.log_prob_at());
    const auto* const labels = reinterpret_cast<const std::int32_t*>(from + lane.labels_at());
    backend_.threads.parallel_for(
        (lane.n_rows + kBlockRows - 1) / kBlockRows, backend_.n_workers,
        [&](std::int64_t block, int) {
          const std::int64_t begin = block * kBlockRows;
          const std::int64_t end = std::min(lane.n_rows, begin + kBlockRows);
          const std::int64_t to = lane.first + begin;
          if (!outputs_.log_prob.empty()) {
            std::copy(log_prob + begin, log_prob + end, outputs_.log_prob.data() + to);
          }
          if (!outputs_.labels.empty()) {
            std::copy(labels + begin, labels + end, outputs_.labels.data() + to);
          }
          if (outputs_.responsibilities.data == nullptr) return;
          for (std::int64_t i = begin; i < end; ++i) {
            std::copy_n(resp + i * n_components_, n_components_,
                        outputs_.responsibilities.row(lane.first + i));
          }
        });
    lane.n_rows = 0;
  }

  const CudaBackend backend_;
  std::int64_t n_components_;
  const Outputs& outputs_;
  Lane lanes_[2];
  int turn_ = 0;
};

}  // namespace culatent
