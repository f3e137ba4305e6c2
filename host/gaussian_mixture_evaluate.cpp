#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "culatent/error.hpp"
#include "host/gaussian_mixture.hpp"
#include "host/parallel.hpp"
#include "host/place.hpp"
#include "host/row_method.hpp"
#include "host/row_pass.hpp"
#include "kernels/cpu/gaussian_mixture.hpp"
#include "kernels/scan.hpp"
#ifdef CULATENT_HAS_CUDA
#include "host/cuda_scan.hpp"
#include "host/gaussian_mixture_cuda.hpp"
#endif

namespace culatent::gaussian_mixture {
namespace {

template <class T>
void check_shapes(const Model& model, const RowSource<T>& rows, const Outputs<T>& outputs) {
  const std::int64_t n = rows.rows();
  check_width(rows.cols(), model.n_features());
  const auto size = static_cast<std::size_t>(n);
  const bool wrong_responsibilities =
      outputs.responsibilities.data != nullptr &&
      (outputs.responsibilities.rows != n || outputs.responsibilities.cols != model.n_components());
  if ((!outputs.log_prob.empty() && outputs.log_prob.size() != size) ||
      (!outputs.labels.empty() && outputs.labels.size() != size) || wrong_responsibilities) {
    throw invalid_argument(
        "an output does not have the rows or components of the input",
        std::to_string(n) + " rows, " + std::to_string(model.n_components()) + " components",
        "size every output by rows and components");
  }
  if (outputs.responsibilities.data != nullptr && outputs.responsibilities.space != outputs.space) {
    throw invalid_argument("the view of the responsibilities and `space` name different memory",
                           "Outputs", "give both the memory that all outputs lie in");
  }
}

template <class T>
void check_places(const Context& context, const Outputs<T>& outputs) {
  const auto check = [&](auto* data, std::size_t size) {
    const auto n = static_cast<std::int64_t>(size);
    check_view(context, MatrixView(data, n, 1, 1, outputs.space), "the outputs are");
  };
  check(outputs.log_prob.data(), outputs.log_prob.size());
  check(outputs.labels.data(), outputs.labels.size());
  check_view(context, outputs.responsibilities, "the outputs are");
}

template <class T>
ColumnScan scan_on_host(const Context& context, const CpuBackend& backend, const RowSource<T>& rows,
                        bool missing) {
  ColumnScan columns(rows.cols());
  std::vector<Matrix<T>> buffers;
  for (int worker = 0; worker < backend.n_workers; ++worker) {
    buffers.emplace_back(rows.in_place() ? 0 : kBlockRows, rows.cols());
  }
  row_pass(
      context, Communicator(), FitRows<T>{rows, {}}, columns.sums,
      [&](const RowChunk<T>& chunk) { scan_columns(backend, buffers, chunk, missing, columns); });
  return columns;
}

// Throws for input that is not finite, before anything is written.
void check_values(const ColumnScan& columns) {
  if (columns.bad_row < 0) return;
  throw data_error(
      std::isnan(columns.bad_value) ? "NaN in the data" : "infinite value in the data",
      "row " + std::to_string(columns.bad_row) + ", column " + std::to_string(columns.bad_column),
      "remove or fill it, or mark NaN as missing (missing / --missing)");
}

// The model's frame, with scales under which even the farthest row stays in T. They are powers of
// two, so a smaller one costs no digits.
template <class T>
Frame evaluation_frame(const Model& model, const ColumnScan& columns) {
  Frame frame = model_frame<T>(model);
  for (std::size_t j = 0; j < frame.scale.size(); ++j) {
    const double reach = std::max(std::abs(columns.minimum[j]), std::abs(columns.maximum[j]));
    if (!(reach > 0.0) || !std::isfinite(reach)) continue;  // infinite: nothing but missing values
    const int most = std::numeric_limits<T>::max_exponent - 2 - std::ilogb(reach);
    frame.scale[j] = std::min(frame.scale[j], std::ldexp(1.0, most));
  }
  return frame;
}

}  // namespace

template <class T>
Summary<T> evaluate(const Context& context, const Model& model, const RowSource<T>& rows,
                    const Outputs<T>& outputs) {
  check_model(model, "evaluate");
  check_shapes(model, rows, outputs);
  check_place(context, rows, outputs.missing);
  check_places(context, outputs);
  if (rows.rows() == 0) return {};
  const double n = static_cast<double>(rows.rows());
  const CpuBackend backend{context.threads(), context.n_threads()};
#ifdef CULATENT_HAS_CUDA
  if (context.cuda() != nullptr) {
    const ActiveDevice active(*context.cuda());
    const Evaluation evaluation = cuda_evaluation(context, model, rows, outputs);
    const CudaBackend cuda{*context.cuda(), context.threads(), evaluation.n_workers};
    const ColumnScan columns =
        cuda_scan_columns(context, cuda, FitRows<T>{rows, {}}, {}, evaluation.device_bytes);
    check_values(columns);
    const Frame frame = evaluation_frame<T>(model, columns);
    const UpdateStatus sums = cuda_expectation(cuda, model, rows, frame, evaluation.flow, outputs);
    return {sums.log_likelihood / n, sums.entropy / n};
  }
#endif
  const ColumnScan columns = scan_on_host(context, backend, rows, outputs.missing);
  check_values(columns);
  const Frame frame = evaluation_frame<T>(model, columns);
  std::vector<std::int64_t> failed;
  const Parameters<T> parameters = prepare<T>(backend, model, frame, outputs.missing, failed);
  if (!failed.empty()) throw_singular(model, failed, "model");
  CpuWorkspace<T> workspace(backend, model.covariance, model.n_components(), model.n_features(),
                            rows.in_place());
  ExactSums sums(Layout::kEntropy + 1);
  row_pass(context, Communicator(), FitRows<T>{rows, {}}, sums, [&](const RowChunk<T>& chunk) {
    expectation(backend, workspace, chunk, frame, parameters, outputs, sums);
  });
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

#define CULATENT_INSTANTIATE(T)                                                           \
  template Summary<T> evaluate(const Context&, const Model&, const RowSource<T>&,         \
                               const Outputs<T>&);                                        \
  template void log_prob(const Context&, const Model&, MatrixView<const T>, std::span<T>, \
                         MemorySpace);                                                    \
  template void responsibilities(const Context&, const Model&, MatrixView<const T>,       \
                                 MatrixView<T>);                                          \
  template void predict(const Context&, const Model&, MatrixView<const T>,                \
                        std::span<std::int32_t>, MemorySpace);                            \
  template double score(const Context&, const Model&, MatrixView<const T>);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::gaussian_mixture
