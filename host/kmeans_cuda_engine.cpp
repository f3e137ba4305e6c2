#include <algorithm>
#include <cstring>

#include "host/cuda_scan.hpp"
#include "host/kmeans_cuda.hpp"
#include "host/kmeans_engine.hpp"
#include "kernels/cuda/scan.hpp"

namespace culatent::kmeans {
namespace {

constexpr auto kCountersBytes = static_cast<std::int64_t>(sizeof(PassCounters));
constexpr auto kSumsBytes = kMostTrials * static_cast<std::int64_t>(sizeof(DeviceSum));

std::int64_t blocks_of(std::int64_t n_rows) { return (n_rows + kBlockRows - 1) / kBlockRows; }

}  // namespace

template <class T>
CudaEngine<T>::CudaEngine(const Context& context, const Plan& plan, const FitRows<T>& rows,
                          const Coordinates& coordinates, const FixedPoint& fixed,
                          const Options& options)
    : backend_{*context.cuda(), context.threads(), plan.n_workers},
      rows_(rows),
      coordinates_(coordinates),
      fixed_(fixed),
      needs_(context, rows.source, options),
      flow_(needs_.choose_flow(context, rows.source)),
      plain_{rows.source, {}},
      feed_(backend_, plain_, DeviceFeed<T>::shape(rows.source, false, flow_)),
      cluster_rows_(backend_.device, coordinates, flow_.wave_rows),
      centroids_(backend_.device, options.n_clusters, rows.source.cols()),
      search_(backend_, options.n_clusters, rows.source.cols(), flow_.wave_rows),
      wave_labels_(backend_.device, flow_.wave_rows, "labels"),
      distances_(backend_.device, flow_.wave_rows, "distances"),
      units_(backend_.device, fixed.n_columns(), "coordinates"),
      sums_(backend_.device,
            checked_product(fixed.n_limbs * std::int64_t{options.n_clusters}, fixed.n_columns()),
            "sums"),
      counters_(backend_.device, 1, "counters"),
      partials_(backend_.device, flow_.wave_rows / kBlockRows * kMostTrials, "sums of a wave"),
      totals_(backend_.device, kMostTrials, "sums"),
      results_(backend_.device, needs_.results) {
  CudaDevice& device = backend_.device;
  const std::int64_t n = rows.source.rows();
  units_.upload(fixed.units.data(), units_.size());
  wave_labels_.fill_zero();
  if (options.mini_batch == 0) {
    labels_ = DeviceArray<std::int32_t>(device, n, "labels");
    labels_.fill_zero();
  } else {
    const std::int64_t count = std::min(options.mini_batch, n);
    batch_ = DeviceArray<T>(device, checked_product(count, rows.source.cols()), "a mini-batch");
    batch_weights_ = DeviceArray<double>(device, count, "a mini-batch");
  }
  if (rows.weights.empty()) return;
  weights_ = DeviceArray<double>(device, n, "the row weights");
  std::vector<double> scaled(rows.weights.begin(), rows.weights.end());
  for (double& weight : scaled) weight *= rows.weight_scale;
  weights_.upload(scaled.data(), n);
}

template <class T>
DataSummary CudaEngine<T>::scan(const Context& context, const Plan& plan, const RowSource<T>& rows,
                                std::span<const double> weights, const ScanOptions& options) {
  const CudaBackend backend{*context.cuda(), context.threads(), plan.n_workers};
  return cuda_scan(context, backend, rows, weights, options, plan.device_bytes);
}

template <class T>
void CudaEngine<T>::begin_pass(const Matrix<T>& centroids) {
  const PassCounters none;
  centroids_.set(backend_, centroids);
  search_.prepare(centroids_.view());
  sums_.fill_zero();
  totals_.fill_zero();
  counters_.upload(&none, 1);
}

template <class T>
void CudaEngine<T>::add_wave(const ClusterRows<T>& rows, std::int32_t* labels) {
  const DeviceCentroids<T>& centroids = centroids_.view();
  search_.find(rows, cluster_rows_.doubts(), labels, counters_.data());
  own_distances(backend_, rows, centroids.values, 1.0, labels, static_cast<T*>(nullptr),
                partials_.data());
  // As many sums side by side as keep threads busy; they are added up at the end.
  const std::int64_t n_blocks = blocks_of(rows.n_rows);
  const std::int64_t whole = n_blocks / kMostTrials;
  const double* rest = partials_.data() + whole * kMostTrials;
  add_partials(backend_, partials_.data(), whole, kMostTrials, kMostTrials, totals_.data());
  add_partials(backend_, rest, 1, kMostTrials, n_blocks % kMostTrials, totals_.data());
  add_members(backend_, rows, labels, {units_.data(), fixed_.fine, fixed_.n_limbs},
              centroids.n_clusters, sums_.data());
}

template <class T>
void CudaEngine<T>::finish_pass(std::int64_t n_rows, Statistics& statistics) {
  const std::int64_t sums_bytes = 8 * sums_.size();
  results_.fetch(sums_.data(), 0, sums_bytes);
  results_.fetch(counters_.data(), sums_bytes, kCountersBytes);
  results_.fetch(totals_.data(), sums_bytes + kCountersBytes, kSumsBytes);
  const auto* const from = static_cast<const char*>(results_.host());
  PassCounters counters;
  DeviceSum inertia[kMostTrials];
  std::memcpy(statistics.sums.data(), from, static_cast<std::size_t>(sums_bytes));
  std::memcpy(&counters, from + sums_bytes, sizeof(counters));
  std::memcpy(inertia, from + sums_bytes + kCountersBytes, sizeof(inertia));
  for (const DeviceSum& sum : inertia) statistics.inertia.merge({&sum, 1});
  statistics.n_moved = static_cast<std::int64_t>(counters.n_moved);
  statistics.n_refined =
      static_cast<std::int64_t>(std::max(counters.n_refined, counters.n_screened));
  statistics.zero_row = static_cast<std::int64_t>(counters.zero_row);  // kNoRow: -1
  search_.learn(counters, n_rows);
}

template <class T>
void CudaEngine<T>::pass(const Matrix<T>& centroids, Statistics& statistics) {
  statistics.clear();
  begin_pass(centroids);
  for_each_wave(counters_.data(), [&](const ClusterRows<T>& rows, std::int64_t first) {
    add_wave(rows, labels_.size() > 0 ? labels_.data() + first : wave_labels_.data());
  });
  finish_pass(rows_.source.rows(), statistics);
}

template <class T>
std::int64_t CudaEngine<T>::first_zero_row() {
  PassCounters counters;
  counters_.upload(&counters, 1);
  for_each_wave(counters_.data(), [](const ClusterRows<T>&, std::int64_t) {});
  counters_.download(&counters, 1);
  return static_cast<std::int64_t>(counters.zero_row);  // kNoRow: -1
}

// Rows that lie on the device, one below the other in `out`.
template <class T>
void CudaEngine<T>::gather_here(std::span<const std::int64_t> rows, T* out) {
  const std::int64_t d = rows_.source.cols();
  const auto count = static_cast<std::int64_t>(rows.size());
  const MatrixView<const T> all =
      rows_.source.read(0, MatrixView<T>(nullptr, rows_.source.rows(), d));
  if (index_.size() < count) index_ = DeviceArray<std::int64_t>(backend_.device, count, "rows");
  index_.upload(rows.data(), count);
  gather_rows(backend_, all.data, all.stride, d, index_.data(), count, out);
}

template <class T>
void CudaEngine<T>::load_batch(std::span<const std::int64_t> rows) {
  if (rows_.source.space() == MemorySpace::device) {
    gather_here(rows, batch_.data());
  } else {
    const CpuBackend host{backend_.threads, backend_.n_workers};
    const Matrix<T> batch = gather(host, rows_.source, rows);
    batch_.upload(batch.data(), batch.size());
  }
  if (weights_.size() == 0) return;
  const std::vector<double> weights = weights_of(rows_, rows);
  batch_weights_.upload(weights.data(), static_cast<std::int64_t>(weights.size()));
}

template <class T>
template <class Visit>
void CudaEngine<T>::for_each_batch_wave(std::int64_t n_rows, PassCounters* counters,
                                        Visit&& visit) {
  const double* weights = weights_.size() > 0 ? batch_weights_.data() : nullptr;
  cluster_rows_.for_each_wave(backend_, batch_.data(), n_rows, rows_.source.cols(), weights, 0,
                              counters, visit);
}

template <class T>
void CudaEngine<T>::pass_batch(std::span<const std::int64_t> rows, const Matrix<T>& centroids,
                               Statistics& statistics) {
  statistics.clear();
  load_batch(rows);
  begin_pass(centroids);
  for_each_batch_wave(
      static_cast<std::int64_t>(rows.size()), counters_.data(),
      [&](const ClusterRows<T>& wave, std::int64_t) { add_wave(wave, wave_labels_.data()); });
  finish_pass(static_cast<std::int64_t>(rows.size()), statistics);
}

template <class T>
std::vector<std::int64_t> CudaEngine<T>::farthest(const Matrix<T>& centroids, std::int64_t count,
                                                  std::span<const std::int64_t> among,
                                                  double nothing) {
  const double unit = coordinates_.unit_length ? 1.0 : 1.0 / coordinates_.frame.scale.front();
  const RowChunk<T> all{rows_.source, 0, rows_.source.rows(), rows_.weights, rows_.weight_scale};
  const auto row_of = [&](std::int64_t at) {
    return among.empty() ? at : among[static_cast<std::size_t>(at)];
  };
  FarthestRows far(count, nothing);
  std::vector<T> distances(static_cast<std::size_t>(kStepRows));
  const auto look = [&](const ClusterRows<T>& rows, std::int64_t first) {
    nearest(backend_, rows, centroids_.view(), cluster_rows_.doubts(), wave_labels_.data(),
            static_cast<PassCounters*>(nullptr));
    own_distances(backend_, rows, centroids_.view().values, unit, wave_labels_.data(),
                  distances_.data(), static_cast<double*>(nullptr));
    for (std::int64_t at = 0; at < rows.n_rows; at += kStepRows) {
      const std::int64_t step = std::min(kStepRows, rows.n_rows - at);
      backend_.device.to_host(distances.data(), distances_.data() + at,
                              step * static_cast<std::int64_t>(sizeof(T)));
      for (std::int64_t i = 0; i < step; ++i) {
        far.meet(first + at + i, static_cast<double>(distances[static_cast<std::size_t>(i)]),
                 all.weight(row_of(first + at + i)));
      }
    }
  };
  centroids_.set(backend_, centroids);
  if (among.empty()) {
    for_each_wave(nullptr, look);
  } else {
    load_batch(among);
    for_each_batch_wave(static_cast<std::int64_t>(among.size()), nullptr, look);
  }
  std::vector<std::int64_t> rows = far.take();
  for (std::int64_t& row : rows) row = row_of(row);
  return rows;
}

template <class T>
Matrix<T> CudaEngine<T>::fetch(std::span<const std::int64_t> rows) {
  Matrix<T> result;
  if (rows_.source.space() == MemorySpace::device) {
    result = Matrix<T>(static_cast<std::int64_t>(rows.size()), rows_.source.cols());
    DeviceArray<T> gathered(backend_.device, result.size(), "rows");
    gather_here(rows, gathered.data());
    gathered.download(result.data(), result.size());
  } else {
    result = gather(CpuBackend{backend_.threads, backend_.n_workers}, rows_.source, rows);
  }
  place(coordinates_, result);
  return result;
}

template class CudaEngine<float>;
template class CudaEngine<double>;

}  // namespace culatent::kmeans
