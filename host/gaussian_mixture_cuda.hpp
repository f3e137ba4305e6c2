#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "host/device_evaluation.hpp"
#include "host/gaussian_mixture.hpp"
#include "host/kmeans.hpp"
#include "kernels/cuda/exact_sums.hpp"
#include "kernels/cuda/gaussian_mixture.hpp"

/// The Gaussian mixture on a CUDA device: what lies there, and the engine of a fit.
namespace culatent::gaussian_mixture {

/// A model and the parameters that come of it, in device memory.
template <class T>
class DeviceMixture {
 public:
  DeviceMixture(CudaDevice& device, Covariance covariance, std::int64_t n_components,
                std::int64_t n_features);
  static std::int64_t bytes(Covariance covariance, std::int64_t n_components,
                            std::int64_t n_features);

  DeviceParameters<T> parameters() const;
  DeviceModel model() const { return {weights_.data(), means_.data(), covariances_.data()}; }
  void upload(const Model& model);
  /// Waits.
  Model download(double reg_covar) const;

 private:
  Covariance covariance_;
  std::int64_t n_components_;
  std::int64_t n_features_;
  DeviceArray<T> shifts_, whitening_, whitened_means_, log_constants_;
  DeviceArray<double> offset_ratio_, weights_, means_, covariances_;
};

/// A Frame in device memory, for rows of type T and in double.
template <class T>
class DeviceFrameArrays {
 public:
  DeviceFrameArrays(CudaDevice& device, const Frame& frame);
  static std::int64_t bytes(std::int64_t n_features);

  DeviceFrame<T> frame() const { return {scale_.data(), offset_.data()}; }
  const double* centre() const { return wide_centre_.data(); }
  const double* scale() const { return wide_scale_.data(); }
  double log_scale() const { return log_scale_; }

 private:
  DeviceArray<T> scale_, offset_;
  DeviceArray<double> wide_centre_, wide_scale_;
  double log_scale_ = 0.0;
};

/// The buffers of one wave of rows (kernels/cuda/gaussian_mixture.hpp): records for wave_rows, and
/// while they are wanted responsibilities for tile_rows.
template <class T>
class DeviceWave {
 public:
  /// `moments` false: for an E-step alone.
  DeviceWave(CudaDevice& device, const Layout& layout, Covariance covariance,
             std::int64_t n_components, const DeviceFlow& flow, bool moments);
  /// Of one block of rows: responsibilities; records.
  static std::int64_t tile_bytes(std::int64_t n_components);
  static std::int64_t record_bytes(const Layout& layout, Covariance covariance, bool moments);

  std::int64_t wave_rows() const { return wave_rows_; }
  std::int64_t tile_rows() const { return tile_rows_; }
  void hold_responsibilities();  ///< until drop_responsibilities()
  void drop_responsibilities() { resp_ = {}; }
  DeviceResponsibilities<T> responsibilities() const { return {resp_.data(), tile_rows_}; }
  DevicePartials<T> partials() const { return {heads_.data(), tails_.data(), wide_tails_.data()}; }
  double* log_prob() const { return log_prob_.data(); }

 private:
  CudaDevice& device_;
  std::int64_t n_components_;
  std::int64_t wave_rows_;
  std::int64_t tile_rows_;
  DeviceArray<T> resp_, tails_;
  DeviceArray<double> heads_, wide_tails_, log_prob_;
};

/// What the steps of a fit ask of a flow; of the rows, which are the caller's, only their width.
template <class T>
FlowNeeds flow_needs(const CudaBackend& backend, Covariance covariance, std::int64_t n_components,
                     std::int64_t n_features);

/// How to take log_joint() at parameters with this DeviceParameters::offset_ratio.
struct Affordable {
  Precision precision;
  Whitening whitening;
};

/// `fast`, where it is wanted, while the rows of every component lose at most 2⁻⁷ nats of log p(x)
/// by expansion_loss(), else fp32; expanded while those of T lose at most √ε nats (half of T's
/// digits: 2⁻¹¹·⁵, or 2⁻²⁶), else centred.
template <class T>
Affordable affordable(Covariance covariance, std::int64_t n_features, Precision wanted,
                      double offset_ratio);

/// The state of a fit on a device; the members are those of CpuEngine. A pass, the M-step after it
/// and the factors of its result are queued together, and what the loop needs to know comes back
/// in one copy: update() finds its work done unless a component collapsed.
template <class T>
class CudaEngine {
 public:
  CudaEngine(const Context& context, const Plan& plan, const FitRows<T>& rows, const Frame& frame,
             const Options& options);

  static DataSummary scan(const Context& context, const Plan& plan, const RowSource<T>& rows,
                          std::span<const double> weights, const ScanOptions& options);
  /// Fills the device's part of a plan; of the host's memory `pinned_budget` bytes may be taken, if
  /// that is enough at all. Throws out_of_memory when the device's is not.
  static void plan(const Context& context, const RowSource<T>& rows, const Options& options,
                   std::int64_t pinned_budget, Plan& plan);

  void load(const Model& model);
  TraceEntry pass();
  void update(int iteration, std::int64_t& n_collapsed);
  Model model() const;
  kmeans::RowSample<T> sample_rows(std::uint64_t seed, std::int64_t count) const;
  kmeans::LloydRows<T> lloyd_rows(std::span<const T> metric, std::int64_t n_clusters);
  std::span<const double> initial_maximisation(const Matrix<T>& shifts,
                                               const InitialResponsibilities<T>& initial);
  const Layout& layout() const { return *layout_; }
  std::vector<Warning> warnings() const;

 private:
  void resize(std::int64_t n_components);
  bool fused() const;
  void add_wave(const DevicePartials<T>& partials, std::int64_t n_rows, bool squares);
  void finish_sums(bool scatter);
  void queue_update();

  const Context& context_;
  const CudaBackend backend_;
  const FitRows<T>& rows_;
  const Frame& frame_;
  const Options& options_;
  const Plan plan_;
  const DeviceFlow flow_;
  DeviceFeed<T> feed_;
  DeviceFrameArrays<T> device_frame_;
  std::int64_t n_components_ = 0;
  std::optional<Layout> layout_;
  std::optional<DeviceWave<T>> wave_;
  std::optional<DeviceMixture<T>> current_;
  std::optional<DeviceMixture<T>> next_;  // what the last pass leads to
  DeviceArray<DeviceSum> sums_;
  DeviceArray<double> values_;   // sums_, rounded
  DeviceArray<double> scatter_;  // tied: constant over the fit
  bool has_scatter_ = false;
  DeviceArray<double> scratch_;
  DeviceArray<UpdateStatus> device_status_;
  UpdateStatus status_;        // of the last pass
  double offset_ratio_ = 0.0;  // of the current parameters
  int n_fast_ = 0;             // passes that were to be fast
  int n_refused_ = 0;          // those of them that took fp32
  std::vector<double> host_values_;
};

/// Throws out_of_memory when there is less than it needs.
template <class T>
Evaluation cuda_evaluation(const Context& context, const Model& model, const RowSource<T>& rows,
                           const Outputs<T>& outputs);

/// The E-step of all rows with its results written out, as expectation() on the CPU. Returns the
/// sums over rows. Throws data_error when a covariance cannot be factored.
template <class T>
UpdateStatus cuda_expectation(const CudaBackend& backend, const Model& model,
                              const RowSource<T>& rows, const Frame& frame, const DeviceFlow& flow,
                              const Outputs<T>& outputs);

}  // namespace culatent::gaussian_mixture
