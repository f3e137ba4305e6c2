#include <algorithm>
#include <cmath>
#include <memory>

#include "culatent/error.hpp"
#include "host/cuda_scan.hpp"
#include "host/gaussian_mixture_cuda.hpp"
#include "kernels/cuda/download.hpp"

namespace culatent::gaussian_mixture {
namespace {

template <class T>
constexpr std::int64_t kSize = static_cast<std::int64_t>(sizeof(T));

std::int64_t blocks_of(std::int64_t n_rows) { return (n_rows + kBlockRows - 1) / kBlockRows; }

// Where the results of a wave go on their way to the caller: straight to the caller's device
// memory, or to the host's through a wave's arrays and a pinned buffer, of which there are two: one
// wave is computed while the one before is copied and the one before that is given to the caller.
template <class T>
class WaveOutputs {
 public:
  WaveOutputs(const CudaBackend& backend, std::int64_t wave_rows, std::int64_t n_rows,
              std::int64_t n_components, const Outputs<T>& outputs)
      : backend_(backend), n_components_(n_components), outputs_(outputs) {
    if (outputs.space == MemorySpace::device) return;
    CudaDevice& device = backend.device;
    for (int i = 0; i < (wave_rows < n_rows ? 2 : 1); ++i) {
      Lane& lane = lanes_[i];
      if (!outputs.log_prob.empty()) lane.log_prob = DeviceArray<T>(device, wave_rows, "results");
      if (outputs.responsibilities.data != nullptr) {
        lane.responsibilities =
            DeviceArray<T>(device, checked_product(wave_rows, n_components), "results");
      }
      if (!outputs.labels.empty()) {
        lane.labels = DeviceArray<std::int32_t>(device, wave_rows, "results");
      }
      const std::int64_t bytes = lane.end();
      if (bytes > 0) lane.download = std::make_unique<DownloadLane>(device, bytes);
    }
  }

  // Of a row, in each lane; on the device and pinned.
  static std::int64_t row_bytes(std::int64_t n_components, const Outputs<T>& outputs) {
    if (outputs.space == MemorySpace::device) return 0;
    std::int64_t bytes = outputs.log_prob.empty() ? 0 : kSize<T>;
    if (!outputs.labels.empty()) bytes += kSize<std::int32_t>;
    if (outputs.responsibilities.data != nullptr) bytes += checked_product(kSize<T>, n_components);
    return bytes;
  }

