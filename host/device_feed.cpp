#include "host/device_feed.hpp"

#include <algorithm>
#include <vector>

namespace culatent {
namespace {

template <class T>
constexpr std::int64_t kSize = static_cast<std::int64_t>(sizeof(T));

}  // namespace

template <class T>
typename DeviceFeed<T>::Shape DeviceFeed<T>::shape(const RowSource<T>& rows, bool weighted,
                                                   const DeviceFlow& flow) {
  const std::int64_t n = rows.rows();
  Shape shape;
  shape.chunk_rows = flow.chunk_rows;
  shape.resident = flow.resident;
  if (rows.space() == MemorySpace::device) {
    shape.device_bytes = weighted ? checked_product(kSize<T>, n) : 0;
    shape.pinned_bytes = shape.device_bytes;  // of ordinary memory, while they are converted
    return shape;
  }
  const std::int64_t row_bytes = kSize<T> * (rows.cols() + (weighted ? 1 : 0));
  const std::int64_t lanes = flow.chunk_rows < n ? 2 : 1;
  shape.pinned_bytes = checked_product(lanes * flow.chunk_rows, row_bytes);
  shape.device_bytes = flow.resident ? checked_product(row_bytes, n) : shape.pinned_bytes;
  return shape;
}

template <class T>
DeviceFeed<T>::DeviceFeed(const CudaBackend& backend, const FitRows<T>& rows, const Shape& shape)
    : backend_(backend), rows_(rows), shape_(shape) {
  const std::int64_t n = rows.source.rows();
  const std::int64_t d = rows.source.cols();
  const bool weighted = !rows.weights.empty();
  const bool in_place = rows.source.space() == MemorySpace::device;
  CudaDevice& device = backend.device;
  const int n_lanes = shape.chunk_rows < n ? 2 : 1;
  for (int i = 0; i < (shape.resident ? 1 : n_lanes); ++i) {
    const std::int64_t held = shape.resident ? n : shape.chunk_rows;
    if (!in_place) values_[i] = DeviceArray<T>(device, checked_product(held, d), "the rows");
    if (weighted) weights_[i] = DeviceArray<T>(device, held, "the row weights");
  }
  if (in_place) {
    if (!weighted) return;
    // The weights alone come from the host; once.
    std::vector<T> scaled(static_cast<std::size_t>(n));
    fill(0, n, nullptr, scaled.data());
    weights_[0].upload(scaled.data(), n);
    device.synchronize();
    return;
  }
  for (int i = 0; i < n_lanes; ++i) {
    lanes_[i] = std::make_unique<UploadLane>(
        device, kSize<T> * checked_product(shape.chunk_rows, d + (weighted ? 1 : 0)));
  }
}

// Rows [first, first + count), packed, and their weights; null: not wanted.
template <class T>
void DeviceFeed<T>::fill(std::int64_t first, std::int64_t count, T* values, T* weights) const {
  const std::int64_t d = rows_.source.cols();
  backend_.threads.parallel_for(
      (count + kBlockRows - 1) / kBlockRows, backend_.n_workers, [&](std::int64_t block, int) {
        const std::int64_t begin = block * kBlockRows;
        const std::int64_t end = std::min(count, begin + kBlockRows);
        if (weights != nullptr) {
          for (std::int64_t i = begin; i < end; ++i) {
            weights[i] = static_cast<T>(rows_.weights[static_cast<std::size_t>(first + i)] *
                                        rows_.weight_scale);
          }
        }
        if (values == nullptr) return;
        const MatrixView<T> target(values + begin * d, end - begin, d);
        const MatrixView<const T> source = rows_.source.read(first + begin, target);
        if (source.data == target.data) return;
        for (std::int64_t i = 0; i < source.rows; ++i) {
          std::copy_n(source.row(i), d, target.row(i));
        }
      });
}

template <class T>
void DeviceFeed<T>::upload(UploadLane& lane, std::int64_t first, std::int64_t count, T* values,
                           T* weights) {
  const std::int64_t d = rows_.source.cols();
  T* staged = static_cast<T*>(lane.host());
  fill(first, count, staged, weights != nullptr ? staged + count * d : nullptr);
  lane.send(values, 0, kSize<T> * count * d);
  if (weights != nullptr) lane.send(weights, kSize<T> * count * d, kSize<T> * count);
  lane.publish();
}

template <class T>
void DeviceFeed<T>::for_each_chunk(const Visit& visit) {
  const std::int64_t n = rows_.source.rows();
  const std::int64_t d = rows_.source.cols();
  if (rows_.source.space() == MemorySpace::device) {
    const MatrixView<const T> all = rows_.source.read(0, MatrixView<T>(nullptr, n, d));
    visit({all.data, weights_[0].data(), n, d, all.stride}, 0);
    return;
  }
  if (loaded_) {
    visit({values_[0].data(), weights_[0].data(), n, d, d}, 0);
    return;
  }
  int turn = 0;
  for (std::int64_t first = 0; first < n; first += shape_.chunk_rows) {
    const std::int64_t count = std::min(shape_.chunk_rows, n - first);
    UploadLane& lane = *lanes_[turn];
    const int target = shape_.resident ? 0 : turn;
    T* values = values_[target].data() + (shape_.resident ? first * d : 0);
    T* weights = weights_[target].data();
    if (weights != nullptr && shape_.resident) weights += first;
    upload(lane, first, count, values, weights);
    visit({values, weights, count, d, d}, first);
    lane.consumed();
    if (lanes_[1] != nullptr) turn = 1 - turn;
  }
  loaded_ = shape_.resident;
}

template class DeviceFeed<float>;
template class DeviceFeed<double>;

}  // namespace culatent
