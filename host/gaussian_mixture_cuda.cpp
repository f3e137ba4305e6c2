#include "host/gaussian_mixture_cuda.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "culatent/error.hpp"

namespace culatent::gaussian_mixture {
namespace {

template <class T>
constexpr std::int64_t kSize = static_cast<std::int64_t>(sizeof(T));

bool has_matrices(Covariance covariance) {
  return covariance == Covariance::full || covariance == Covariance::tied;
}

std::int64_t whitening_size(Covariance covariance, std::int64_t k, std::int64_t d) {
  if (!has_matrices(covariance)) return checked_product(k, d);
  const std::int64_t square = checked_product(d, d);
  return covariance == Covariance::full ? checked_product(k, square) : square;
}

std::int64_t tail_size(const Layout& layout) { return layout.size - layout.sums; }

}  // namespace

template <class T>
DeviceMixture<T>::DeviceMixture(CudaDevice& device, Covariance covariance,
                                std::int64_t n_components, std::int64_t n_features)
    : covariance_(covariance),
      n_components_(n_components),
      n_features_(n_features),
      shifts_(device, checked_product(n_components, n_features), "means"),
      whitening_(device, whitening_size(covariance, n_components, n_features),
                 "inverse Cholesky factors"),
      whitened_means_(device, n_components * n_features, "means"),
      log_constants_(device, n_components, "weights"),
      offset_ratio_(device, 1, "status"),
      weights_(device, n_components, "weights"),
      means_(device, n_components * n_features, "means"),
      covariances_(device, covariance_size(covariance, n_components, n_features), "covariances") {}

template <class T>
std::int64_t DeviceMixture<T>::bytes(Covariance covariance, std::int64_t k, std::int64_t d) {
  const std::int64_t means = checked_product(k, d);
  return kSize<T> * (2 * means + whitening_size(covariance, k, d) + k) +
         8 * (1 + k + means + covariance_size(covariance, k, d));
}

template <class T>
DeviceParameters<T> DeviceMixture<T>::parameters() const {
  DeviceParameters<T> p;
  p.covariance = covariance_;
  p.n_components = n_components_;
  p.n_features = n_features_;
  p.shifts = shifts_.data();
  p.whitening = whitening_.data();
  p.whitened_means = whitened_means_.data();
  p.log_constants = log_constants_.data();
  p.offset_ratio = offset_ratio_.data();
  return p;
}

template <class T>
void DeviceMixture<T>::upload(const Model& model) {
  weights_.upload(model.weights.data(), n_components_);
  means_.upload(model.means.data(), model.means.size());
  covariances_.upload(model.covariances.data(),
                      static_cast<std::int64_t>(model.covariances.size()));
}

template <class T>
Model DeviceMixture<T>::download(double reg_covar) const {
  Model model;
  model.covariance = covariance_;
  model.reg_covar = reg_covar;
  model.weights.resize(static_cast<std::size_t>(n_components_));
  model.means = Matrix<double>(n_components_, n_features_);
  model.covariances.resize(static_cast<std::size_t>(covariances_.size()));
  weights_.download(model.weights.data(), n_components_);
  means_.download(model.means.data(), model.means.size());
  covariances_.download(model.covariances.data(), covariances_.size());
  return model;
}

template <class T>
DeviceFrameArrays<T>::DeviceFrameArrays(CudaDevice& device, const Frame& frame)
    : scale_(device, static_cast<std::int64_t>(frame.scale.size()), "frame"),
      offset_(device, scale_.size(), "frame"),
      wide_centre_(device, scale_.size(), "frame"),
      wide_scale_(device, scale_.size(), "frame") {
  std::vector<T> scale, offset;
  for (std::size_t j = 0; j < frame.scale.size(); ++j) {
    scale.push_back(static_cast<T>(frame.scale[j]));
    offset.push_back(static_cast<T>(-frame.centre[j] * frame.scale[j]));
    log_scale_ += std::log(frame.scale[j]);
  }
  scale_.upload(scale.data(), scale_.size());
  offset_.upload(offset.data(), scale_.size());
  wide_centre_.upload(frame.centre.data(), scale_.size());
  wide_scale_.upload(frame.scale.data(), scale_.size());
  device.synchronize();
}

template <class T>
std::int64_t DeviceFrameArrays<T>::bytes(std::int64_t n_features) {
  return n_features * (2 * kSize<T> + 16);
}

template <class T>
DeviceWave<T>::DeviceWave(CudaDevice& device, const Layout& layout, Covariance covariance,
                          std::int64_t n_components, const DeviceFlow& flow, bool moments)
    : device_(device),
      n_components_(n_components),
      wave_rows_(flow.wave_rows),
      tile_rows_(flow.tile_rows) {
  const std::int64_t n_blocks = wave_rows_ / kBlockRows;
  heads_ = DeviceArray<double>(device, n_blocks * layout.sums, "sums of a wave");
  if (!moments) {
    log_prob_ = DeviceArray<double>(device, wave_rows_, "log-densities of a wave");
    return;
  }
  const std::int64_t tails = checked_product(n_blocks, tail_size(layout));
  if (covariance == Covariance::tied) {
    wide_tails_ = DeviceArray<double>(device, tails, "sums of a wave");
  } else {
    tails_ = DeviceArray<T>(device, tails, "sums of a wave");
  }
}

template <class T>
void DeviceWave<T>::hold_responsibilities() {
  if (resp_.size() > 0) return;
  resp_ = DeviceArray<T>(device_, checked_product(tile_rows_, n_components_),
                         "responsibilities of a wave");
}

template <class T>
std::int64_t DeviceWave<T>::tile_bytes(std::int64_t n_components) {
  return checked_product(kSize<T> * kBlockRows, n_components);
}

template <class T>
std::int64_t DeviceWave<T>::record_bytes(const Layout& layout, Covariance covariance,
                                         bool moments) {
  const std::int64_t element = covariance == Covariance::tied ? 8 : kSize<T>;
  return 8 * layout.sums + (moments ? checked_product(element, tail_size(layout)) : 8 * kBlockRows);
}

template <class T>
FlowNeeds flow_needs(const CudaBackend& backend, Covariance covariance, std::int64_t n_components,
                     std::int64_t n_features) {
  FlowNeeds needs;
  needs.row_bytes = checked_product(kSize<T>, n_features);
  needs.tile_bytes = DeviceWave<T>::tile_bytes(n_components);
  needs.record_bytes =
      DeviceWave<T>::record_bytes(Layout(covariance, n_components, n_features), covariance, true);
  needs.fused = fused_fits<T>(backend, covariance, n_components, n_features);
  needs.n_multiprocessors = backend.device.n_multiprocessors();
  needs.l2_bytes = backend.device.l2_bytes();
  return needs;
}

template FlowNeeds flow_needs<float>(const CudaBackend&, Covariance, std::int64_t, std::int64_t);
template FlowNeeds flow_needs<double>(const CudaBackend&, Covariance, std::int64_t, std::int64_t);
template class DeviceMixture<float>;
template class DeviceMixture<double>;
template class DeviceFrameArrays<float>;
template class DeviceFrameArrays<double>;
template class DeviceWave<float>;
template class DeviceWave<double>;

}  // namespace culatent::gaussian_mixture
