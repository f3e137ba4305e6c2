#include "host/kmeans_engine.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "host/row_pass.hpp"
#include "kernels/kmeans_rounding.hpp"

namespace culatent::kmeans {
template <class T>
Matrix<T> gather(const CpuBackend& backend, const RowSource<T>& source,
                 std::span<const std::int64_t> rows) {
  const auto n = static_cast<std::int64_t>(rows.size());
  Matrix<T> gathered(n, source.cols());
  const std::int64_t n_blocks = (n + kBlockRows - 1) / kBlockRows;
  backend.threads.parallel_for(n_blocks, backend.n_workers, [&](std::int64_t block, int) {
    const std::int64_t end = std::min(n, (block + 1) * kBlockRows);
    for (std::int64_t i = block * kBlockRows; i < end; ++i) {
      const MatrixView<T> target = gathered.view().slice(i, 1);
      const MatrixView<const T> read = source.read(rows[static_cast<std::size_t>(i)], target);
      if (read.data != target.data) std::copy_n(read.data, source.cols(), target.data);
    }
  });
  return gathered;
}

template <class T>
std::vector<double> weights_of(const FitRows<T>& rows, std::span<const std::int64_t> some) {
  const RowChunk<T> all{rows.source, 0, rows.source.rows(), rows.weights, rows.weight_scale};
  std::vector<double> weights;
  weights.reserve(some.size());
  for (const std::int64_t row : some) weights.push_back(all.weight(row));
  return weights;
}

template <class T>
void place(const Coordinates& coordinates, Matrix<T>& rows) {
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    T square{};
    for (std::int64_t j = 0; j < rows.cols(); ++j) {
      const auto c = static_cast<std::size_t>(j);
      const T scale = static_cast<T>(coordinates.frame.scale[c]);
      T& value = rows(i, j);
      value = value * scale - static_cast<T>(coordinates.frame.centre[c]) * scale;
      square += value * value;
    }
    if (!coordinates.unit_length) continue;
    const T factor = square < kSmallSquare<T>
                         ? unit_factor<T>(rows.cols(), [&](std::int64_t j) { return rows(i, j); })
                         : T{1} / std::sqrt(square);
    if (!(factor > T{0})) continue;
    for (std::int64_t j = 0; j < rows.cols(); ++j) rows(i, j) *= factor;
  }
}

void FarthestRows::meet(std::int64_t row, double squared_distance, double weight) {
  if (squared_distance <= nothing_ || weight <= 0.0) return;
  kept_.push({squared_distance, row});
  if (static_cast<std::int64_t>(kept_.size()) > count_) kept_.pop();
}

std::vector<std::int64_t> FarthestRows::take() {
  std::vector<std::int64_t> rows(kept_.size());
  for (std::size_t i = rows.size(); i-- > 0; kept_.pop()) rows[i] = kept_.top().row;
  return rows;
}

template <class T>
CpuEngine<T>::CpuEngine(const Context& context, const Plan& plan, const FitRows<T>& rows,
                        const Coordinates& coordinates, const FixedPoint& fixed,
                        const Options& options)
    : context_(context),
      backend_{context.threads(), plan.n_workers},
      rows_(rows),
      coordinates_(coordinates),
      fixed_(fixed),
      assignment_(backend_, options.n_clusters, rows.source.cols(), rows.source.in_place(),
                  &fixed) {
  if (options.mini_batch == 0) labels_.emplace(rows.source.rows(), options.n_clusters);
}

template <class T>
DataSummary CpuEngine<T>::scan(const Context& context, const Plan& plan, const RowSource<T>& rows,
                               std::span<const double> weights, const ScanOptions& options) {
  return culatent::scan(context, CpuBackend{context.threads(), plan.n_workers}, rows, weights,
                        options);
}

template <class T>
void CpuEngine<T>::pass(const Matrix<T>& centroids, Statistics& statistics) {
  Labels* const labels = labels_ ? &*labels_ : nullptr;
  assignment_.set_centroids(coordinates_, centroids);
  statistics.clear();
  for_each_chunk(context_, rows_, [&](const RowChunk<T>& chunk) {
    assign(backend_, assignment_, chunk, coordinates_, fixed_, labels, statistics);
  });
}

template <class T>
std::int64_t CpuEngine<T>::first_zero_row() {
  Matrix<T> apart(assignment_.centroids.rows(), rows_.source.cols());  // no row is in doubt
  for (std::int64_t k = 0; k < apart.rows(); ++k) {
    apart(k, 0) = static_cast<T>(k) / static_cast<T>(apart.rows());
  }
  Statistics statistics(fixed_, apart.rows());
  pass(apart, statistics);
  return statistics.zero_row;
}

template <class T>
void CpuEngine<T>::pass_batch(std::span<const std::int64_t> rows, const Matrix<T>& centroids,
                              Statistics& statistics) {
  const std::vector<double> weights = weights_of(rows_, rows);
  const Matrix<T> batch = gather(backend_, rows_.source, rows);
  const MatrixRows<T> source(batch.view());
  assignment_.set_centroids(coordinates_, centroids);
  statistics.clear();
  assign(backend_, assignment_, RowChunk<T>{source, 0, source.rows(), weights, 1.0}, coordinates_,
         fixed_, nullptr, statistics);
}

