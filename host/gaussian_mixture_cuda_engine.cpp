#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "culatent/error.hpp"
#include "host/cuda_kmeans.hpp"
#include "host/cuda_scan.hpp"
#include "host/gaussian_mixture_cuda.hpp"

namespace culatent::gaussian_mixture {
namespace {

// Moments about the frame's centre cost half of what moments about the means do, and lose the
// digits of this ratio (DeviceParameters::offset_ratio): taken while three quarters of T's stay.
template <class T>
bool about_means(double offset_ratio) {
  return !(offset_ratio <= std::pow(std::numeric_limits<T>::epsilon(), -0.25));
}

std::int64_t blocks_of(std::int64_t n_rows) { return (n_rows + kBlockRows - 1) / kBlockRows; }

std::int64_t scratch_size(Covariance covariance, std::int64_t k, std::int64_t d) {
  return std::max(maximise_scratch(covariance, k, d), factorise_scratch(covariance, k, d));
}

template <class T>
FlowNeeds needs_of(const Context& context, const RowSource<T>& rows, const Options& options) {
  const CudaBackend backend{*context.cuda(), context.threads(), 1};
  FlowNeeds needs = flow_needs<T>(backend, options.covariance, options.n_components, rows.cols());
  needs.n_rows = rows.rows();
  if (!options.weights.empty()) needs.row_bytes += static_cast<std::int64_t>(sizeof(T));
  needs.on_device = rows.space() == MemorySpace::device;
  needs.chunk_rows = context.options().chunk_rows;
  needs.cluster_blocks = kmeans::cuda_lloyd_blocks(options.n_components, rows.cols());
  return needs;
}

// Everything on the device but the rows. The responsibilities of fused steps are there for the
// initial M-step alone, k-means before it.
template <class T>
std::int64_t bytes_without_rows(const FlowNeeds& needs, const RowSource<T>& rows,
                                const Options& options, const DeviceFlow& flow) {
  const std::int64_t d = rows.cols();
  const std::int64_t k = options.n_components;
  const Layout layout(options.covariance, k, d);
  const std::int64_t sums = checked_product(layout.size, sizeof(DeviceSum) + 8);
  const std::int64_t scatter =
      options.covariance == Covariance::tied ? 8 * (layout.size - layout.squares) : 0;
  const std::int64_t update = 2 * DeviceMixture<T>::bytes(options.covariance, k, d) +
                              8 * scratch_size(options.covariance, k, d) +
                              static_cast<std::int64_t>(sizeof(UpdateStatus));
  const std::int64_t records = checked_product(flow.wave_rows / kBlockRows, needs.record_bytes);
  const std::int64_t tile = checked_product(flow.tile_rows / kBlockRows, needs.tile_bytes);
  const std::int64_t clusters =
      kmeans::cuda_lloyd_bytes<T>(rows.rows(), k, d, flow.cluster_rows, needs.on_device);
  return DeviceFrameArrays<T>::bytes(d) + sums + scatter + update + records +
         (needs.fused ? std::max(tile, clusters) : tile + clusters);
}

// The flow that plan() chose.
template <class T>
DeviceFlow planned_flow(const Context& context, const RowSource<T>& rows, const Options& options,
                        const Plan& plan) {
  const FlowNeeds needs = needs_of<T>(context, rows, options);
  const std::vector<DeviceFlow> flows = device_flows(needs);
  const auto chosen = std::find_if(flows.begin(), flows.end(), [&](const DeviceFlow& flow) {
    const auto feed = DeviceFeed<T>::shape(rows, !options.weights.empty(), flow);
    return flow.chunk_rows == plan.chunk_rows &&
           bytes_without_rows<T>(needs, rows, options, flow) + feed.device_bytes ==
               plan.device_bytes;
  });
  return chosen != flows.end() ? *chosen : flows.back();
}

}  // namespace

template <class T>
Affordable affordable(Covariance covariance, std::int64_t n_features, Precision wanted,
                      double offset_ratio) {
  constexpr double kFastLoss = 0x1p-7;
  if (covariance != Covariance::full && covariance != Covariance::tied) return {wanted, {}};
  const auto keeps = [&](Precision precision, double most) {
    const double loss = expansion_loss<T>(covariance, n_features, precision);
    return loss * std::sqrt(offset_ratio) <= most;  // false for NaN
  };
  if (wanted == Precision::fast && keeps(wanted, kFastLoss)) return {wanted, Whitening::expanded};
  const bool expanded = keeps(Precision::fp32, std::sqrt(std::numeric_limits<T>::epsilon()));
  return {wanted == Precision::fast ? Precision::fp32 : wanted,
          expanded ? Whitening::expanded : Whitening::centred};
}

template Affordable affordable<float>(Covariance, std::int64_t, Precision, double);
template Affordable affordable<double>(Covariance, std::int64_t, Precision, double);

template <class T>
void CudaEngine<T>::plan(const Context& context, const RowSource<T>& rows, const Options& options,
                         std::int64_t pinned_budget, Plan& plan) {
  const std::int64_t available = context.cuda()->free_bytes();
  const FlowNeeds needs = needs_of<T>(context, rows, options);
  for (const DeviceFlow& flow : device_flows(needs)) {
    const auto feed = DeviceFeed<T>::shape(rows, !options.weights.empty(), flow);
    plan.device_bytes = bytes_without_rows<T>(needs, rows, options, flow) + feed.device_bytes;
    plan.chunk_rows = feed.chunk_rows;
    plan.host_bytes = feed.pinned_bytes;
    if (plan.device_bytes <= available && plan.host_bytes <= pinned_budget) return;
  }
  check_device_bytes(context, plan.device_bytes, "use fewer components or a simpler covariance");
}

template <class T>
CudaEngine<T>::CudaEngine(const Context& context, const Plan& plan, const FitRows<T>& rows,
                          const Frame& frame, const Options& options)
    : context_(context),
      backend_{*context.cuda(), context.threads(), plan.n_workers},
      rows_(rows),
      frame_(frame),
      options_(options),
      plan_(plan),
      flow_(planned_flow<T>(context, rows.source, options, plan)),
      feed_(backend_, rows, DeviceFeed<T>::shape(rows.source, !rows.weights.empty(), flow_)),
      device_frame_(*context.cuda(), frame),
      device_status_(*context.cuda(), 1, "status") {
  resize(options.n_components);
}

template <class T>
DataSummary CudaEngine<T>::scan(const Context& context, const Plan& plan, const RowSource<T>& rows,
                                std::span<const double> weights, const ScanOptions& options) {
  const CudaBackend backend{*context.cuda(), context.threads(), plan.n_workers};
  return cuda_scan(context, backend, rows, weights, options, plan.device_bytes);
}

template <class T>
void CudaEngine<T>::resize(std::int64_t n_components) {
  if (n_components == n_components_) return;
  CudaDevice& device = backend_.device;
  const std::int64_t d = rows_.source.cols();
  const Covariance covariance = options_.covariance;
  n_components_ = n_components;
  layout_.emplace(covariance, n_components, d);
  // The old ones go first: both together may be more than the plan.
  wave_.reset();
  current_.reset();
  next_.reset();
  sums_ = {};
  values_ = {};
  scratch_ = {};
  wave_.emplace(device, *layout_, covariance, n_components, flow_, true);
  if (!fused()) wave_->hold_responsibilities();
  current_.emplace(device, covariance, n_components, d);
  next_.emplace(device, covariance, n_components, d);
  sums_ = DeviceArray<DeviceSum>(device, layout_->size, "sums");
  values_ = DeviceArray<double>(device, layout_->size, "sums");
  scratch_ = DeviceArray<double>(device, scratch_size(covariance, n_components, d), "scratch");
  if (covariance == Covariance::tied && scatter_.size() == 0) {
    scatter_ = DeviceArray<double>(device, layout_->size - layout_->squares, "scatter");
  }
}

template <class T>
bool CudaEngine<T>::fused() const {
  return fused_fits<T>(backend_, options_.covariance, n_components_, rows_.source.cols());
}

// Adds a wave's records to the sums: the heads, the first moments and, unless they are constant and
// known, the second ones.
template <class T>
void CudaEngine<T>::add_wave(const DevicePartials<T>& partials, std::int64_t n_rows, bool squares) {
  const std::int64_t n_blocks = blocks_of(n_rows);
  const std::int64_t tail = layout_->size - layout_->sums;
  const std::int64_t taken = squares ? tail : layout_->squares - layout_->sums;
  add_partials(backend_, partials.heads, n_blocks, layout_->sums, layout_->sums, sums_.data());
  DeviceSum* target = sums_.data() + layout_->sums;
  if (options_.covariance == Covariance::tied) {
    add_partials(backend_, partials.wide_tails, n_blocks, tail, taken, target);
  } else {
    add_partials(backend_, partials.tails, n_blocks, tail, taken, target);
  }
}

// Rounds the sums; puts the scatter of a tied fit in, or keeps it.
template <class T>
void CudaEngine<T>::finish_sums(bool scatter) {
  round_sums(backend_, sums_.data(), layout_->size, values_.data());
  if (options_.covariance != Covariance::tied) return;
  double* squares = values_.data() + layout_->squares;
  if (scatter) {
    backend_.device.copy(scatter_.data(), squares, 8 * scatter_.size());
  } else {
    backend_.device.copy(squares, scatter_.data(), 8 * scatter_.size());
  }
  has_scatter_ = true;
}

// The M-step of the sums and the factors of its result, into next_; the status comes back.
template <class T>
void CudaEngine<T>::queue_update() {
  const DeviceParameters<T> parameters = current_->parameters();
  maximise(backend_, options_.covariance, n_components_, rows_.source.cols(), values_.data(),
           device_frame_.centre(), device_frame_.scale(), parameters.shifts, options_.reg_covar,
           scratch_.data(), next_->model(), device_status_.data());
  factorise(backend_, next_->model(), device_frame_.centre(), device_frame_.scale(),
            device_frame_.log_scale(), scratch_.data(), next_->parameters(), device_status_.data());
  device_status_.download(&status_, 1);
}

template <class T>
void CudaEngine<T>::load(const Model& model) {
  resize(model.n_components());
  current_->upload(model);
  device_status_.fill_zero();
  factorise(backend_, current_->model(), device_frame_.centre(), device_frame_.scale(),
            device_frame_.log_scale(), scratch_.data(), current_->parameters(),
            device_status_.data());
  device_status_.download(&status_, 1);
  offset_ratio_ = status_.offset_ratio;
  if (status_.n_failed == 0) return;
  // Rare: the host finds out which.
  std::vector<std::int64_t> failed;
  const CpuBackend host{context_.threads(), plan_.n_workers};
  static_cast<void>(prepare<T>(host, model, frame_, false, failed));
  if (failed.empty()) failed.push_back(0);
  throw_singular(model, failed, "start");
}

template <class T>
TraceEntry CudaEngine<T>::pass() {
  const bool tied = options_.covariance == Covariance::tied;
  const bool squares = !tied || !has_scatter_;
  const bool fused = this->fused();
  const DeviceFrame<T> frame = device_frame_.frame();
  const DeviceParameters<T> parameters = current_->parameters();
  const DeviceResponsibilities<T> resp = wave_->responsibilities();
  const DevicePartials<T> partials = wave_->partials();
  const Precision wanted = options_.precision.value_or(Precision::fp32);
  const auto [precision, whitening] =
      affordable<T>(options_.covariance, rows_.source.cols(), wanted, offset_ratio_);
  if (wanted == Precision::fast && options_.covariance == Covariance::full) {
    ++n_fast_;
    if (precision != wanted) ++n_refused_;
  }
  sums_.fill_zero();
  device_status_.fill_zero();
  const std::int64_t rows_at_a_time = fused ? wave_->wave_rows() : wave_->tile_rows();
  for_each_wave(feed_, rows_at_a_time, [&](const DeviceRows<T>& rows, std::int64_t) {
    if (fused) {
      expectation_maximisation_diagonal(backend_, rows, frame, parameters,
                                        about_means<T>(offset_ratio_), partials);
    } else {
      log_joint(backend_, rows, frame, parameters, resp, precision, whitening);
      normalise(backend_, rows, frame, parameters, resp, static_cast<double*>(nullptr), partials);
      add_moments(backend_, rows, frame, parameters, resp, tied && squares, partials, precision);
    }
    add_wave(partials, rows.n_rows, squares);
  });
  finish_sums(tied && squares);
  queue_update();
  return trace_entry(
      std::array{status_.weight, status_.log_likelihood, status_.joint, status_.entropy});
}

template <class T>
void CudaEngine<T>::update(int iteration, std::int64_t& n_collapsed) {
  if (status_.n_collapsed == 0 && status_.n_failed == 0) {
    std::swap(*current_, *next_);
    offset_ratio_ = status_.offset_ratio;
    return;
  }
  // Rare: the host applies the policy.
  host_values_.resize(static_cast<std::size_t>(layout_->size));
  values_.download(host_values_.data(), layout_->size);
  Matrix<T> shifts(n_components_, rows_.source.cols());
  backend_.device.to_host(shifts.data(), current_->parameters().shifts,
                          shifts.size() * static_cast<std::int64_t>(sizeof(T)));
  Matrix<double> wide(shifts.rows(), shifts.cols());
  std::copy(shifts.data(), shifts.data() + shifts.size(), wide.data());
  const Moments moments{*layout_, host_values_, options_.covariance, frame_, wide};
  const CpuBackend host{context_.threads(), plan_.n_workers};
  Model model;
  static_cast<void>(maximise_and_factor<T>(host, moments, options_, iteration, model, n_collapsed));
  load(model);
}

template <class T>
Model CudaEngine<T>::model() const {
  return current_->download(options_.reg_covar);
}

template <class T>
kmeans::RowSample<T> CudaEngine<T>::sample_rows(std::uint64_t seed, std::int64_t count) const {
  return kmeans::cuda_sample_rows(backend_, rows_, frame_, seed, count);
}

template <class T>
kmeans::LloydRows<T> CudaEngine<T>::lloyd_rows(std::span<const T> metric, std::int64_t n_clusters) {
  return kmeans::cuda_lloyd_rows(backend_, feed_, device_frame_.frame(), rows_, frame_, metric,
                                 n_clusters, flow_.cluster_rows);
}

template <class T>
std::span<const double> CudaEngine<T>::initial_maximisation(
    const Matrix<T>& shifts, const InitialResponsibilities<T>& initial) {
  resize(shifts.rows());
  CudaDevice& device = backend_.device;
  const std::int64_t k = shifts.rows();
  const std::int64_t d = shifts.cols();
  const DeviceFrame<T> frame = device_frame_.frame();
  const DeviceParameters<T> parameters = current_->parameters();
  device.to_device(parameters.shifts, shifts.data(),
                   shifts.size() * static_cast<std::int64_t>(sizeof(T)));
  // The metric is staged where whitened means will lie: at least as large, and not yet there.
  T* metric = parameters.whitened_means;
  device.to_device(metric, initial.metric.data(), d * static_cast<std::int64_t>(sizeof(T)));
  wave_->hold_responsibilities();
  const DeviceResponsibilities<T> resp = wave_->responsibilities();
  const DevicePartials<T> partials = wave_->partials();
  const bool tied = options_.covariance == Covariance::tied;
  sums_.fill_zero();
  for_each_wave(feed_, wave_->tile_rows(), [&](const DeviceRows<T>& rows, std::int64_t first) {
    if (initial.centroids != nullptr) {
      nearest_responsibilities(backend_, rows, frame, parameters.shifts, metric, k, resp, partials);
    } else {
      random_responsibilities(backend_, rows, initial.seed, first, k, resp, partials);
    }
    add_moments(backend_, rows, frame, parameters, resp, tied, partials);
    add_wave(partials, rows.n_rows, true);
  });
  finish_sums(tied);
  host_values_.resize(static_cast<std::size_t>(layout_->size));
  values_.download(host_values_.data(), layout_->size);
  if (fused()) wave_->drop_responsibilities();
  return host_values_;
}

template <class T>
std::vector<Warning> CudaEngine<T>::warnings() const {
  if (n_refused_ == 0) return {};
  return {{"precision",
           "components too narrow or too far from the data's centre for precision "
           "fast: " +
               std::to_string(n_refused_) + " of " + std::to_string(n_fast_) +
               " passes took fp32"}};
}

template class CudaEngine<float>;
template class CudaEngine<double>;

}  // namespace culatent::gaussian_mixture
