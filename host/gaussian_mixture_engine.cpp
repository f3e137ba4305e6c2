#include "host/gaussian_mixture_engine.hpp"

#include <algorithm>
#include <memory>

namespace culatent::gaussian_mixture {

template <class T>
CpuEngine<T>::CpuEngine(const Context& context, const Plan& plan, const FitRows<T>& rows,
                        const Frame& frame, const Options& options)
    : context_(context),
      backend_{context.threads(), plan.n_workers},
      rows_(rows),
      frame_(frame),
      options_(options) {
  resize(options.n_components);
}

template <class T>
DataSummary CpuEngine<T>::scan(const Context& context, const Plan& plan, const RowSource<T>& rows,
                               std::span<const double> weights, const ScanOptions& options) {
  return culatent::scan(context, CpuBackend{context.threads(), plan.n_workers}, rows, weights,
                        options);
}

template <class T>
void CpuEngine<T>::resize(std::int64_t n_components) {
  if (workspace_ && n_components == n_components_) return;
  n_components_ = n_components;
  workspace_.emplace(backend_, options_.covariance, n_components, rows_.source.cols(),
                     rows_.source.in_place());
  sums_.emplace(workspace_->layout.size);
  values_.assign(static_cast<std::size_t>(workspace_->layout.size), 0.0);
}

template <class T>
void CpuEngine<T>::load(const Model& model) {
  resize(model.n_components());
  model_ = model;
  std::vector<std::int64_t> failed;
  parameters_ = prepare<T>(backend_, model, frame_, options_.missing, failed);
  if (!failed.empty()) throw_singular(model, failed, "start");
}

// Keeps the scatter of a pass that took it, and puts it where the others left it out.
template <class T>
void CpuEngine<T>::keep_scatter(bool taken) {
  if (options_.covariance != Covariance::tied) return;
  const auto squares = values_.begin() + workspace_->layout.squares;
  if (!taken) {
    std::copy(scatter_.begin(), scatter_.end(), squares);
  } else if (!options_.missing) {
    scatter_.assign(squares, values_.end());
  }
}

template <class T>
TraceEntry CpuEngine<T>::pass() {
  const bool scatter = options_.covariance == Covariance::tied && scatter_.empty();
  row_pass(context_, Communicator(), rows_, *sums_, [&](const RowChunk<T>& chunk) {
    expectation_maximisation(backend_, *workspace_, chunk, frame_, parameters_, scatter, *sums_);
  });
  sums_->round(values_);
  keep_scatter(scatter);
  return trace_entry(values_);
}

template <class T>
void CpuEngine<T>::update(int iteration, std::int64_t& n_collapsed) {
  Matrix<double> shifts(parameters_.n_components, parameters_.n_features);
  std::copy(parameters_.shifts.data(), parameters_.shifts.data() + shifts.size(), shifts.data());
  const Moments moments{workspace_->layout, values_, options_.covariance, frame_, shifts};
  parameters_ = maximise_and_factor<T>(backend_, moments, options_, iteration, model_, n_collapsed);
  resize(model_.n_components());
}

template <class T>
kmeans::RowSample<T> CpuEngine<T>::sample_rows(std::uint64_t seed, std::int64_t count) const {
  return kmeans::sample_rows(backend_, rows_, frame_, seed, count);
}

template <class T>
kmeans::LloydRows<T> CpuEngine<T>::lloyd_rows(std::span<const T> metric, std::int64_t n_clusters) {
  return kmeans::cpu_lloyd_rows(context_, backend_, rows_, frame_, metric, n_clusters);
}

template <class T>
std::span<const double> CpuEngine<T>::initial_maximisation(
    const Matrix<T>& shifts, const InitialResponsibilities<T>& initial) {
  resize(shifts.rows());
  Parameters<T> parameters;
  parameters.covariance = options_.covariance;
  parameters.n_components = shifts.rows();
  parameters.n_features = shifts.cols();
  parameters.shifts = shifts;
  row_pass(context_, Communicator(), rows_, *sums_, [&](const RowChunk<T>& chunk) {
    culatent::gaussian_mixture::initial_maximisation(backend_, *workspace_, chunk, frame_,
                                                     parameters, initial, *sums_);
  });
  sums_->round(values_);
  keep_scatter(true);
  return values_;
}

template class CpuEngine<float>;
template class CpuEngine<double>;

}  // namespace culatent::gaussian_mixture
