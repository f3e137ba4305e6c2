#include "host/bernoulli_mixture_engine.hpp"

namespace culatent::bernoulli_mixture {

template <class T>
CpuEngine<T>::CpuEngine(const Context& context, const Plan& plan, const FitRows<T>& rows,
                        const Options& options)
    : context_(context),
      backend_{context.threads(), plan.n_workers},
      rows_(rows),
      options_(options),
      layout_(options.n_components, rows.source.cols(), options.missing),
      workspace_(backend_, layout_, options.n_components, rows.source.cols(),
                 rows.source.in_place()),
      sums_(layout_.size),
      values_(static_cast<std::size_t>(layout_.size)) {}

template <class T>
DataSummary CpuEngine<T>::scan(const Context& context, const Plan& plan, const RowSource<T>& rows,
                               std::span<const double> weights, const ScanOptions& options) {
  return culatent::scan(context, CpuBackend{context.threads(), plan.n_workers}, rows, weights,
                        options);
}

template <class T>
PassSums CpuEngine<T>::pass() {
  const Parameters<T> parameters(model_, options_.missing);
  PassSums result;
  row_pass(context_, Communicator(), rows_, sums_, [&](const RowChunk<T>& chunk) {
    expectation_maximisation(backend_, workspace_, chunk, parameters, sums_, result.bad);
  });
  sums_.round(values_);
  result.weight = values_[Layout::kWeight];
  result.log_likelihood = values_[Layout::kLogLikelihood];
  result.entropy = values_[Layout::kEntropy];
  result.log_prior = log_prior(model_, options_.smoothing);
  return result;
}

template <class T>
void CpuEngine<T>::update(std::int64_t& n_empty) {
  const std::int64_t d = model_.n_features();
  const double total = values_[Layout::kWeight];
  for (std::int64_t k = 0; k < model_.n_components(); ++k) {
    const double count = values_[static_cast<std::size_t>(Layout::counts + k)];
    model_.weights[static_cast<std::size_t>(k)] = count / total;
    if (!(count > 0.0)) {
      ++n_empty;
      continue;
    }
    const double* sums = values_.data() + layout_.sums + k * layout_.inputs;
    for (std::int64_t j = 0; j < d; ++j) {
      const double rows = options_.missing ? sums[d + j] : count;
      model_.means(k, j) = smoothed_mean(options_, sums[j] / rows_.weight_scale,
                                         rows / rows_.weight_scale, model_.means(k, j));
    }
  }
}

template class CpuEngine<float>;
template class CpuEngine<double>;

}  // namespace culatent::bernoulli_mixture
