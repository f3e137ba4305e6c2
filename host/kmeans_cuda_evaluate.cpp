#include "host/cuda_scan.hpp"
#include "host/device_evaluation.hpp"
#include "host/kmeans_cuda.hpp"
#include "host/wave_outputs.hpp"
#include "kernels/cuda/kmeans_distances.hpp"

namespace culatent::kmeans {
namespace {

std::int64_t blocks_of(std::int64_t n_rows) { return (n_rows + kBlockRows - 1) / kBlockRows; }

// What a wave needs beside its results.
template <class T>
EvaluationNeeds needs_of(const CudaBackend& backend, const Model& model,
                         std::int64_t result_bytes) {
  const std::int64_t k = model.n_clusters();
  const std::int64_t d = model.n_features();
  EvaluationNeeds needs;
  needs.fixed_bytes = DeviceCentroidArrays<T>::bytes(k, d) + DeviceClusterRows<T>::bytes(d) +
                      NearestSearch<T>::bytes(backend, k, d) +
                      static_cast<std::int64_t>(sizeof(PassCounters) + sizeof(DeviceSum));
  needs.tile_bytes = DeviceClusterRows<T>::block_bytes(model.metric == Metric::cosine) +
                     NearestSearch<T>::block_bytes(backend, k, d) +
                     kBlockRows * static_cast<std::int64_t>(sizeof(std::int32_t));
  needs.record_bytes = 8;
  needs.result_bytes = result_bytes;
  return needs;
}

}  // namespace

template <class T>
Evaluated cuda_evaluate(const Context& context, const Model& model, const RowSource<T>& rows,
                        const Outputs<T>& outputs) {
  const std::int64_t k = model.n_clusters();
  const RowOutputs<T> wanted{outputs.squared_distances, outputs.distances, outputs.labels,
                             outputs.space};
  const std::int64_t result_bytes = 2 * WaveOutputs<T>::row_bytes(k, wanted);
  const CudaBackend one_worker{*context.cuda(), context.threads(), 1};
  const Evaluation plan =
      plan_evaluation(context, rows, needs_of<T>(one_worker, model, result_bytes));
  const CudaBackend backend{*context.cuda(), context.threads(), plan.n_workers};
  CudaDevice& device = backend.device;
  const DataSummary data =
      cuda_scan(context, backend, rows, {}, {.can_miss = false}, plan.device_bytes);
  const Coordinates coordinates = model_coordinates<T>(model, data);
  const double unit = coordinates.unit_length ? 1.0 : 1.0 / coordinates.frame.scale.front();

  const FitRows<T> plain{rows, {}};
  DeviceFeed<T> feed(backend, plain, DeviceFeed<T>::shape(rows, false, plan.flow));
  const DeviceClusterRows<T> cluster_rows(device, coordinates, plan.flow.tile_rows);
  DeviceCentroidArrays<T> centroids(device, k, model.n_features());
  NearestSearch<T> search(backend, k, model.n_features(), plan.flow.tile_rows);
  DeviceArray<std::int32_t> labels(device, plan.flow.tile_rows, "labels");
  DeviceArray<double> partials(device, plan.flow.tile_rows / kBlockRows, "sums of a wave");
  DeviceArray<DeviceSum> inertia(device, 1, "sums");
  DeviceArray<PassCounters> counters(device, 1, "counters");
  WaveOutputs<T> results(backend, plan.flow.tile_rows, rows.rows(), k, wanted);
  const PassCounters none;
  counters.upload(&none, 1);
  inertia.fill_zero();
  centroids.set(backend, to_coordinates<T>(model.centroids, coordinates));
  search.prepare(centroids.view());
  feed.for_each_chunk([&](const DeviceRows<T>& chunk, std::int64_t first_row) {
    cluster_rows.for_each_wave(
        backend, chunk.data, chunk.n_rows, chunk.stride, nullptr, first_row, counters.data(),
        [&](const ClusterRows<T>& wave, std::int64_t first) {
          const DeviceOutputs<T> out = results.begin(first);
          std::int32_t* const label = out.labels != nullptr ? out.labels : labels.data();
          search.find(wave, cluster_rows.doubts(), label, nullptr);
          own_distances(backend, wave, centroids.view().values, unit, label, out.values,
                        partials.data());
          add_partials(backend, partials.data(), blocks_of(wave.n_rows), 1, 1, inertia.data());
          if (out.matrix != nullptr) {
            all_distances(backend, wave, centroids.view(), unit, out.matrix, out.stride);
          }
          results.send(wave.n_rows);
        });
  });
  results.finish();
  DeviceSum bins;
  PassCounters counted;
  inertia.download(&bins, 1);
  counters.download(&counted, 1);
  ExactSums sum(1);
  sum.merge({&bins, 1});
  return {sum.value(0), static_cast<std::int64_t>(counted.zero_row)};  // kNoRow: -1
}

#define CULATENT_INSTANTIATE(T)                                                       \
  template Evaluated cuda_evaluate(const Context&, const Model&, const RowSource<T>&, \
                                   const Outputs<T>&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::kmeans
