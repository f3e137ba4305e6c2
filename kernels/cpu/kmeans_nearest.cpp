#include <cmath>
#include <mutex>

#include "kernels/cpu/distance.hpp"
#include "kernels/cpu/kmeans_label.hpp"

namespace culatent::kmeans {

template <class T>
std::int64_t find_nearest(const CpuBackend& backend, CpuAssignment<T>& a, const RowChunk<T>& chunk,
                          const Coordinates& coordinates, const Nearest<T>& out,
                          ExactSums& inertia) {
  const std::int64_t d = a.centroids.cols();
  const T unit =
      coordinates.unit_length ? T{1} : static_cast<T>(1.0 / coordinates.frame.scale.front());
  std::mutex mutex;
  std::int64_t zero_row = -1;
  std::vector<double> sums(a.workers.size());
  for_each_tile(
      backend, a, chunk,
      [&](const Tile<T>& tile, Worker<T>& w) {
        label_tile(a, tile, coordinates, w);
        double& sum = sums[static_cast<std::size_t>(&w - a.workers.data())];
        for (std::int64_t i = 0; i < tile.rows.rows; ++i) {
          if (is_zero<T>(coordinates, w, i)) {
            const std::lock_guard lock(mutex);
            note_first(tile.first + i, zero_row);
          }
          const std::int64_t row = tile.first + i - chunk.first;
          const auto label = w.label[static_cast<std::size_t>(i)];
          if (out.labels != nullptr) out.labels[row] = label;
          double distance = 0.0;
          for (std::int64_t j = 0; j < d; ++j) {
            const double delta =
                static_cast<double>(w.x(j, i)) - static_cast<double>(a.centroids(label, j));
            distance += delta * delta;
          }
          distance *= static_cast<double>(unit) * static_cast<double>(unit);
          const double weight = chunk.weight(tile.first + i);
          if (weight != 0.0) sum += weight * distance;  // others may lie anywhere
          if (out.squared_distances != nullptr) {
            out.squared_distances[row] = static_cast<T>(distance);
          }
        }
        if (out.distances.data == nullptr) return;
        const auto active = static_cast<int>(culatent::cpu::round_up(tile.rows.rows, 32));
        for (std::int64_t k = 0; k < a.centroids.rows(); ++k) {
          culatent::cpu::norms(w.x.data(), d, &a.centroids(k, 0), 1, active, w.best.data());
          for (std::int64_t i = 0; i < tile.rows.rows; ++i) {
            out.distances(tile.first + i - chunk.first, k) =
                std::sqrt(w.best[static_cast<std::size_t>(i)]) * unit;
          }
        }
      },
      [&](Worker<T>& w, std::int64_t) {
        double& sum = sums[static_cast<std::size_t>(&w - a.workers.data())];
        inertia.add({&sum, 1});
        sum = 0.0;
      });
  return zero_row;
}

#define CULATENT_INSTANTIATE(T)                                                                \
  template std::int64_t find_nearest(const CpuBackend&, CpuAssignment<T>&, const RowChunk<T>&, \
                                     const Coordinates&, const Nearest<T>&, ExactSums&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::kmeans
