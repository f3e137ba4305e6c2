#include <algorithm>

#include "host/kmeans_cuda.hpp"
#include "kernels/cuda/kmeans_distances.hpp"

/// How a device looks at rows while seeds are chosen.
namespace culatent::kmeans {
namespace {

std::int64_t blocks_of(std::int64_t n_rows) { return (n_rows + kBlockRows - 1) / kBlockRows; }

}  // namespace

// k-means++ has fewer candidates than there are clusters; others get an array of their own, until
// the next come.
template <class T>
const DeviceCentroids<T>& CudaEngine<T>::place_candidates(const Matrix<T>& candidates) {
  candidates_.reset();
  if (candidates.rows() <= centroids_.capacity()) {
    centroids_.set(backend_, candidates);
    return centroids_.view();
  }
  candidates_.emplace(backend_.device, candidates.rows(), candidates.cols());
  candidates_->set(backend_, candidates);
  return candidates_->view();
}

template <class T>
std::vector<double> CudaEngine<T>::weights_near(const Matrix<T>& candidates) {
  const DeviceCentroids<T>& near = place_candidates(candidates);
  const RowChunk<T> all{rows_.source, 0, rows_.source.rows(), rows_.weights, rows_.weight_scale};
  std::vector<double> weights(static_cast<std::size_t>(candidates.rows()));
  std::vector<std::int32_t> labels(static_cast<std::size_t>(kStepRows));
  for_each_wave(nullptr, [&](const ClusterRows<T>& rows, std::int64_t first) {
    nearest(backend_, rows, near, cluster_rows_.doubts(), wave_labels_.data(),
            static_cast<PassCounters*>(nullptr));
    for (std::int64_t at = 0; at < rows.n_rows; at += kStepRows) {
      const std::int64_t count = std::min(kStepRows, rows.n_rows - at);
      backend_.device.to_host(labels.data(), wave_labels_.data() + at, 4 * count);
      for (std::int64_t i = 0; i < count; ++i) {
        weights[static_cast<std::size_t>(labels[static_cast<std::size_t>(i)])] +=
            all.weight(first + at + i);
      }
    }
  });
  candidates_.reset();
  return weights;
}

template <class T>
void CudaEngine<T>::begin_seeding() {
  const std::int64_t n = rows_.source.rows();
  least_ = DeviceArray<T>(backend_.device, n, "distances to seeds");
  potentials_ = DeviceArray<double>(backend_.device, blocks_of(n), "distances to seeds");
  forget_distances(backend_, n, least_.data());
}

template <class T>
std::vector<double> CudaEngine<T>::lower(const Matrix<T>& candidates) {
  const DeviceCentroids<T>& seeds = place_candidates(candidates);
  for_each_wave(nullptr, [&](const ClusterRows<T>& rows, std::int64_t first) {
    lower_distances(backend_, rows, seeds, least_.data() + first,
                    potentials_.data() + first / kBlockRows);
  });
  std::vector<double> potentials(static_cast<std::size_t>(potentials_.size()));
  potentials_.download(potentials.data(), potentials_.size());
  candidates_.reset();
  return potentials;
}

template <class T>
std::vector<double> CudaEngine<T>::try_out(const Matrix<T>& candidates) {
  const std::int64_t count = candidates.rows();
  const DeviceCentroids<T>& trials = place_candidates(candidates);
  totals_.fill_zero();
  for_each_wave(nullptr, [&](const ClusterRows<T>& rows, std::int64_t first) {
    try_candidates(backend_, rows, trials, least_.data() + first, partials_.data());
    add_partials(backend_, partials_.data(), blocks_of(rows.n_rows), count, count, totals_.data());
  });
  std::vector<DeviceSum> bins(static_cast<std::size_t>(count));
  totals_.download(bins.data(), count);
  ExactSums sums(count);
  sums.merge(bins);
  std::vector<double> potentials(static_cast<std::size_t>(count));
  sums.round(potentials);
  return potentials;
}

template <class T>
std::vector<double> CudaEngine<T>::shares(std::int64_t first, std::int64_t count) const {
  const RowChunk<T> all{rows_.source, 0, rows_.source.rows(), rows_.weights, rows_.weight_scale};
  std::vector<T> least(static_cast<std::size_t>(count));
  backend_.device.to_host(least.data(), least_.data() + first,
                          count * static_cast<std::int64_t>(sizeof(T)));
  std::vector<double> result(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    result[at] = all.weight(first + i) * static_cast<double>(least[at]);
  }
  return result;
}

template <class T>
void CudaEngine<T>::end_seeding() {
  least_ = {};
  potentials_ = {};
}

#define CULATENT_INSTANTIATE(T)                                                         \
  template std::vector<double> CudaEngine<T>::weights_near(const Matrix<T>&);           \
  template void CudaEngine<T>::begin_seeding();                                         \
  template std::vector<double> CudaEngine<T>::lower(const Matrix<T>&);                  \
  template std::vector<double> CudaEngine<T>::try_out(const Matrix<T>&);                \
  template std::vector<double> CudaEngine<T>::shares(std::int64_t, std::int64_t) const; \
  template void CudaEngine<T>::end_seeding();
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::kmeans
