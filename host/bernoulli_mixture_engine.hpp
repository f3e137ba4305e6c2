#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "host/bernoulli_mixture.hpp"
#include "host/kmeans_engine.hpp"
#include "host/row_pass.hpp"
#include "host/scan.hpp"

namespace culatent::bernoulli_mixture {

/// What the loop is told of a pass; sums over rows, of scaled weights.
struct PassSums {
  double weight = 0.0;
  double log_likelihood = 0.0;
  double entropy = 0.0;
  double log_prior = 0.0;  ///< of the parameters, see log_prior()
  BadValue bad;
};

/// The state of a fit on the CPU, and what the loop does with it. CudaEngine has the same members:
/// the loop is a template on the engine.
template <class T>
class CpuEngine {
 public:
  /// Where the k-means of a start runs.
  using Clusters = kmeans::CpuEngine<T>;

  /// What is passed must outlive the engine.
  CpuEngine(const Context& context, const Plan& plan, const FitRows<T>& rows,
            const Options& options);

  /// One look at all rows.
  static DataSummary scan(const Context& context, const Plan& plan, const RowSource<T>& rows,
                          std::span<const double> weights, const ScanOptions& options);

  /// Goes on from a model.
  void load(const Model& model) { model_ = model; }
  /// One pass over the rows: the E-step at the parameters and the sums of the next M-step.
  PassSums pass();
  /// The M-step of the last pass. Counts components without rows, which keep their means.
  void update(std::int64_t& n_empty);
  /// The parameters that load() or update() left.
  Model model() const { return model_; }

 private:
  const Context& context_;
  const CpuBackend backend_;
  const FitRows<T>& rows_;
  const Options& options_;
  const Layout layout_;
  CpuWorkspace<T> workspace_;
  ExactSums sums_;
  std::vector<double> values_;  // sums_, rounded
  Model model_;
};

}  // namespace culatent::bernoulli_mixture
