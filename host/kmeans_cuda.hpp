#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "host/device_feed.hpp"
#include "host/kmeans_method.hpp"
#include "kernels/cuda/download.hpp"
#include "kernels/cuda/exact_sums.hpp"
#include "kernels/cuda/kmeans_screen.hpp"

/// K-means on a CUDA device: what lies there, and the engine of a fit.
namespace culatent::kmeans {

/// Centroids, or candidates, in device memory.
template <class T>
class DeviceCentroidArrays {
 public:
  DeviceCentroidArrays(CudaDevice& device, std::int64_t n_clusters, std::int64_t n_features);
  static std::int64_t bytes(std::int64_t n_clusters, std::int64_t n_features);

  /// At most n_clusters of them.
  void set(const CudaBackend& backend, const Matrix<T>& centroids);
  const DeviceCentroids<T>& view() const { return view_; }
  std::int64_t capacity() const { return capacity_; }

 private:
  std::int64_t capacity_;
  DeviceArray<T> values_, packed_, offsets_, longest_;
  DeviceCentroids<T> view_;
};

/// Coordinates in device memory, and what a wave of rows needs for its labels.
template <class T>
class DeviceClusterRows {
 public:
  DeviceClusterRows(CudaDevice& device, const Coordinates& coordinates, std::int64_t wave_rows);
  static std::int64_t bytes(std::int64_t n_features);
  /// Of kBlockRows rows of a wave.
  static std::int64_t block_bytes(bool unit_length);

  DeviceDoubts doubts() const { return {doubts_.data(), n_doubts_.data()}; }
  /// Calls visit(rows, first row) for rows in waves; `first` is the first of them all. Rows of
  /// length 0 go to `counters` where that is given.
  template <class Visit>
  void for_each_wave(const CudaBackend& backend, const T* data, std::int64_t n_rows,
                     std::int64_t stride, const double* weights, std::int64_t first,
                     PassCounters* counters, Visit&& visit) const;

 private:
  const std::int64_t wave_rows_;
  const std::int64_t n_features_;
  const T scale_;
  DeviceArray<T> offset_, factors_;
  DeviceArray<std::uint32_t> doubts_, n_doubts_;
};

/// How the nearest centroids are found: in float, where the device has the tensor cores and there
/// are enough centroids, by a screen of bf16 for as long as few rows stay in doubt. The labels are
/// the same in any case.
template <class T>
class NearestSearch {
 public:
  /// `device` must outlive it.
  NearestSearch(const CudaBackend& backend, std::int64_t n_clusters, std::int64_t n_features,
                std::int64_t wave_rows);
  static std::int64_t bytes(const CudaBackend& backend, std::int64_t n_clusters,
                            std::int64_t n_features);
  /// Of kBlockRows rows of a wave.
  static std::int64_t block_bytes(const CudaBackend& backend, std::int64_t n_clusters,
                                  std::int64_t n_features);

  /// After DeviceCentroidArrays::set().
  void prepare(const DeviceCentroids<T>& centroids);
  /// nearest() of the centroids of prepare().
  void find(const ClusterRows<T>& rows, const DeviceDoubts& doubts, std::int32_t* labels,
            PassCounters* counters) const;
  /// Chooses for the next pass by what this one counted over n_rows rows.
  void learn(const PassCounters& counters, std::int64_t n_rows);

 private:
  static bool screens(const CudaBackend& backend, std::int64_t n_clusters, std::int64_t n_features);

  DeviceScreen screen() const {
    return {fragments_.data(),
            starts_.data(),
            lengths_.data(),
            spreads_.data(),
            {doubts_.data(), n_doubts_.data()}};
  }

  const CudaBackend backend_;
  const std::int64_t n_features_;
  int n_products_;  // 0: no screen
  DeviceArray<std::uint32_t> fragments_, doubts_;
  DeviceArray<float> starts_, lengths_, spreads_;
  DeviceArray<std::uint32_t> n_doubts_;
  DeviceCentroids<T> centroids_;
};

/// What a fit holds on the device.
template <class T>
struct DeviceNeeds {
  DeviceNeeds(const Context& context, const RowSource<T>& rows, const Options& options);
  std::int64_t device_bytes(const RowSource<T>& rows, const DeviceFlow& flow) const;
  /// The first flow that the free memory holds, or else the smallest.
  DeviceFlow choose_flow(const Context& context, const RowSource<T>& rows) const;

  std::int64_t fixed = 0;    ///< bytes that no flow changes
  std::int64_t block = 0;    ///< of kBlockRows rows of a wave
  std::int64_t results = 0;  ///< that come back from a pass
  std::vector<DeviceFlow> flows;
};
/// Candidates that greedy k-means++ tries at a time: 2 + ⌊log K⌋, so never more.
inline constexpr std::int64_t kMostTrials = 32;

/// The rows of a fit on a device; the members are those of CpuEngine.
template <class T>
class CudaEngine {
 public:
  CudaEngine(const Context& context, const Plan& plan, const FitRows<T>& rows,
             const Coordinates& coordinates, const FixedPoint& fixed, const Options& options);

