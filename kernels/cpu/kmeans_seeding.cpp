#include <algorithm>

#include "kernels/cpu/distance.hpp"
#include "kernels/cpu/kmeans_tile.hpp"

namespace culatent::kmeans {
namespace {

// Squared distances of the tile's rows to one candidate, in w.best.
template <class T>
void to_candidate(const Matrix<T>& candidates, std::int64_t c, const Tile<T>& tile, Worker<T>& w) {
  const auto active = static_cast<int>(culatent::cpu::round_up(tile.rows.rows, 32));
  culatent::cpu::norms(w.x.data(), candidates.cols(), candidates.data() + c * candidates.cols(), 1,
                       active, w.best.data());
}

}  // namespace

template <class T>
void lower_distances(const CpuBackend& backend, CpuAssignment<T>& a, const RowChunk<T>& chunk,
                     const Coordinates& coordinates, const Matrix<T>& candidates,
                     std::span<T> least, std::span<double> potentials) {
  for_each_tile(
      backend, a, chunk,
      [&](const Tile<T>& tile, Worker<T>& w) {
        stage_rows(tile, coordinates, w);
        T* lowest = least.data() + tile.first;
        for (std::int64_t c = 0; c < candidates.rows(); ++c) {
          to_candidate(candidates, c, tile, w);
          for (std::int64_t i = 0; i < tile.rows.rows; ++i) {
            lowest[i] = std::min(lowest[i], w.best[static_cast<std::size_t>(i)]);
          }
        }
        for (std::int64_t i = 0; i < tile.rows.rows; ++i) {
          if (chunk.weight(tile.first + i) == 0.0) lowest[i] = T{0};
        }
      },
      [&](Worker<T>&, std::int64_t first) {
        const std::int64_t end = std::min(first + kBlockRows, chunk.source.rows());
        double sum = 0.0;
        for (std::int64_t i = first; i < end; ++i) {
          sum += chunk.weight(i) * static_cast<double>(least[static_cast<std::size_t>(i)]);
        }
        potentials[static_cast<std::size_t>(first / kBlockRows)] = sum;
      });
}

template <class T>
void try_candidates(const CpuBackend& backend, CpuAssignment<T>& a, const RowChunk<T>& chunk,
                    const Coordinates& coordinates, const Matrix<T>& candidates,
                    std::span<const T> least, ExactSums& sums) {
  std::vector<std::vector<double>> of_worker(
      a.workers.size(), std::vector<double>(static_cast<std::size_t>(candidates.rows())));
  const auto of = [&](const Worker<T>& w) -> std::vector<double>& {
    return of_worker[static_cast<std::size_t>(&w - a.workers.data())];
  };
  for_each_tile(
      backend, a, chunk,
      [&](const Tile<T>& tile, Worker<T>& w) {
        stage_rows(tile, coordinates, w);
        const T* lowest = least.data() + tile.first;
        for (std::int64_t c = 0; c < candidates.rows(); ++c) {
          to_candidate(candidates, c, tile, w);
          double sum = 0.0;
          for (std::int64_t i = 0; i < tile.rows.rows; ++i) {
            const T distance = std::min(lowest[i], w.best[static_cast<std::size_t>(i)]);
            sum += chunk.weight(tile.first + i) * static_cast<double>(distance);
          }
          of(w)[static_cast<std::size_t>(c)] += sum;
        }
      },
      [&](Worker<T>& w, std::int64_t) {
        sums.add(of(w));
        std::fill(of(w).begin(), of(w).end(), 0.0);
      });
}

#define CULATENT_INSTANTIATE(T)                                                           \
  template void lower_distances(const CpuBackend&, CpuAssignment<T>&, const RowChunk<T>&, \
                                const Coordinates&, const Matrix<T>&, std::span<T>,       \
                                std::span<double>);                                       \
  template void try_candidates(const CpuBackend&, CpuAssignment<T>&, const RowChunk<T>&,  \
                               const Coordinates&, const Matrix<T>&, std::span<const T>,  \
                               ExactSums&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::kmeans
