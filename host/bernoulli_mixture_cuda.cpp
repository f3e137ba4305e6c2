#include "host/bernoulli_mixture_cuda.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "culatent/error.hpp"
#include "host/cuda_scan.hpp"
#include "host/host_rows.hpp"

namespace culatent::bernoulli_mixture {
namespace {

template <class T>
constexpr std::int64_t kSize = static_cast<std::int64_t>(sizeof(T));

std::int64_t blocks_of(std::int64_t n_rows) { return (n_rows + kBlockRows - 1) / kBlockRows; }

std::int64_t n_inputs(std::int64_t n_features, bool missing) {
  return missing ? 2 * n_features : n_features;
}

// Sums of a component over all rows but the heads'.
template <class T>
std::int64_t products_of(const RowSource<T>& rows, const Options& options) {
  return n_products<T>(rows.cols(), options.missing);
}

template <class T>
std::int64_t sums_of(const RowSource<T>& rows, const Options& options) {
  return kHeads + checked_product(options.n_components, products_of<T>(rows, options) + 1);
}

template <class T>
FlowNeeds needs_of(const Context& context, const RowSource<T>& rows, const Options& options) {
  const CudaDevice& device = *context.cuda();
  const std::int64_t k = options.n_components;
  FlowNeeds needs;
  needs.n_rows = rows.rows();
  needs.row_bytes = kSize<T> * (rows.cols() + (options.weights.empty() ? 0 : 1));
  needs.on_device = rows.space() == MemorySpace::device;
  needs.chunk_rows = context.options().chunk_rows;
  needs.tile_bytes = checked_product(kSize<T> * kBlockRows, k);
  needs.record_bytes =
      8 * (kHeads + k) + checked_product(kSize<T> * k, products_of<T>(rows, options));
  needs.n_multiprocessors = device.n_multiprocessors();
  needs.l2_bytes = device.l2_bytes();
  return needs;
}

// On the device at a time.
template <class T>
std::int64_t device_bytes(const FlowNeeds& needs, const RowSource<T>& rows, const Options& options,
                          const DeviceFlow& flow, std::int64_t feed_bytes) {
  const std::int64_t k = options.n_components;
  const std::int64_t sums = checked_product(sums_of<T>(rows, options), sizeof(DeviceSum) + 8);
  const std::int64_t wave =
      checked_product(flow.tile_rows / kBlockRows, needs.tile_bytes + needs.record_bytes);
  const std::int64_t fit = 2 * DeviceMixture<T>::bytes(k, rows.cols(), options.missing) + sums +
                           8 * k + static_cast<std::int64_t>(sizeof(UpdateStatus)) + wave +
                           feed_bytes;
  return needs.on_device ? std::max(fit, cuda_scan_bytes(rows.cols()) + feed_bytes) : fit;
}

// The flow that plan() chose: those before it take more memory. The plan may have more than it
// needs, for the start.
template <class T>
DeviceFlow planned_flow(const Context& context, const RowSource<T>& rows, const Options& options,
                        const Plan& plan) {
  const FlowNeeds needs = needs_of<T>(context, rows, options);
  const std::vector<DeviceFlow> flows = device_flows(needs);
  const auto chosen = std::find_if(flows.begin(), flows.end(), [&](const DeviceFlow& flow) {
    const auto feed = DeviceFeed<T>::shape(rows, !options.weights.empty(), flow);
    return feed.chunk_rows == plan.chunk_rows &&
           device_bytes<T>(needs, rows, options, flow, feed.device_bytes) <= plan.device_bytes;
  });
  return chosen != flows.end() ? *chosen : flows.back();
}

}  // namespace

template <class T>
BadValue bad_value(const Context& context, const RowSource<T>& rows, std::int64_t cell) {
  BadValue bad{cell / rows.cols(), cell % rows.cols(), 0.0};
  Matrix<T> buffer(1, rows.cols());
  const HostRows<T> source(context, rows);
  bad.value = static_cast<double>(source.read(bad.row, buffer.view())(0, bad.column));
  return bad;
}

template <class T>
DeviceMixture<T>::DeviceMixture(CudaDevice& device, std::int64_t n_components,
                                std::int64_t n_features, bool missing)
    : n_features_(n_features),
      weights_(device, n_components, "weights"),
      means_(device, checked_product(n_components, n_features), "means"),
      priors_(device, n_components, "prior"),
      factors_(device,
               checked_product(padded_components(n_components), n_inputs(n_features, missing)),
               "logits"),
      constants_(device, n_components, "logits"),
      parameters_{n_components, missing, factors_.data(), constants_.data()} {}

template <class T>
std::int64_t DeviceMixture<T>::bytes(std::int64_t k, std::int64_t d, bool missing) {
  return 8 * (2 * k + checked_product(k, d)) +
         kSize<T> * (checked_product(padded_components(k), n_inputs(d, missing)) + k);
}

template <class T>
void DeviceMixture<T>::prepare(const CudaBackend& backend) const {
  bernoulli_mixture::prepare(backend, model(), n_features_, parameters_, priors_.data());
}

template <class T>
void DeviceMixture<T>::upload(const CudaBackend& backend, const Model& model) {
  weights_.upload(model.weights.data(), weights_.size());
  means_.upload(model.means.data(), means_.size());
  prepare(backend);
}

template <class T>
Model DeviceMixture<T>::download() const {
  Model model;
  model.weights.resize(static_cast<std::size_t>(weights_.size()));
  model.means = Matrix<double>(weights_.size(), n_features_);
  weights_.download(model.weights.data(), weights_.size());
  means_.download(model.means.data(), means_.size());
  return model;
}

template <class T>
void CudaEngine<T>::plan(const Context& context, const RowSource<T>& rows, const Options& options,
                         std::int64_t pinned_budget, Plan& plan) {
  const std::int64_t available = context.cuda()->free_bytes();
  const FlowNeeds needs = needs_of<T>(context, rows, options);
  for (const DeviceFlow& flow : device_flows(needs)) {
    const auto feed = DeviceFeed<T>::shape(rows, !options.weights.empty(), flow);
    plan.device_bytes = device_bytes<T>(needs, rows, options, flow, feed.device_bytes);
    plan.chunk_rows = feed.chunk_rows;
    plan.host_bytes = feed.pinned_bytes;
    if (plan.device_bytes <= available && plan.host_bytes <= pinned_budget) return;
  }
  check_device_bytes(context, plan.device_bytes,
                     "use fewer components, or compute on the CPU (--device cpu)");
}

template <class T>
CudaEngine<T>::CudaEngine(const Context& context, const Plan& plan, const FitRows<T>& rows,
                          const Options& options)
    : context_(context),
      backend_{*context.cuda(), context.threads(), plan.n_workers},
      rows_(rows),
      options_(options),
      flow_(planned_flow<T>(context, rows.source, options, plan)),
      n_products_(products_of<T>(rows.source, options)),
      n_sums_(sums_of<T>(rows.source, options)),
      feed_(backend_, rows, DeviceFeed<T>::shape(rows.source, !rows.weights.empty(), flow_)),
      current_(backend_.device, options.n_components, rows.source.cols(), options.missing),
      next_(backend_.device, options.n_components, rows.source.cols(), options.missing),
      resp_(backend_.device, checked_product(flow_.tile_rows, options.n_components),
            "responsibilities of a wave"),
      heads_(backend_.device, flow_.tile_rows / kBlockRows * (kHeads + options.n_components),
             "sums of a wave"),
      tails_(backend_.device,
             checked_product(flow_.tile_rows / kBlockRows * options.n_components, n_products_),
             "sums of a wave"),
      sums_(backend_.device, n_sums_, "sums"),
      values_(backend_.device, n_sums_, "sums"),
      empty_(backend_.device, options.n_components, "status"),
      device_status_(backend_.device, 1, "status") {}

template <class T>
DataSummary CudaEngine<T>::scan(const Context& context, const Plan& plan, const RowSource<T>& rows,
                                std::span<const double> weights, const ScanOptions& options) {
  const CudaBackend backend{*context.cuda(), context.threads(), plan.n_workers};
  return cuda_scan(context, backend, rows, weights, options, plan.device_bytes);
}

template <class T>
void CudaEngine<T>::load(const Model& model) {
  current_.upload(backend_, model);
  // The prior, added up as after an update.
  values_.fill_zero();
  empty_.fill_zero();
  UpdateStatus status;
  device_status_.upload(&status, 1);
  finish_update(backend_, values_.data(), options_.n_components, current_.priors(), empty_.data(),
                device_status_.data());
  device_status_.download(&status, 1);
  prior_ = status.prior;
}

template <class T>
PassSums CudaEngine<T>::pass() {
  const std::int64_t k = options_.n_components;
  const DeviceResponsibilities<T> resp{resp_.data(), flow_.tile_rows};
  sums_.fill_zero();
  status_.bad_cell = -1;
  device_status_.upload(&status_, 1);
  for_each_wave(feed_, flow_.tile_rows, [&](const DeviceRows<T>& rows, std::int64_t first) {
    if (!inspected_) {
      find_outside(backend_, rows, first, options_.missing, &device_status_.data()->bad_cell);
    }
    log_joint(backend_, rows, current_.parameters(), resp);
    normalise(backend_, rows, k, resp, static_cast<double*>(nullptr), heads_.data());
    add_products(backend_, rows, k, options_.missing, resp, tails_.data());
    const std::int64_t n_blocks = blocks_of(rows.n_rows);
    add_partials(backend_, heads_.data(), n_blocks, kHeads + k, kHeads + k, sums_.data());
    add_partials(backend_, tails_.data(), n_blocks, k * n_products_, k * n_products_,
                 sums_.data() + kHeads + k);
  });
  queue_update();
  PassSums result;
  if (status_.bad_cell >= 0) {
    result.bad = bad_value(context_, rows_.source, status_.bad_cell);
    return result;
  }
  inspected_ = true;
  result.weight = status_.weight;
  result.log_likelihood = status_.log_likelihood;
  result.entropy = status_.entropy;
  result.log_prior = options_.smoothing * prior_;
  return result;
}

// The M-step of the sums and the parameters of its result, into next_; the status comes back.
template <class T>
void CudaEngine<T>::queue_update() {
  const std::int64_t k = options_.n_components;
  const UpdateOptions update{n_products_, options_.smoothing * rows_.weight_scale,
                             least_probability(options_)};
  round_sums(backend_, sums_.data(), n_sums_, values_.data());
  maximise(backend_, values_.data(), k, rows_.source.cols(), update, current_.model(),
           next_.model(), empty_.data());
  next_.prepare(backend_);
  finish_update(backend_, values_.data(), k, next_.priors(), empty_.data(), device_status_.data());
  device_status_.download(&status_, 1);
}

template <class T>
void CudaEngine<T>::update(std::int64_t& n_empty) {
  std::swap(current_, next_);
  prior_ = status_.prior;
  n_empty += status_.n_empty;
}

template BadValue bad_value(const Context&, const RowSource<float>&, std::int64_t);
template BadValue bad_value(const Context&, const RowSource<double>&, std::int64_t);
template class DeviceMixture<float>;
template class DeviceMixture<double>;
template class CudaEngine<float>;
template class CudaEngine<double>;

}  // namespace culatent::bernoulli_mixture
