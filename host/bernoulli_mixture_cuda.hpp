#pragma once

#include <cstdint>
#include <span>

#include "host/bernoulli_mixture_engine.hpp"
#include "host/device_evaluation.hpp"
#include "host/kmeans_cuda.hpp"
#include "kernels/cuda/bernoulli_mixture.hpp"
#include "kernels/cuda/exact_sums.hpp"

/// The Bernoulli mixture on a CUDA device: what lies there, and the engine of a fit.
namespace culatent::bernoulli_mixture {

/// A model and the parameters that come of it, in device memory.
template <class T>
class DeviceMixture {
 public:
  DeviceMixture(CudaDevice& device, std::int64_t n_components, std::int64_t n_features,
                bool missing);
  static std::int64_t bytes(std::int64_t n_components, std::int64_t n_features, bool missing);

  const DeviceParameters<T>& parameters() const { return parameters_; }
  DeviceModel model() const { return {weights_.data(), means_.data()}; }
  const double* priors() const { return priors_.data(); }
  /// The parameters of the model.
  void prepare(const CudaBackend& backend) const;
  void upload(const CudaBackend& backend, const Model& model);
  /// Waits.
  Model download() const;

 private:
  std::int64_t n_features_;
  DeviceArray<double> weights_, means_, priors_;
  DeviceArray<T> factors_, constants_;
  DeviceParameters<T> parameters_;
};

/// The value of a cell that find_outside() has named, wherever the rows are.
template <class T>
BadValue bad_value(const Context& context, const RowSource<T>& rows, std::int64_t cell);

/// The state of a fit on a device; the members are those of CpuEngine. A pass and the M-step after
/// it are queued together, and what the loop needs to know comes back in one copy.
template <class T>
class CudaEngine {
 public:
  using Clusters = kmeans::CudaEngine<T>;

  CudaEngine(const Context& context, const Plan& plan, const FitRows<T>& rows,
             const Options& options);

  static DataSummary scan(const Context& context, const Plan& plan, const RowSource<T>& rows,
                          std::span<const double> weights, const ScanOptions& options);
  /// Fills the device's part of a plan; of the host's memory `pinned_budget` bytes may be taken, if
  /// that is enough at all. Throws out_of_memory when the device's is not.
  static void plan(const Context& context, const RowSource<T>& rows, const Options& options,
                   std::int64_t pinned_budget, Plan& plan);

  void load(const Model& model);
  PassSums pass();
  void update(std::int64_t& n_empty);
  Model model() const { return current_.download(); }

 private:
  void queue_update();

  const Context& context_;
  const CudaBackend backend_;
  const FitRows<T>& rows_;
  const Options& options_;
  const DeviceFlow flow_;
  const std::int64_t n_products_;
  const std::int64_t n_sums_;
  DeviceFeed<T> feed_;
  DeviceMixture<T> current_;
  DeviceMixture<T> next_;  // what the last pass leads to
  DeviceArray<T> resp_;    // of a wave
  DeviceArray<double> heads_;
  DeviceArray<T> tails_;
  DeviceArray<DeviceSum> sums_;
  DeviceArray<double> values_;  // sums_, rounded
  DeviceArray<std::int64_t> empty_;
  DeviceArray<UpdateStatus> device_status_;
  UpdateStatus status_;     // of the last pass
  double prior_ = 0.0;      // of the current parameters
  bool inspected_ = false;  // a pass has found all values within [0, 1]
};

/// The E-step of all rows with its results written out, as evaluate() on the CPU. Throws
/// out_of_memory before it does anything, data_error for a value that is none.
template <class T>
Summary cuda_evaluate(const Context& context, const Model& model, const RowSource<T>& rows,
                      const Outputs<T>& outputs);

}  // namespace culatent::bernoulli_mixture