  // Where the results of a wave that begins at row `first` go. Waits for the wave before the last.
  DeviceOutputs<T> begin(std::int64_t first) {
    if (outputs_.space == MemorySpace::host) {
      if (lanes_[1].download != nullptr) turn_ = 1 - turn_;
      Lane& lane = lanes_[turn_];
      deliver(lane);
      lane.first = first;
      return {lane.log_prob.data(), lane.responsibilities.data(), n_components_,
              lane.labels.data()};
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

  // Sends what the launches since begin() write on its way.
  void send(std::int64_t n_rows) {
    Lane& lane = lanes_[turn_];
    if (lane.download == nullptr) return;
    lane.n_rows = n_rows;
    const auto fetch = [&](const auto& array, std::int64_t offset, std::int64_t count) {
      if (array.size() == 0) return;
      lane.download->fetch(array.data(), offset, count * std::int64_t{sizeof(*array.data())});
    };
    fetch(lane.responsibilities, 0, n_rows * n_components_);
    fetch(lane.log_prob, lane.log_prob_at(), n_rows);
    fetch(lane.labels, lane.labels_at(), n_rows);
  }

  // Waits until the caller has everything.
  void finish() {
    deliver(lanes_[1 - turn_]);
    deliver(lanes_[turn_]);
  }

 private:
  // A wave's results on the device, then in pinned memory: responsibilities, log_prob, labels.
  struct Lane {
    std::int64_t log_prob_at() const { return responsibilities.size() * kSize<T>; }
    std::int64_t labels_at() const { return log_prob_at() + log_prob.size() * kSize<T>; }
    std::int64_t end() const { return labels_at() + labels.size() * kSize<std::int32_t>; }

    DeviceArray<T> log_prob, responsibilities;
    DeviceArray<std::int32_t> labels;
    std::unique_ptr<DownloadLane> download;  // gone before the arrays that it reads
    std::int64_t first = 0, n_rows = 0;      // of a wave that the caller has not got yet
  };

  void deliver(Lane& lane) {
    if (lane.n_rows == 0) return;
    const auto* const from = static_cast<const char*>(lane.download->host());
    const auto* const resp = reinterpret_cast<const T*>(from);
    const auto* const log_prob = reinterpret_cast<const T*>(from + lane.log_prob_at());
    const auto* const labels = reinterpret_cast<const std::int32_t*>(from + lane.labels_at());
    backend_.threads.parallel_for(
        blocks_of(lane.n_rows), backend_.n_workers, [&](std::int64_t block, int) {
          const std::int64_t begin = block * kBlockRows;
          const std::int64_t end = std::min(lane.n_rows, begin + kBlockRows);
          const std::int64_t to = lane.first + begin;
          if (!outputs_.log_prob.empty()) {
            std::copy(log_prob + begin, log_prob + end, outputs_.log_prob.data() + to);
          }
          if (!outputs_.labels.empty()) {
            std::copy(labels + begin, labels + end, outputs_.labels.data() + to);
          }
          if (outputs_.responsibilities.data == nullptr) return;
          for (std::int64_t i = begin; i < end; ++i) {
            std::copy_n(resp + i * n_components_, n_components_,
                        outputs_.responsibilities.row(lane.first + i));
          }
        });
    lane.n_rows = 0;
  }

  const CudaBackend backend_;
  std::int64_t n_components_;
  const Outputs<T>& outputs_;
  Lane lanes_[2];
  int turn_ = 0;
};

}  // namespace

template <class T>
Evaluation cuda_evaluation(const Context& context, const Model& model, const RowSource<T>& rows,
                           const Outputs<T>& outputs) {
  const CudaDevice& device = *context.cuda();
  const std::int64_t k = model.n_components();
  const std::int64_t d = model.n_features();
  const Layout layout(model.covariance, k, d);
  // Both lanes of results.
  const std::int64_t result_bytes = 2 * WaveOutputs<T>::row_bytes(k, outputs);
  FlowNeeds needs;
  needs.n_rows = rows.rows();
  needs.row_bytes = kSize<T> * d;
  needs.on_device = rows.space() == MemorySpace::device;
  needs.once = true;
  needs.chunk_rows = context.options().chunk_rows;
  needs.tile_bytes = DeviceWave<T>::tile_bytes(k) + kBlockRows * result_bytes;
  needs.record_bytes = DeviceWave<T>::record_bytes(layout, model.covariance, false);
  needs.n_multiprocessors = device.n_multiprocessors();
  needs.l2_bytes = device.l2_bytes();
  const std::int64_t fixed =
      DeviceFrameArrays<T>::bytes(d) + DeviceMixture<T>::bytes(model.covariance, k, d) +
      8 * factorise_scratch(model.covariance, k, d) +
      static_cast<std::int64_t>(sizeof(UpdateStatus) +
                                (sizeof(DeviceSum) + 8) * static_cast<std::size_t>(layout.sums));
  const std::int64_t available = device.free_bytes();
  const std::int64_t limit = context.options().memory_limit;
  // What a thread reads rows into when it looks at them before.
  const std::int64_t buffer = rows.in_place() ? 0 : checked_product(kBlockRows, needs.row_bytes);
  Evaluation result;
  result.n_workers = context.n_threads();
  while (limit > 0 && result.n_workers > 1 && result.n_workers * buffer > limit) {
    --result.n_workers;
  }
  for (const DeviceFlow& flow : device_flows(needs)) {
    const auto feed = DeviceFeed<T>::shape(rows, false, flow);
    result.flow = flow;
    result.device_bytes = fixed + feed.device_bytes +
                          flow.tile_rows / kBlockRows * (needs.tile_bytes + needs.record_bytes);
    if (needs.on_device) result.device_bytes = std::max(result.device_bytes, cuda_scan_bytes(d));
    result.host_bytes =
        std::max(result.n_workers * buffer, feed.pinned_bytes + flow.tile_rows * result_bytes);
    if (result.device_bytes <= available && (limit == 0 || result.host_bytes <= limit)) {
      return result;
    }
  }
  const bool on_host = result.device_bytes <= available;
  throw out_of_memory("this needs " +
                          std::to_string(on_host ? result.host_bytes : result.device_bytes) +
                          (on_host ? " bytes of host memory, the limit is "
                                   : " bytes of device memory, there are ") +
                          std::to_string(on_host ? limit : available),
                      limit > 0 ? "--memory-limit" : context.device(),
                      "raise it, or compute on the CPU (--device cpu)");
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
  WaveOutputs<T> results(backend, flow.tile_rows, rows.rows(), k, outputs);
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