  static DataSummary scan(const Context& context, const Plan& plan, const RowSource<T>& rows,
                          std::span<const double> weights, const ScanOptions& options);
  /// Fills the device's part of a plan. Throws out_of_memory when it does not fit.
  static void plan(const Context& context, const RowSource<T>& rows, const Options& options,
                   Plan& plan);

  void pass(const Matrix<T>& centroids, Statistics& statistics);
  std::int64_t first_zero_row();
  void pass_batch(std::span<const std::int64_t> rows, const Matrix<T>& centroids,
                  Statistics& statistics);
  std::vector<std::int64_t> farthest(const Matrix<T>& centroids, std::int64_t count,
                                     std::span<const std::int64_t> among, double nothing);
  std::vector<double> weights_near(const Matrix<T>& candidates);
  Matrix<T> fetch(std::span<const std::int64_t> rows);

  void begin_seeding();
  std::vector<double> lower(const Matrix<T>& candidates);
  std::vector<double> try_out(const Matrix<T>& candidates);
  std::vector<double> shares(std::int64_t first, std::int64_t count) const;
  void end_seeding();

 private:
  template <class Visit>
  void for_each_wave(PassCounters* counters, Visit&& visit);
  template <class Visit>
  void for_each_batch_wave(std::int64_t n_rows, PassCounters* counters, Visit&& visit);
  const DeviceCentroids<T>& place_candidates(const Matrix<T>& candidates);
  void gather_here(std::span<const std::int64_t> rows, T* out);
  void load_batch(std::span<const std::int64_t> rows);
  void begin_pass(const Matrix<T>& centroids);
  void add_wave(const ClusterRows<T>& rows, std::int32_t* labels);
  void finish_pass(std::int64_t n_rows, Statistics& statistics);

  const CudaBackend backend_;
  const FitRows<T>& rows_;
  const Coordinates& coordinates_;
  const FixedPoint& fixed_;
  const DeviceNeeds<T> needs_;
  const DeviceFlow flow_;
  const FitRows<T> plain_;  // without weights: these are on the device in double
  DeviceFeed<T> feed_;
  DeviceClusterRows<T> cluster_rows_;
  DeviceCentroidArrays<T> centroids_;
  NearestSearch<T> search_;
  std::optional<DeviceCentroidArrays<T>> candidates_;  // while there are more of them
  DeviceArray<double> weights_;                        // [N], scaled; none when all are 1
  DeviceArray<std::int32_t> labels_;       // [N] of the last pass; none with mini-batches
  DeviceArray<std::int32_t> wave_labels_;  // of rows whose labels are not kept
  DeviceArray<T> distances_;               // of a wave
  DeviceArray<T> batch_;                   // the rows of a mini-batch
  DeviceArray<double> batch_weights_;
  DeviceArray<std::int64_t> index_;  // of rows that are gathered
  DeviceArray<double> units_;
  DeviceArray<std::int64_t> sums_;
  DeviceArray<PassCounters> counters_;
  DeviceArray<double> partials_;  // of a wave
  DeviceArray<DeviceSum> totals_;
  DownloadLane results_;            // sums_, then counters_, then the inertia's sum
  DeviceArray<T> least_;            // [N] while seeds are chosen
  DeviceArray<double> potentials_;  // of blocks, likewise
};

struct Evaluated {
  double inertia = 0.0;
  std::int64_t zero_row = -1;  ///< the first row without a direction (cosine)
};
/// evaluate() on a device.
template <class T>
Evaluated cuda_evaluate(const Context& context, const Model& model, const RowSource<T>& rows,
                        const Outputs<T>& outputs);

template <class T>
template <class Visit>
void CudaEngine<T>::for_each_wave(PassCounters* counters, Visit&& visit) {
  feed_.for_each_chunk([&](const auto& rows, std::int64_t first) {
    const double* weights = weights_.size() > 0 ? weights_.data() + first : nullptr;
    cluster_rows_.for_each_wave(backend_, rows.data, rows.n_rows, rows.stride, weights, first,
                                counters, visit);
  });
}

template <class T>
template <class Visit>
void DeviceClusterRows<T>::for_each_wave(const CudaBackend& backend, const T* data,
                                         std::int64_t n_rows, std::int64_t stride,
                                         const double* weights, std::int64_t first,
                                         PassCounters* counters, Visit&& visit) const {
  for (std::int64_t at = 0; at < n_rows; at += wave_rows_) {
    ClusterRows<T> rows;
    rows.data = data + at * stride;
    rows.weights = weights != nullptr ? weights + at : nullptr;
    rows.n_rows = std::min(wave_rows_, n_rows - at);
    rows.n_features = n_features_;
    rows.stride = stride;
    rows.scale = scale_;
    rows.offset = offset_.data();
    if (factors_.size() > 0) {
      unit_factors(backend, rows, first + at, factors_.data(), counters);
      rows.factors = factors_.data();
    }
    visit(rows, first + at);
  }
}

}  // namespace culatent::kmeans
