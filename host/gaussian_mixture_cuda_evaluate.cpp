#include <cmath>

#include "culatent/error.hpp"
#include "host/gaussian_mixture_cuda.hpp"

namespace culatent::gaussian_mixture {
namespace {

template <class T>
constexpr std::int64_t kSize = static_cast<std::int64_t>(sizeof(T));

std::int64_t blocks_of(std::int64_t n_rows) { return (n_rows + kBlockRows - 1) / kBlockRows; }

// Where the results of a wave go on their way to the caller: straight to the caller's device
// memory, or through arrays of a wave's size to the host's.
template <class T>
class WaveOutputs {
 public:
  WaveOutputs(CudaDevice& device, std::int64_t wave_rows, std::int64_t n_components,
              const Outputs<T>& outputs)
      : n_components_(n_components), outputs_(outputs) {
    if (outputs.space == MemorySpace::device) return;
    if (!outputs.log_prob.empty()) log_prob_ = DeviceArray<T>(device, wave_rows, "results");
    if (outputs.responsibilities.data != nullptr) {
      responsibilities_ =
          DeviceArray<T>(device, checked_product(wave_rows, n_components), "results");
    }
    if (!outputs.labels.empty()) {
      labels_ = DeviceArray<std::int32_t>(device, wave_rows, "results");
    }
  }

  DeviceOutputs<T> at(std::int64_t first) const {
    if (outputs_.space == MemorySpace::host) {
      return {log_prob_.data(), responsibilities_.data(), n_components_, labels_.data()};
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

  // Waits when results go to the host.
  void finish(std::int64_t first, std::int64_t n_rows) {
    if (outputs_.space == MemorySpace::device) return;
    const auto row = static_cast<std::size_t>(first);
    if (log_prob_.size() > 0) log_prob_.download(outputs_.log_prob.data() + row, n_rows);
    if (labels_.size() > 0) labels_.download(outputs_.labels.data() + row, n_rows);
    if (responsibilities_.size() == 0) return;
    const MatrixView<T> target = outputs_.responsibilities.slice(first, n_rows);
    if (target.stride == target.cols) {
      responsibilities_.download(target.data, n_rows * n_components_);
      return;
    }
    Matrix<T> packed(n_rows, n_components_);
    responsibilities_.download(packed.data(), packed.size());
    for (std::int64_t i = 0; i < n_rows; ++i) {
      std::copy_n(&packed(i, 0), n_components_, target.row(i));
    }
  }

 private:
  std::int64_t n_components_;
  const Outputs<T>& outputs_;
  DeviceArray<T> log_prob_, responsibilities_;
  DeviceArray<std::int32_t> labels_;
};

}  // namespace

template <class T>
UpdateStatus cuda_expectation(const Context& context, const CudaBackend& backend,
                              const Model& model, const RowSource<T>& rows, const Frame& frame,
                              const Outputs<T>& outputs) {
  CudaDevice& device = backend.device;
  const std::int64_t k = model.n_components();
  const std::int64_t d = model.n_features();
  const Layout layout(model.covariance, k, d);
  const DeviceFrameArrays<T> device_frame(device, frame);
  DeviceMixture<T> mixture(device, model.covariance, k, d);
  DeviceArray<double> scratch(device, factorise_scratch(model.covariance, k, d), "scratch");
  DeviceArray<UpdateStatus> device_status(device, 1, "status");
  DeviceWave<T> wave(device, layout, model.covariance, k, rows.rows(), false);
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
  // One pass: nothing is gained by keeping the rows.
  DeviceFeed<T> feed(backend, fit_rows, DeviceFeed<T>::shape(context, rows, false, 0));
  WaveOutputs<T> results(device, wave.wave_rows(), k, outputs);
  sums.fill_zero();
  for_each_wave(feed, wave.wave_rows(), [&](const DeviceRows<T>& part, std::int64_t first) {
    log_joint(backend, part, device_frame.frame(), mixture.parameters(), wave.responsibilities(),
              Precision::fp32, whitening);
    normalise(backend, part, device_frame.frame(), mixture.parameters(), wave.responsibilities(),
              wave.log_prob(), wave.partials());
    add_partials(backend, wave.partials().heads, blocks_of(part.n_rows), layout.sums, layout.sums,
                 sums.data());
    write_outputs(backend, part.n_rows, k, wave.responsibilities(), wave.log_prob(),
                  results.at(first));
    results.finish(first, part.n_rows);
  });
  round_sums(backend, sums.data(), layout.sums, values.data());
  std::vector<double> host_values(static_cast<std::size_t>(layout.sums));
  values.download(host_values.data(), layout.sums);
  status.weight = host_values[Layout::kWeight];
  status.log_likelihood = host_values[Layout::kLogLikelihood];
  status.joint = host_values[Layout::kJoint];
  status.entropy = host_values[Layout::kEntropy];
  return status;
}

template UpdateStatus cuda_expectation(const Context&, const CudaBackend&, const Model&,
                                       const RowSource<float>&, const Frame&,
                                       const Outputs<float>&);
template UpdateStatus cuda_expectation(const Context&, const CudaBackend&, const Model&,
                                       const RowSource<double>&, const Frame&,
                                       const Outputs<double>&);

}  // namespace culatent::gaussian_mixture
