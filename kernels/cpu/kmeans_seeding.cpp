#include <algorithm>

#include "kernels/cpu/distance.hpp"
#include "kernels/cpu/kmeans_tile.hpp"

namespace culatent::kmeans {
namespace {

using culatent::cpu::Simd;

constexpr int kVectors = 4;  // of rows, whose distances to two candidates are in registers together

// least[v] = min(least[v], |x_v − c|²) over kCount candidates that lie one after another.
template <int kCount, class T>
void meet(const T* x, const T* candidates, std::int64_t d,
          typename Simd<T>::Vec (&least)[kVectors]) {
  using S = Simd<T>;
  typename S::Vec distance[kCount][kVectors] = {};
  for (std::int64_t j = 0; j < d; ++j) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const typename S::Vec value = S::load(x + j * kTileStride + v * S::kLanes);
#pragma GCC unroll 2
      for (int c = 0; c < kCount; ++c) {
        const typename S::Vec delta = value - S::fill(candidates[c * d + j]);
        distance[c][v] += delta * delta;
      }
    }
  }
#pragma GCC unroll 2
  for (int c = 0; c < kCount; ++c) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      least[v] = distance[c][v] < least[v] ? distance[c][v] : least[v];
    }
  }
}

// lowest[row] = min(lowest[row], |x_row − c|²) over the candidates, for the rows below `active` of
// the tile x. Features in ascending order, subtracted before they are squared.
//   per vector of rows and candidate D subtractions and D FMA, and 3 loads for 4 of each
template <class T>
void lower_tile(const T* x, const Matrix<T>& candidates, int active, T* lowest) {
  using S = Simd<T>;
  const std::int64_t d = candidates.cols();
  for (int row = 0; row < active; row += kVectors * S::kLanes) {
    typename S::Vec least[kVectors];
    for (int v = 0; v < kVectors; ++v) least[v] = S::load(lowest + row + v * S::kLanes);
    std::int64_t c = 0;
    for (; c + 2 <= candidates.rows(); c += 2) meet<2>(x + row, &candidates(c, 0), d, least);
    if (c < candidates.rows()) meet<1>(x + row, &candidates(c, 0), d, least);
    for (int v = 0; v < kVectors; ++v) S::store(lowest + row + v * S::kLanes, least[v]);
  }
}

int padded(std::int64_t rows) { return static_cast<int>(culatent::cpu::round_up(rows, 32)); }

}  // namespace

template <class T>
void lower_distances(const CpuBackend& backend, CpuAssignment<T>& a, const RowChunk<T>& chunk,
                     const Coordinates& coordinates, const Matrix<T>& candidates,
                     std::span<T> least, std::span<double> potentials) {
  for_each_tile(
      backend, a, chunk,
      [&](const Tile<T>& tile, Worker<T>& w) {
        stage_rows(tile, coordinates, false, w);
        T* lowest = least.data() + tile.first;
        std::copy_n(lowest, tile.rows.rows, w.best.data());
        lower_tile(w.x.data(), candidates, padded(tile.rows.rows), w.best.data());
        std::copy_n(w.best.data(), tile.rows.rows, lowest);
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
        stage_rows(tile, coordinates, false, w);
        const T* lowest = least.data() + tile.first;
        for (std::int64_t c = 0; c < candidates.rows(); ++c) {
          culatent::cpu::norms(w.x.data(), candidates.cols(), &candidates(c, 0), 1,
                               padded(tile.rows.rows), w.best.data());
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
