#include "host/kmeans_cuda.hpp"

#include <algorithm>
#include <string>

#include "culatent/error.hpp"
#include "host/cuda_scan.hpp"
#include "host/kmeans_seeding.hpp"

namespace culatent::kmeans {
namespace {

template <class T>
constexpr std::int64_t kSize = static_cast<std::int64_t>(sizeof(T));

std::int64_t blocks_of(std::int64_t n_rows) { return (n_rows + kBlockRows - 1) / kBlockRows; }

}  // namespace

template <class T>
DeviceCentroidArrays<T>::DeviceCentroidArrays(CudaDevice& device, std::int64_t n_clusters,
                                              std::int64_t n_features)
    : capacity_(n_clusters),
      values_(device, checked_product(n_clusters, n_features), "centroids"),
      packed_(device, checked_product(packed_clusters(n_clusters), n_features), "centroids"),
      offsets_(device, packed_clusters(n_clusters), "centroids"),
      longest_(device, 1, "centroids"),
      view_{values_.data(), n_clusters, packed_.data(), offsets_.data(), longest_.data()} {}

template <class T>
std::int64_t DeviceCentroidArrays<T>::bytes(std::int64_t n_clusters, std::int64_t n_features) {
  const std::int64_t packed = packed_clusters(n_clusters);
  return kSize<T> * (checked_product(n_clusters + packed, n_features) + packed + 1);
}

template <class T>
void DeviceCentroidArrays<T>::set(const CudaBackend& backend, const Matrix<T>& centroids) {
  view_.n_clusters = centroids.rows();
  view_.beyond = far_beyond(centroids, score_slack<T>(centroids.cols()));
  values_.upload(centroids.data(), centroids.size());
  prepare_centroids(backend, centroids.cols(), view_);
}

template <class T>
DeviceClusterRows<T>::DeviceClusterRows(CudaDevice& device, const Coordinates& coordinates,
                                        std::int64_t wave_rows)
    : wave_rows_(wave_rows),
      n_features_(static_cast<std::int64_t>(coordinates.frame.centre.size())),
      scale_(static_cast<T>(coordinates.frame.scale.front())),
      offset_(device, n_features_, "coordinates"),
      doubts_(device, wave_rows, "rows to look at again"),
      n_doubts_(device, 1, "rows to look at again") {
  if (coordinates.unit_length) factors_ = DeviceArray<T>(device, wave_rows, "lengths of rows");
  std::vector<T> offset;
  for (const double centre : coordinates.frame.centre) {
    offset.push_back(-static_cast<T>(centre) * scale_);
  }
  offset_.upload(offset.data(), n_features_);
}

template <class T>
std::int64_t DeviceClusterRows<T>::bytes(std::int64_t n_features) {
  return kSize<T> * n_features + 4;
}

template <class T>
std::int64_t DeviceClusterRows<T>::block_bytes(bool unit_length) {
  return kBlockRows * (4 + (unit_length ? kSize<T> : 0));
}

// Below, the epilogue of a screen costs more than its products save (counted, not measured).
constexpr std::int64_t kLeastScreened = 32;

template <class T>
bool NearestSearch<T>::screens(const CudaBackend& backend, std::int64_t n_clusters,
                               std::int64_t n_features) {
  return sizeof(T) == sizeof(float) && n_clusters >= kLeastScreened &&
         can_screen(backend, n_features);
}

template <class T>
NearestSearch<T>::NearestSearch(const CudaBackend& backend, std::int64_t n_clusters,
                                std::int64_t n_features, std::int64_t wave_rows)
    : backend_(backend),
      n_features_(n_features),
      n_products_(screens(backend, n_clusters, n_features) ? 1 : 0) {
  if (n_products_ == 0) return;
  constexpr const char* kWhat = "a screen of centroids";
  CudaDevice& device = backend.device;
  fragments_ = DeviceArray<std::uint32_t>(device, screen_elements(n_clusters, n_features), kWhat);
  starts_ = DeviceArray<float>(device, packed_clusters(n_clusters), kWhat);
  lengths_ = DeviceArray<float>(device, packed_clusters(n_clusters), kWhat);
  spreads_ = DeviceArray<float>(device, 2, kWhat);
  doubts_ = DeviceArray<std::uint32_t>(device, wave_rows, "rows to look at again");
  n_doubts_ = DeviceArray<std::uint32_t>(device, 1, "rows to look at again");
}

template <class T>
std::int64_t NearestSearch<T>::bytes(const CudaBackend& backend, std::int64_t n_clusters,
                                     std::int64_t n_features) {
  if (!screens(backend, n_clusters, n_features)) return 0;
  return 4 * (screen_elements(n_clusters, n_features) + 2 * packed_clusters(n_clusters) + 3);
}

template <class T>
std::int64_t NearestSearch<T>::block_bytes(const CudaBackend& backend, std::int64_t n_clusters,
                                           std::int64_t n_features) {
  return screens(backend, n_clusters, n_features) ? 4 * kBlockRows : 0;
}

template <class T>
void NearestSearch<T>::prepare(const DeviceCentroids<T>& centroids) {
  centroids_ = centroids;
  if constexpr (sizeof(T) == sizeof(float)) {
    if (n_products_ > 0) prepare_screen(backend_, n_features_, centroids_, screen());
  }
}

template <class T>
void NearestSearch<T>::find(const ClusterRows<T>& rows, const DeviceDoubts& doubts,
                            std::int32_t* labels, PassCounters* counters) const {
  if constexpr (sizeof(T) == sizeof(float)) {
    if (n_products_ > 0) {
      screen_nearest(backend_, rows, centroids_, screen(), n_products_, doubts, labels, counters);
      return;
    }
  }
  nearest(backend_, rows, centroids_, doubts, labels, counters);
}

template <class T>
void NearestSearch<T>::learn(const PassCounters& counters, std::int64_t n_rows) {
  const auto n = static_cast<double>(n_rows);
  const auto screened = static_cast<double>(counters.n_screened);
  const auto refined = static_cast<double>(counters.n_refined);
  if (n_products_ == 1 && screened > n * 2.0 / 3.0) n_products_ = 3;
  if (n_products_ == 3 && refined > n / 10.0) n_products_ = 0;
}

template <class T>
DeviceNeeds<T>::DeviceNeeds(const Context& context, const RowSource<T>& rows,
                            const Options& options) {
  const std::int64_t n = rows.rows();
  const std::int64_t d = rows.cols();
  const std::int64_t k = options.n_clusters;
  const bool weighted = !options.weights.empty();
  const bool on_device = rows.space() == MemorySpace::device;
  const std::int64_t n_limbs = sizeof(T) == sizeof(float) && !weighted ? 1 : 2;
  const std::int64_t candidates = seeding_candidates(options, n);
  constexpr auto kCounters = static_cast<std::int64_t>(sizeof(PassCounters));
  constexpr auto kSum = static_cast<std::int64_t>(sizeof(DeviceSum));
  results = 8 * checked_product(n_limbs * k, d + 1) + kCounters + kMostTrials * kSum;
  const CudaBackend backend{*context.cuda(), context.threads(), 1};
  fixed = results + DeviceCentroidArrays<T>::bytes(k, d) + DeviceClusterRows<T>::bytes(d) +
          NearestSearch<T>::bytes(backend, k, d) + 8 * (d + 1) + kMostTrials * kSum +
          (weighted ? 8 * n : 0);
  if (options.mini_batch == 0) {
    fixed += 4 * n;
  } else {
    fixed += checked_product(std::min(options.mini_batch, n), kSize<T> * d + 8);
  }
  if (candidates > 0) fixed += kSize<T> * n + 8 * blocks_of(n);
  if (candidates > k) fixed += DeviceCentroidArrays<T>::bytes(candidates, d);
  if (on_device) {
    fixed += checked_product(std::max({candidates, k, options.mini_batch}), kSize<T> * d + 8);
    fixed = std::max(fixed, cuda_scan_bytes(d));
  }
  block = DeviceClusterRows<T>::block_bytes(options.metric == Metric::cosine) +
          NearestSearch<T>::block_bytes(backend, k, d) +
          kBlockRows * (4 + kSize<T>)+8 * kMostTrials;
  FlowNeeds flow;
  flow.n_rows = n;
  flow.row_bytes = kSize<T> * d;
  flow.on_device = on_device;
  flow.chunk_rows = context.options().chunk_rows;
  flow.fused = true;
  flow.record_bytes = block;
  flow.n_multiprocessors = context.cuda()->n_multiprocessors();
  flow.l2_bytes = context.cuda()->l2_bytes();
  flows = device_flows(flow);
}

template <class T>
std::int64_t DeviceNeeds<T>::device_bytes(const RowSource<T>& rows, const DeviceFlow& flow) const {
  return fixed + flow.wave_rows / kBlockRows * block +
         DeviceFeed<T>::shape(rows, false, flow).device_bytes;
}

template <class T>
DeviceFlow DeviceNeeds<T>::choose_flow(const Context& context, const RowSource<T>& rows) const {
  const std::int64_t available = context.cuda()->free_bytes();
  const std::int64_t limit = context.options().memory_limit;
  for (const DeviceFlow& flow : flows) {
    // Upload buffers may have half of what the host may.
    const std::int64_t pinned = DeviceFeed<T>::shape(rows, false, flow).pinned_bytes;
    const bool fits = limit == 0 || pinned <= limit / 2;
    if (device_bytes(rows, flow) <= available && fits) return flow;
  }
  return flows.back();
}

template <class T>
void CudaEngine<T>::plan(const Context& context, const RowSource<T>& rows, const Options& options,
                         Plan& plan) {
  const DeviceNeeds<T> needs(context, rows, options);
  const DeviceFlow flow = needs.choose_flow(context, rows);
  const auto feed = DeviceFeed<T>::shape(rows, false, flow);
  plan.device_bytes = needs.device_bytes(rows, flow);
  plan.chunk_rows = feed.chunk_rows;
  plan.host_bytes =
      feed.pinned_bytes + needs.results + 8 * static_cast<std::int64_t>(options.weights.size());
  check_device_bytes(context, plan.device_bytes,
                     "give it more, use fewer groups or --init random, or compute on the CPU");
}

template void CudaEngine<float>::plan(const Context&, const RowSource<float>&, const Options&,
                                      Plan&);
template void CudaEngine<double>::plan(const Context&, const RowSource<double>&, const Options&,
                                       Plan&);
template class NearestSearch<float>;
template class NearestSearch<double>;
template struct DeviceNeeds<float>;
template struct DeviceNeeds<double>;
template class DeviceCentroidArrays<float>;
template class DeviceCentroidArrays<double>;
template class DeviceClusterRows<float>;
template class DeviceClusterRows<double>;

}  // namespace culatent::kmeans
