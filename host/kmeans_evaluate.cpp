#include <limits>
#include <string>

#include "culatent/error.hpp"
#include "host/kmeans_method.hpp"
#include "host/place.hpp"
#include "host/row_method.hpp"
#include "host/row_pass.hpp"
#ifdef CULATENT_HAS_CUDA
#include "host/kmeans_cuda.hpp"
#endif

namespace culatent::kmeans {
namespace {

template <class T>
void check_shapes(const Model& model, const RowSource<T>& rows, const Outputs<T>& outputs) {
  const std::int64_t n = rows.rows();
  check_width(rows.cols(), model.n_features());
  const auto size = static_cast<std::size_t>(n);
  const bool wrong_distances =
      outputs.distances.data != nullptr &&
      (outputs.distances.rows != n || outputs.distances.cols != model.n_clusters());
  if ((!outputs.labels.empty() && outputs.labels.size() != size) ||
      (!outputs.squared_distances.empty() && outputs.squared_distances.size() != size) ||
      wrong_distances) {
    throw invalid_argument(
        "an output does not have the rows or clusters of the input",
        std::to_string(n) + " rows, " + std::to_string(model.n_clusters()) + " clusters",
        "size every output by rows and clusters");
  }
  if (outputs.distances.data != nullptr && outputs.distances.space != outputs.space) {
    throw invalid_argument("the view of the distances and `space` name different memory", "Outputs",
                           "give both the memory that all outputs lie in");
  }
}

template <class T>
void check_outputs(const Context& context, const Outputs<T>& outputs) {
  const auto check = [&](auto* data, std::size_t size) {
    const auto n = static_cast<std::int64_t>(size);
    check_view(context, MatrixView(data, n, 1, 1, outputs.space), "the outputs are");
  };
  check(outputs.labels.data(), outputs.labels.size());
  check(outputs.squared_distances.data(), outputs.squared_distances.size());
  check_view(context, outputs.distances, "the outputs are");
}

void check_directions(std::int64_t zero_row) {
  if (zero_row < 0) return;
  throw data_error("all values are 0: the row has no direction", "row " + std::to_string(zero_row),
                   "leave it out");
}

}  // namespace

template <class T>
Summary evaluate(const Context& context, const Model& model, const RowSource<T>& rows,
                 const Outputs<T>& outputs) {
  check_model(model, "model");
  check_shapes(model, rows, outputs);
  check_rows(context, rows);
  check_outputs(context, outputs);
  if (rows.rows() == 0) return {};
#ifdef CULATENT_HAS_CUDA
  if (context.cuda() != nullptr) {
    const ActiveDevice active(*context.cuda());
    const Evaluated result = cuda_evaluate(context, model, rows, outputs);
    check_directions(result.zero_row);
    return {result.inertia};
  }
#endif
  const CpuBackend backend{context.threads(), context.n_threads()};
  const DataSummary data = scan(context, backend, rows, {}, {.can_miss = false});
  const Coordinates coordinates = model_coordinates<T>(model, data);
  CpuAssignment<T> assignment(backend, model.n_clusters(), model.n_features(), rows.in_place(),
                              nullptr);
  assignment.set_centroids(coordinates, to_coordinates<T>(model.centroids, coordinates));
  ExactSums inertia(1);
  std::int64_t zero_row = -1;
  for_each_chunk(context, FitRows<T>{rows, {}}, [&](const RowChunk<T>& chunk) {
    const auto first = static_cast<std::size_t>(chunk.first);
    Nearest<T> out;
    if (!outputs.labels.empty()) out.labels = outputs.labels.data() + first;
    if (!outputs.squared_distances.empty()) {
      out.squared_distances = outputs.squared_distances.data() + first;
    }
    if (outputs.distances.data != nullptr) {
      out.distances = outputs.distances.slice(chunk.first, chunk.count);
    }
    const std::int64_t bad = find_nearest(backend, assignment, chunk, coordinates, out, inertia);
    if (zero_row < 0) zero_row = bad;
  });
  check_directions(zero_row);
  return {inertia.value(0)};
}

template <class T>
void predict(const Context& context, const Model& model, MatrixView<const T> rows,
             std::span<std::int32_t> out, MemorySpace space) {
  evaluate<T>(context, model, MatrixRows<T>(rows), {.labels = out, .space = space});
}

template <class T>
void transform(const Context& context, const Model& model, MatrixView<const T> rows,
               MatrixView<T> out) {
  evaluate<T>(context, model, MatrixRows<T>(rows), {.distances = out, .space = out.space});
}

template <class T>
double score(const Context& context, const Model& model, MatrixView<const T> rows) {
  return evaluate<T>(context, model, MatrixRows<T>(rows)).inertia;
}

#define CULATENT_INSTANTIATE(T)                                                                    \
  template Summary evaluate(const Context&, const Model&, const RowSource<T>&, const Outputs<T>&); \
  template void predict(const Context&, const Model&, MatrixView<const T>,                         \
                        std::span<std::int32_t>, MemorySpace);                                     \
  template void transform(const Context&, const Model&, MatrixView<const T>, MatrixView<T>);       \
  template double score(const Context&, const Model&, MatrixView<const T>);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::kmeans
