#include <algorithm>

#include "host/gaussian_mixture_cuda.hpp"
#include "host/wave_outputs.hpp"

namespace culatent::gaussian_mixture {
namespace {

std::int64_t blocks_of(std::int64_t n_rows) { return (n_rows + kBlockRows - 1) / kBlockRows; }

template <class T>
RowOutputs<T> row_outputs(const Outputs<T>& outputs) {
  return {outputs.log_prob, outputs.responsibilities, outputs.labels, outputs.space};
}

}  // namespace

template <class T>
Evaluation cuda_evaluation(const Context& context, const Model& model, const RowSource<T>& rows,
                           const Outputs<T>& outputs) {
  const std::int64_t k = model.n_components();
  const std::int64_t d = model.n_features();
  const Layout layout(model.covariance, k, d);
  EvaluationNeeds needs;
  needs.fixed_bytes =
      DeviceFrameArrays<T>::bytes(d) + DeviceMixture<T>::bytes(model.covariance, k, d) +
      8 * factorise_scratch(model.covariance, k, d) +
      static_cast<std::int64_t>(sizeof(UpdateStatus) +
                                (sizeof(DeviceSum) + 8) * static_cast<std::size_t>(layout.sums));
  needs.tile_bytes = DeviceWave<T>::tile_bytes(k);
  needs.record_bytes = DeviceWave<T>::record_bytes(layout, model.covariance, false);
  needs.result_bytes = 2 * WaveOutputs<T>::row_bytes(k, row_outputs(outputs));
  return plan_evaluation(context, rows, needs);
}

template <class T>
UpdateStatus cuda_expectation(const CudaBackend& backend, const Model& model,
                              const RowSource<T>& rows, const Frame& frame, const DeviceFlow& flow,
                              const Outputs<T>& outputs) {
  CudaDevice& device = backend.device;
  const std::int64_t k = model.n_components();
  const std::int64_t d = model.n_features();
  const Layout layout(model.covariance, k, d);
  const DeviceFrameArrays<T> device_frame(device, frame);
  DeviceMixture<T> mixture(device, model.covariance, k, d);
  DeviceArray<double> scratch(device, factorise_scratch(model.covariance, k, d), "scratch");
  DeviceArray<UpdateStatus> device_status(device, 1, "status");
  DeviceWave<T> wave(device, layout, model.covariance, k, flow, false);
  wave.hold_responsibilities();
  DeviceArray<DeviceSum> sums(device, layout.sums, "sums");
  DeviceArray<double> values(device, layout.sums, "sums");

  mixture.upload(model);
  device_status.fill_zero();
  factorise(backend, mixture.model(), device_frame.centre(), device_frame.scale(),
            device_frame.log_scale(), scratch.data(), mixture.parameters(), device_status.data());
  UpdateStatus status;
  device_status.download(&status, 1);
  if (status.n_failed > 0) {
    std::vector<std::int64_t> failed;
    const CpuBackend host{backend.threads, backend.n_workers};
    static_cast<void>(prepare<T>(host, model, frame, false, failed));
    if (failed.empty()) failed.push_back(0);
    throw_singular(model, failed, "model");
  }

  const Whitening whitening =
      affordable<T>(model.covariance, d, Precision::fp32, status.offset_ratio).whitening;
  const FitRows<T> fit_rows{rows, {}};
  DeviceFeed<T> feed(backend, fit_rows, DeviceFeed<T>::shape(rows, false, flow));
  WaveOutputs<T> results(backend, flow.tile_rows, rows.rows(), k, row_outputs(outputs));
  sums.fill_zero();
  for_each_wave(feed, flow.tile_rows, [&](const DeviceRows<T>& part, std::int64_t first) {
    log_joint(backend, part, device_frame.frame(), mixture.parameters(), wave.responsibilities(),
              Precision::fp32, whitening);
    normalise(backend, part, device_frame.frame(), mixture.parameters(), wave.responsibilities(),
              wave.log_prob(), wave.partials());
    add_partials(backend, wave.partials().heads, blocks_of(part.n_rows), layout.sums, layout.sums,
                 sums.data());
    write_outputs(backend, part.n_rows, k, wave.responsibilities(), wave.log_prob(),
                  results.begin(first));
    results.send(part.n_rows);
  });
  results.finish();
  round_sums(backend, sums.data(), layout.sums, values.data());
  std::vector<double> host_values(static_cast<std::size_t>(layout.sums));
  values.download(host_values.data(), layout.sums);
  status.weight = host_values[Layout::kWeight];
  status.log_likelihood = host_values[Layout::kLogLikelihood];
  status.joint = host_values[Layout::kJoint];
  status.entropy = host_values[Layout::kEntropy];
  return status;
}

#define CULATENT_INSTANTIATE(T)                                                                 \
  template Evaluation cuda_evaluation(const Context&, const Model&, const RowSource<T>&,        \
                                      const Outputs<T>&);                                       \
  template UpdateStatus cuda_expectation(const CudaBackend&, const Model&, const RowSource<T>&, \
                                         const Frame&, const DeviceFlow&, const Outputs<T>&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::gaussian_mixture
