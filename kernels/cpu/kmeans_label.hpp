#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/cpu/kmeans_tile.hpp"
#include "kernels/cpu/nearest.hpp"

/// The label of every row of a tile.
namespace culatent::kmeans {

using culatent::cpu::kCentreGroup;

/// Groups of centroids as nearest.hpp has them.
inline std::int64_t groups(std::int64_t n_clusters) {
  return (n_clusters + kCentreGroup - 1) / kCentreGroup;
}

/// The nearest centroid by differences in double.
template <class T>
std::int32_t look_again(const Matrix<T>& centroids, const Matrix<T>& x, std::int64_t row) {
  double least = std::numeric_limits<double>::infinity();
  std::int32_t nearest = 0;
  for (std::int64_t k = 0; k < centroids.rows(); ++k) {
    double distance = 0.0;
    for (std::int64_t j = 0; j < x.rows() && distance < least; ++j) {
      const double delta = static_cast<double>(x(j, row)) - static_cast<double>(centroids(k, j));
      distance += delta * delta;
    }
    if (distance < least) {
      least = distance;
      nearest = static_cast<std::int32_t>(k);
    }
  }
  return nearest;
}

/// Labels of the tile's rows in w.label. Returns how many took a second look.
template <class T>
std::int64_t label_tile(const CpuAssignment<T>& a, const Tile<T>& tile,
                        const Coordinates& coordinates, Worker<T>& w) {
  const std::int64_t d = a.centroids.cols();
  const std::int64_t k = a.centroids.rows();
  stage_rows(tile, coordinates, true, w);
  const auto active = static_cast<int>(culatent::cpu::round_up(tile.rows.rows, 32));
  culatent::cpu::two_best(w.x.data(), d, a.packed.data(), a.offsets.data(), groups(k), active,
                          w.best.data(), w.second.data(), w.label.data());
  if (k == 1) return 0;
  const T slack = score_slack<T>(d);
  const bool some_far = a.beyond < std::numeric_limits<T>::infinity();
  std::int64_t n_refined = 0;
  for (std::int64_t i = 0; i < tile.rows.rows; ++i) {
    const auto r = static_cast<std::size_t>(i);
    if (truly_apart(w.best[r], w.second[r], w.norm[r], a.longest, slack) &&
        (!some_far || beats_far(w.best[r], w.norm[r], a.beyond, slack))) {
      continue;
    }
    w.label[r] = look_again(a.centroids, w.x, i);
    ++n_refined;
  }
  return n_refined;
}

/// A row without direction can have no label for its cosine.
template <class T>
bool is_zero(const Coordinates& coordinates, const Worker<T>& w, std::int64_t i) {
  return coordinates.unit_length && w.factor[static_cast<std::size_t>(i)] == T{0};
}

inline void note_first(std::int64_t row, std::int64_t& first) {
  if (first < 0 || row < first) first = row;
}

}  // namespace culatent::kmeans
