#include <string>

#include "culatent/error.hpp"
#include "host/bernoulli_mixture.hpp"
#include "host/place.hpp"
#include "host/row_method.hpp"
#include "host/row_pass.hpp"
#include "host/scan.hpp"
#ifdef CULATENT_HAS_CUDA
#include "host/bernoulli_mixture_cuda.hpp"
#endif

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
  if (r.data != nullptr && r.space != outputs.space) {
    throw invalid_argument("the view of the responsibilities and `space` name different memory",
                           "Outputs", "give both the memory that all outputs lie in");
  }
}

template <class T>
void check_places(const Context& context, const RowSource<T>& rows, const Outputs<T>& outputs) {
  check_rows(context, rows);
  const auto check = [&](auto* data, std::size_t size) {
    const auto n = static_cast<std::int64_t>(size);
    check_view(context, MatrixView(data, n, 1, 1, outputs.space), "the outputs are");
  };
  check(outputs.log_prob.data(), outputs.log_prob.size());
  check(outputs.labels.data(), outputs.labels.size());
  check_view(context, outputs.responsibilities, "the outputs are");
}

}  // namespace

template <class T>
Summary evaluate(const Context& context, const Model& model, const RowSource<T>& rows,
                 const Outputs<T>& outputs) {
  check_model(model, "model");
  check_shapes(model, rows, outputs);
  check_places(context, rows, outputs);
  if (rows.rows() == 0) return {};
#ifdef CULATENT_HAS_CUDA
  if (context.cuda() != nullptr) {
    const ActiveDevice active(*context.cuda());
    return cuda_evaluate(context, model, rows, outputs);
  }
#endif
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
              std::span<T> out, MemorySpace space) {
  evaluate<T>(context, model, MatrixRows<T>(rows), {.log_prob = out, .space = space});
}

template <class T>
void responsibilities(const Context& context, const Model& model, MatrixView<const T> rows,
                      MatrixView<T> out) {
  evaluate<T>(context, model, MatrixRows<T>(rows), {.responsibilities = out, .space = out.space});
}

template <class T>
void predict(const Context& context, const Model& model, MatrixView<const T> rows,
             std::span<std::int32_t> out, MemorySpace space) {
  evaluate<T>(context, model, MatrixRows<T>(rows), {.labels = out, .space = space});
}

template <class T>
double score(const Context& context, const Model& model, MatrixView<const T> rows) {
  return evaluate<T>(context, model, MatrixRows<T>(rows)).log_likelihood;
}

#define CULATENT_INSTANTIATE(T)                                                                    \
  template Summary evaluate(const Context&, const Model&, const RowSource<T>&, const Outputs<T>&); \
  template void log_prob(const Context&, const Model&, MatrixView<const T>, std::span<T>,          \
                         MemorySpace);                                                             \
  template void responsibilities(const Context&, const Model&, MatrixView<const T>,                \
                                 MatrixView<T>);                                                   \
  template void predict(const Context&, const Model&, MatrixView<const T>,                         \
                        std::span<std::int32_t>, MemorySpace);                                     \
  template double score(const Context&, const Model&, MatrixView<const T>);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::bernoulli_mixture
