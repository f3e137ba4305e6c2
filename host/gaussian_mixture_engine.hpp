#pragma once

#include <optional>
#include <string>
#include <vector>

#include "host/gaussian_mixture.hpp"
#include "host/kmeans.hpp"
#include "kernels/cpu/gaussian_mixture.hpp"

namespace culatent::gaussian_mixture {

/// The state of a fit on the CPU, and what the loop does with it. CudaEngine has the same members:
/// the loop is a template on the engine.
template <class T>
class CpuEngine {
 public:
  CpuEngine(const Context& context, const Plan& plan, const FitRows<T>& rows, const Frame& frame,
            const Options& options);

  /// One look at all rows.
  static DataSummary scan(const Context& context, const Plan& plan, const RowSource<T>& rows,
                          std::span<const double> weights, const ScanOptions& options);

  /// Goes on from a model. Throws data_error when a covariance cannot be factored.
  void load(const Model& model);
  /// One pass over the rows: the E-step at the parameters and the sums of the next M-step.
  TraceEntry pass();
  /// The M-step of the last pass, collapse policy included.
  void update(int iteration, std::int64_t& n_collapsed);
  /// The parameters that load() or update() left.
  Model model() const { return model_; }

  /// Some rows for an initialisation, see kmeans::sample_rows().
  kmeans::RowSample<T> sample_rows(std::uint64_t seed, std::int64_t count) const;
  /// The rows as k-means takes them.
  kmeans::LloydRows<T> lloyd_rows(std::span<const T> metric, std::int64_t n_clusters);
  /// The sums of Layout for given responsibilities about `shifts`, until the next pass.
  std::span<const double> initial_maximisation(const Matrix<T>& shifts,
                                               const InitialResponsibilities<T>& initial);
  const Layout& layout() const { return workspace_->layout; }
  /// What the passes so far give reason to say.
  std::vector<Warning> warnings() const { return {}; }

 private:
  void resize(std::int64_t n_components);
  void keep_scatter(bool taken);

  const Context& context_;
  const CpuBackend backend_;
  const FitRows<T>& rows_;
  const Frame& frame_;
  const Options& options_;
  std::int64_t n_components_ = 0;
  std::optional<CpuWorkspace<T>> workspace_;
  std::optional<ExactSums> sums_;
  std::vector<double> values_;   // sums_, rounded
  std::vector<double> scatter_;  // tied without missing values: constant over the fit
  Model model_;
  Parameters<T> parameters_;
};

}  // namespace culatent::gaussian_mixture
