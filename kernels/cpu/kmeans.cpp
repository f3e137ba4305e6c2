#include "kernels/kmeans.hpp"

#include <algorithm>
#include <limits>
#include <mutex>

#include "kernels/cpu/distance.hpp"
#include "kernels/cpu/tile.hpp"

namespace culatent::kmeans {
namespace {

using culatent::cpu::kTileRows;
using culatent::cpu::kTileStride;

constexpr std::int64_t kCentroids = 16;  // whose distances are held at a time

template <class T>
void nearest_centroid(std::span<const T> metric, const Matrix<T>& centroids, int active,
                      CpuScratch<T>& s) {
  const std::int64_t d = centroids.cols();
  std::fill(s.least.data(), s.least.data() + active, std::numeric_limits<T>::max());
  std::fill(s.label.begin(), s.label.end(), 0);
  for (std::int64_t first = 0; first < centroids.rows(); first += kCentroids) {
    const std::int64_t count = std::min(kCentroids, centroids.rows() - first);
    culatent::cpu::scaled_norms<T>(s.x.data(), d, centroids.data() + first * d, count,
                                   metric.data(), 0, active, s.distance.data());
    for (std::int64_t k = 0; k < count; ++k) {
      for (int row = 0; row < active; ++row) {
        const bool nearer = s.distance(k, row) < s.least(0, row);
        s.least(0, row) = nearer ? s.distance(k, row) : s.least(0, row);
        s.label[static_cast<std::size_t>(row)] =
            nearer ? static_cast<int>(first + k) : s.label[static_cast<std::size_t>(row)];
      }
    }
  }
}

}  // namespace

template <class T>
CpuScratch<T>::CpuScratch(std::int64_t n_clusters, std::int64_t n_features, bool in_place)
    : x(n_features, kTileStride),
      distance(kCentroids, kTileStride),
      least(1, kTileStride),
      label(kTileRows),
      sums(static_cast<std::size_t>(Layout(n_clusters, n_features).size)) {
  if (!in_place) block = Matrix<T>(kBlockRows, n_features);
}

template <class T>
std::int64_t CpuScratch<T>::bytes(std::int64_t n_clusters, std::int64_t n_features, bool in_place) {
  const std::int64_t size = static_cast<std::int64_t>(sizeof(T));
  return checked_product(size * (in_place ? 0 : kBlockRows), n_features) +
         checked_product(size * kTileStride, n_features + kCentroids + 1) + 4 * kTileRows +
         8 * Layout(n_clusters, n_features).size;
}

template <class T>
void assign(const CpuBackend& backend, std::vector<CpuScratch<T>>& workspace,
            const RowChunk<T>& chunk, const Frame& frame, std::span<const T> metric,
            const Matrix<T>& centroids, ExactSums& sums, Farthest& farthest) {
  const Layout layout(centroids.rows(), centroids.cols());
  const std::int64_t d = centroids.cols();
  std::mutex mutex;
  culatent::cpu::for_each_block(
      backend, chunk,
      [&](int worker) { return workspace[static_cast<std::size_t>(worker)].block.view(); },
      [&](MatrixView<const T> rows, std::int64_t first, int worker) {
        CpuScratch<T>& s = workspace[static_cast<std::size_t>(worker)];
        std::fill(s.sums.begin(), s.sums.end(), 0.0);
        Farthest block_farthest;
        for (std::int64_t begin = 0; begin < rows.rows; begin += kTileRows) {
          const std::int64_t count = std::min<std::int64_t>(kTileRows, rows.rows - begin);
          culatent::cpu::stage(rows.slice(begin, count), frame, s.x.data());
          nearest_centroid(metric, centroids, static_cast<int>(culatent::cpu::round_up(count, 32)),
                           s);
          for (std::int64_t i = 0; i < count; ++i) {
            const double weight = chunk.weight(first + begin + i);
            if (weight == 0.0) continue;
            const std::int64_t label = s.label[static_cast<std::size_t>(i)];
            const double distance = static_cast<double>(s.least(0, i));
            s.sums[Layout::kWeight] += weight;
            s.sums[Layout::kInertia] += weight * distance;
            s.sums[static_cast<std::size_t>(Layout::counts + label)] += weight;
            double* sum = s.sums.data() + layout.sums + label * d;
            for (std::int64_t j = 0; j < d; ++j) {
              sum[j] += weight * static_cast<double>(s.x(j, i));
            }
            if (distance > block_farthest.distance) {
              block_farthest = {distance, first + begin + i};
            }
          }
        }
        sums.add(s.sums);
        const std::lock_guard lock(mutex);
        if (block_farthest.distance > farthest.distance ||
            (block_farthest.distance == farthest.distance && block_farthest.row < farthest.row)) {
          farthest = block_farthest;
        }
      });
}

template struct CpuScratch<float>;
template struct CpuScratch<double>;
template void assign(const CpuBackend&, std::vector<CpuScratch<float>>&, const RowChunk<float>&,
                     const Frame&, std::span<const float>, const Matrix<float>&, ExactSums&,
                     Farthest&);
template void assign(const CpuBackend&, std::vector<CpuScratch<double>>&, const RowChunk<double>&,
                     const Frame&, std::span<const double>, const Matrix<double>&, ExactSums&,
                     Farthest&);

}  // namespace culatent::kmeans
