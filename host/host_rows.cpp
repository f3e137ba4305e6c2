#include "host/host_rows.hpp"

#include <algorithm>
#include <vector>

#ifdef CULATENT_HAS_CUDA
#include "kernels/cuda/cuda_device.hpp"
#endif

namespace culatent {

template <class T>
MatrixView<const T> HostRows<T>::read(std::int64_t first, MatrixView<T> buffer) const {
  if (!on_device()) return source_.read(first, buffer);
#ifdef CULATENT_HAS_CUDA
  const std::lock_guard lock(mutex_);
  CudaDevice& device = *context_.cuda();
  const ActiveDevice active(device);
  const MatrixView<const T> view =
      source_.read(first, MatrixView<T>(nullptr, buffer.rows, buffer.cols));
  const std::int64_t row_bytes = buffer.cols * static_cast<std::int64_t>(sizeof(T));
  if (view.stride == view.cols && buffer.stride == buffer.cols) {
    device.to_host(buffer.data, view.data, view.rows * row_bytes);
    return buffer;
  }
  // One copy with what lies between the rows: a wait for each row would take longer.
  const std::int64_t span = (view.rows - 1) * view.stride + view.cols;
  std::vector<T> between(static_cast<std::size_t>(std::max<std::int64_t>(span, 0)));
  device.to_host(between.data(), view.data, static_cast<std::int64_t>(between.size() * sizeof(T)));
  for (std::int64_t i = 0; i < view.rows; ++i) {
    std::copy_n(between.data() + i * view.stride, view.cols, buffer.row(i));
  }
#endif
  return buffer;
}

template class HostRows<float>;
template class HostRows<double>;

}  // namespace culatent
