#include "host/cuda_kmeans.hpp"

#include <algorithm>
#include <memory>
#include <vector>

#include "kernels/cuda/exact_sums.hpp"
#include "kernels/cuda/kmeans.hpp"
#include "kernels/cuda/scan.hpp"

namespace culatent::kmeans {
namespace {

template <class T>
constexpr std::int64_t kSize = static_cast<std::int64_t>(sizeof(T));

template <class T>
struct State {
  State(CudaDevice& device, std::int64_t n_clusters, std::int64_t n_features,
        std::int64_t wave_rows)
      : layout(n_clusters, n_features),
        rows(wave_rows),
        centroids(device, checked_product(n_clusters, n_features), "centroids"),
        metric(device, n_features, "centroids"),
        labels(device, rows, "labels of a wave"),
        distances(device, rows, "distances of a wave"),
        partials(device, rows / kBlockRows * layout.size, "sums of a wave"),
        sums(device, layout.size, "sums"),
        values(device, layout.size, "sums") {}

  Layout layout;
  std::int64_t rows;
  DeviceArray<T> centroids, metric;
  DeviceArray<std::int32_t> labels;
  DeviceArray<T> distances;
  DeviceArray<double> partials;
  DeviceArray<DeviceSum> sums;
  DeviceArray<double> values;
};

// Calls after(first, n_rows) behind the assignment of every wave.
template <class T, class After>
void assign_waves(const CudaBackend& backend, DeviceFeed<T>& feed,
                  const gaussian_mixture::DeviceFrame<T>& frame, State<T>& s,
                  std::int64_t n_clusters, After&& after) {
  feed.for_each_chunk([&](const gaussian_mixture::DeviceRows<T>& rows, std::int64_t first) {
    for (std::int64_t at = 0; at < rows.n_rows; at += s.rows) {
      gaussian_mixture::DeviceRows<T> wave = rows;
      wave.data += at * rows.stride;
      if (rows.weights != nullptr) wave.weights += at;
      wave.n_rows = std::min(s.rows, rows.n_rows - at);
      assign(backend, wave, frame, s.centroids.data(), s.metric.data(), n_clusters, s.labels.data(),
             s.distances.data(), s.partials.data());
      after(first + at, wave.n_rows);
    }
  });
}

}  // namespace

std::int64_t cuda_lloyd_blocks(std::int64_t n_clusters, std::int64_t n_features) {
  constexpr std::int64_t kRecordBytes = std::int64_t{64} << 20;
  constexpr std::int64_t kMostBlocks = 1024;
  const std::int64_t record = 8 * Layout(n_clusters, n_features).size;
  return std::clamp<std::int64_t>(kRecordBytes / record, 1, kMostBlocks);
}

template <class T>
RowSample<T> cuda_sample_rows(const CudaBackend& backend, const FitRows<T>& rows,
                              const Frame& frame, std::uint64_t seed, std::int64_t count) {
  if (rows.source.space() == MemorySpace::host) {
    return sample_rows(CpuBackend{backend.threads, backend.n_workers}, rows, frame, seed, count);
  }
  const std::int64_t n = rows.source.rows();
  const std::int64_t d = rows.source.cols();
  const MatrixView<const T> all = rows.source.read(0, MatrixView<T>(nullptr, n, d));
  const std::vector<std::int64_t> chosen = choose_rows(rows.weights, n, seed, count);
  count = static_cast<std::int64_t>(chosen.size());
  DeviceArray<std::int64_t> index(backend.device, count, "a sample of rows");
  DeviceArray<T> gathered(backend.device, checked_product(count, d), "a sample of rows");
  index.upload(chosen.data(), count);
  gather_rows(backend, all.data, all.stride, d, index.data(), count, gathered.data());
  Matrix<T> raw(count, d);
  gathered.download(raw.data(), raw.size());
  RowSample<T> sample{Matrix<T>(count, d), std::vector<double>(chosen.size())};
  const RowChunk<T> weights{rows.source, 0, n, rows.weights, rows.weight_scale};
  for (std::int64_t i = 0; i < count; ++i) {
    copy_to_frame<T>(raw.view(), i, frame, sample.rows, i);
    sample.weights[static_cast<std::size_t>(i)] =
        weights.weight(chosen[static_cast<std::size_t>(i)]);
  }
  return sample;
}

template <class T>
LloydRows<T> cuda_lloyd_rows(const CudaBackend& backend, DeviceFeed<T>& feed,
                             const gaussian_mixture::DeviceFrame<T>& device_frame,
                             const FitRows<T>& rows, const Frame& frame, std::span<const T> metric,
                             std::int64_t n_clusters, std::int64_t wave_rows) {
  const std::int64_t d = rows.source.cols();
  const auto state = std::make_shared<State<T>>(backend.device, n_clusters, d, wave_rows);
  state->metric.upload(metric.data(), d);
  LloydRows<T> result;
  result.assign = [=, &feed, &rows](const Matrix<T>& centroids, std::span<double> sums,
                                    Farthest& farthest) {
    State<T>& s = *state;
    s.centroids.upload(centroids.data(), centroids.size());
    s.sums.fill_zero();
    assign_waves(backend, feed, device_frame, s, n_clusters,
                 [&](std::int64_t, std::int64_t n_rows) {
                   add_partials(backend, s.partials.data(), (n_rows + kBlockRows - 1) / kBlockRows,
                                s.layout.size, s.layout.size, s.sums.data());
                 });
    round_sums(backend, s.sums.data(), s.layout.size, s.values.data());
    s.values.download(sums.data(), s.layout.size);
    const auto counts = sums.subspan(Layout::counts, static_cast<std::size_t>(n_clusters));
    if (std::all_of(counts.begin(), counts.end(), [](double c) { return c > 0.0; })) return;
    // A cluster is empty, which is rare: only then do the distances come to the host.
    std::vector<T> distances(static_cast<std::size_t>(s.rows));
    assign_waves(
        backend, feed, device_frame, s, n_clusters, [&](std::int64_t first, std::int64_t n_rows) {
          s.distances.download(distances.data(), n_rows);
          for (std::int64_t i = 0; i < n_rows; ++i) {
            const auto distance = static_cast<double>(distances[static_cast<std::size_t>(i)]);
            const bool counts_row =
                rows.weights.empty() || rows.weights[static_cast<std::size_t>(first + i)] > 0.0;
            if (counts_row && distance > farthest.distance) {
              farthest = {distance, first + i};
            }
          }
        });
  };
  result.fetch = [=, &rows, &frame](std::int64_t row, Matrix<T>& centroids, std::int64_t k) {
    Matrix<T> buffer(1, d);
    MatrixView<const T> view = rows.source.read(row, buffer.view());
    if (rows.source.space() == MemorySpace::device) {
      backend.device.to_host(buffer.data(), view.data, kSize<T> * d);
      view = buffer.view();
    }
    copy_to_frame(view, 0, frame, centroids, k);
  };
  return result;
}

template <class T>
std::int64_t cuda_lloyd_bytes(std::int64_t n_rows, std::int64_t n_clusters, std::int64_t n_features,
                              std::int64_t wave_rows, bool on_device) {
  const Layout layout(n_clusters, n_features);
  const std::int64_t lloyd =
      kSize<T> * (checked_product(n_clusters, n_features) + n_features + wave_rows) +
      4 * wave_rows + 8 * (wave_rows / kBlockRows) * layout.size +
      layout.size * (static_cast<std::int64_t>(sizeof(DeviceSum)) + 8);
  if (!on_device) return lloyd;
  const std::int64_t sample =
      checked_product(seeding_rows(n_rows, n_clusters, n_features), kSize<T> * n_features + 8);
  return std::max(lloyd, sample);
}

#define CULATENT_INSTANTIATE(T)                                                               \
  template RowSample<T> cuda_sample_rows(const CudaBackend&, const FitRows<T>&, const Frame&, \
                                         std::uint64_t, std::int64_t);                        \
  template LloydRows<T> cuda_lloyd_rows(                                                      \
      const CudaBackend&, DeviceFeed<T>&, const gaussian_mixture::DeviceFrame<T>&,            \
      const FitRows<T>&, const Frame&, std::span<const T>, std::int64_t, std::int64_t);       \
  template std::int64_t cuda_lloyd_bytes<T>(std::int64_t, std::int64_t, std::int64_t,         \
                                            std::int64_t, bool);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::kmeans
