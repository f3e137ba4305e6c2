#include <string>

#include "culatent/error.hpp"
#include "host/bernoulli_mixture.hpp"
#include "host/row_method.hpp"
#include "host/row_pass.hpp"
#include "host/scan.hpp"

namespace culatent::bernoulli_mixture {
namespace {

template <class T>
void check_shapes(const Model& model, const RowSource<T>& rows, const Outputs<T>& outputs) {
  const std::int64_t n = rows.rows();
  check_width(rows.cols(), model.n_features());
  const auto size = static_cast<std::size_t>(n);
  const MatrixView<T>& r = outputs.responsibilities;
  if ((!outputs.log_prob.empty() && outputs.log_prob.size() != size) ||
      (!outputs.labels.empty() && outputs.labels.size() != size) ||
      (r.data != nullptr && (r.rows != n || r.cols != model.n_components()))) {
    throw invalid_argument(
        "an output does not have the rows or components of the input",
        std::to_string(n) + " rows, " + std::to_string(model.n_components()) + " components",
        "size every output by rows and components");
  }
}

}  // namespace

template <class T>
Summary evaluate(const Context& context, const Model& model, const RowSource<T>& rows,
                 const Outputs<T>& outputs) {
  check_model(model, "model");
  check_shapes(model, rows, outputs);
  check_place(context, rows);
  if (rows.rows() == 0) return {};
  const CpuBackend backend{context.threads(), context.n_threads()};
  scan(context, backend, rows, {}, {outputs.missing, false});  // for what is not finite
  const Parameters<T> parameters(model, outputs.missing);
  CpuWorkspace<T> workspace(backend,
                            Layout(model.n_components(), model.n_features(), outputs.missing),
                            model.n_components(), model.n_features(), rows.in_place());
  ExactSums sums(Layout::counts);
  BadValue bad;
  row_pass(context, Communicator(), FitRows<T>{rows, {}}, sums, [&](const RowChunk<T>& chunk) {
    expectation(backend, workspace, chunk, parameters, outputs, sums, bad);
  });
  check_values(bad);
  const double n = static_cast<double>(rows.rows());
  return {sums.value(Layout::kLogLikelihood) / n, sums.value(Layout::kEntropy) / n};
}

template <class T>
void log_prob(const Context& context, const Model& model, MatrixView<const T> rows,
              std::span<T> out) {
  evaluate<T>(context, model, MatrixRows<T>(rows), {.log_prob = out});
}

template <class T>
void responsibilities(const Context& context, const Model& model, MatrixView<const T> rows,
                      MatrixView<T> out) {
  evaluate<T>(context, model, MatrixRows<T>(rows), {.responsibilities = out});
}

template <class T>
void predict(const Context& context, const Model& model, MatrixView<const T> rows,
             std::span<std::int32_t> out) {
  evaluate<T>(context, model, MatrixRows<T>(rows), {.labels = out});
}

template <class T>
double score(const Context& context, const Model& model, MatrixView<const T> rows) {
  return evaluate<T>(context, model, MatrixRows<T>(rows)).log_likelihood;
}

#define CULATENT_INSTANTIATE(T)                                                                    \
  template Summary evaluate(const Context&, const Model&, const RowSource<T>&, const Outputs<T>&); \
  template void log_prob(const Context&, const Model&, MatrixView<const T>, std::span<T>);         \
  template void responsibilities(const Context&, const Model&, MatrixView<const T>,                \
                                 MatrixView<T>);                                                   \
  template void predict(const Context&, const Model&, MatrixView<const T>,                         \
                        std::span<std::int32_t>);                                                  \
  template double score(const Context&, const Model&, MatrixView<const T>);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::bernoulli_mixture