template <class T>
std::vector<std::int64_t> CpuEngine<T>::farthest(const Matrix<T>& centroids, std::int64_t count,
                                                 std::span<const std::int64_t> among,
                                                 double nothing) {
  const std::vector<double> weights = weights_of(rows_, among);
  const Matrix<T> batch = gather(backend_, rows_.source, among);
  const MatrixRows<T> batch_rows(batch.view());
  const FitRows<T> some{batch_rows, weights, 1.0};
  const FitRows<T>& looked_at = among.empty() ? rows_ : some;
  assignment_.set_centroids(coordinates_, centroids);
  FarthestRows far(count, nothing);
  std::vector<T> distances(static_cast<std::size_t>(kStepRows));
  ExactSums inertia(1);
  const std::int64_t n = looked_at.source.rows();
  for (std::int64_t first = 0; first < n; first += kStepRows) {
    const RowChunk<T> chunk{looked_at.source, first, std::min(kStepRows, n - first),
                            looked_at.weights, looked_at.weight_scale};
    Nearest<T> out;
    out.squared_distances = distances.data();
    find_nearest(backend_, assignment_, chunk, coordinates_, out, inertia);
    for (std::int64_t i = 0; i < chunk.count; ++i) {
      far.meet(first + i, static_cast<double>(distances[static_cast<std::size_t>(i)]),
               chunk.weight(first + i));
    }
  }
  std::vector<std::int64_t> rows = far.take();
  for (std::int64_t& row : rows) row = among.empty() ? row : among[static_cast<std::size_t>(row)];
  return rows;
}

template <class T>
std::vector<double> CpuEngine<T>::weights_near(const Matrix<T>& candidates) {
  CpuAssignment<T> assignment(backend_, candidates.rows(), candidates.cols(),
                              rows_.source.in_place(), nullptr);
  assignment.set_centroids(coordinates_, candidates);
  std::vector<double> weights(static_cast<std::size_t>(candidates.rows()));
  std::vector<std::int32_t> labels(static_cast<std::size_t>(kStepRows));
  ExactSums inertia(1);
  const std::int64_t n = rows_.source.rows();
  for (std::int64_t first = 0; first < n; first += kStepRows) {
    const RowChunk<T> chunk{rows_.source, first, std::min(kStepRows, n - first), rows_.weights,
                            rows_.weight_scale};
    Nearest<T> out;
    out.labels = labels.data();
    find_nearest(backend_, assignment, chunk, coordinates_, out, inertia);
    for (std::int64_t i = 0; i < chunk.count; ++i) {
      weights[static_cast<std::size_t>(labels[static_cast<std::size_t>(i)])] +=
          chunk.weight(first + i);
    }
  }
  return weights;
}

template <class T>
Matrix<T> CpuEngine<T>::fetch(std::span<const std::int64_t> rows) const {
  Matrix<T> result = gather(backend_, rows_.source, rows);
  place(coordinates_, result);
  return result;
}

template <class T>
void CpuEngine<T>::begin_seeding() {
  least_.assign(static_cast<std::size_t>(rows_.source.rows()), std::numeric_limits<T>::max());
}

template <class T>
std::vector<double> CpuEngine<T>::lower(const Matrix<T>& candidates) {
  std::vector<double> potentials(
      static_cast<std::size_t>((rows_.source.rows() + kBlockRows - 1) / kBlockRows));
  for_each_chunk(context_, rows_, [&](const RowChunk<T>& chunk) {
    lower_distances<T>(backend_, assignment_, chunk, coordinates_, candidates, least_, potentials);
  });
  return potentials;
}

template <class T>
std::vector<double> CpuEngine<T>::try_out(const Matrix<T>& candidates) {
  ExactSums sums(candidates.rows());
  for_each_chunk(context_, rows_, [&](const RowChunk<T>& chunk) {
    try_candidates<T>(backend_, assignment_, chunk, coordinates_, candidates, least_, sums);
  });
  std::vector<double> potentials(static_cast<std::size_t>(candidates.rows()));
  sums.round(potentials);
  return potentials;
}

template <class T>
std::vector<double> CpuEngine<T>::shares(std::int64_t first, std::int64_t count) const {
  const RowChunk<T> all{rows_.source, 0, rows_.source.rows(), rows_.weights, rows_.weight_scale};
  std::vector<double> result(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    result[static_cast<std::size_t>(i)] =
        all.weight(first + i) * static_cast<double>(least_[static_cast<std::size_t>(first + i)]);
  }
  return result;
}

template <class T>
void CpuEngine<T>::end_seeding() {
  least_ = {};
}

#define CULATENT_INSTANTIATE(T)                                                              \
  template Matrix<T> gather(const CpuBackend&, const RowSource<T>&,                          \
                            std::span<const std::int64_t>);                                  \
  template std::vector<double> weights_of(const FitRows<T>&, std::span<const std::int64_t>); \
  template void place(const Coordinates&, Matrix<T>&);                                       \
  template class CpuEngine<T>;
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::kmeans
