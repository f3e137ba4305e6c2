#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/cpu/tile.hpp"
#include "kernels/kmeans.hpp"

/// Tiles of rows in the coordinates of k-means.
namespace culatent::kmeans {

using culatent::cpu::kTileRows;
using culatent::cpu::kTileStride;

template <class T>
using Worker = typename CpuAssignment<T>::Worker;

/// The rows of a tile as they came.
template <class T>
struct Tile {
  MatrixView<const T> rows;
  std::int64_t first;  // row of the source
};

/// |x'| of every row in w.norm, each square rounded with its sum, as unit_factor() and devices do
/// it at any level of optimisation; with `unit_length` the first `count` rows are divided by it.
template <class T>
void measure(std::int64_t count, std::int64_t d, bool unit_length, Worker<T>& w) {
  std::fill(w.norm.begin(), w.norm.end(), T{0});
  for (std::int64_t j = 0; j < d; ++j) {
    const T* x = &w.x(j, 0);
    for (std::size_t i = 0; i < kTileRows; ++i) w.norm[i] = std::fma(x[i], x[i], w.norm[i]);
  }
  if (!unit_length) {
    for (std::size_t i = 0; i < kTileRows; ++i) w.norm[i] = std::sqrt(w.norm[i]);
    return;
  }
  for (std::int64_t row = 0; row < count; ++row) {
    const auto i = static_cast<std::size_t>(row);
    const bool small = w.norm[i] < kSmallSquare<T>;
    w.factor[i] = small ? unit_factor<T>(d, [&](std::int64_t j) { return w.x(j, row); })
                        : T{1} / std::sqrt(w.norm[i]);
    w.norm[i] = T{1};
  }
  for (std::int64_t j = 0; j < d; ++j) {
    T* x = &w.x(j, 0);
    for (std::size_t i = 0; i < kTileRows; ++i) x[i] *= w.factor[i];
  }
}

/// The tile's rows in the coordinates, in w.x. With `lengths` |x'| in w.norm.
template <class T>
void stage_rows(const Tile<T>& tile, const Coordinates& coordinates, bool lengths, Worker<T>& w) {
  culatent::cpu::stage(tile.rows, coordinates.frame, w.x.data());
  if (!lengths && !coordinates.unit_length) return;
  measure<T>(tile.rows.rows, tile.rows.cols, coordinates.unit_length, w);
}

/// Calls visit(tile, worker) for every tile of the chunk's blocks, and after(worker, first row)
/// after each block.
template <class T, class Visit, class After>
void for_each_tile(const CpuBackend& backend, CpuAssignment<T>& a, const RowChunk<T>& chunk,
                   Visit&& visit, After&& after) {
  culatent::cpu::for_each_block(
      backend, chunk,
      [&](int worker) { return a.workers[static_cast<std::size_t>(worker)].block.view(); },
      [&](MatrixView<const T> rows, std::int64_t first, int worker) {
        Worker<T>& w = a.workers[static_cast<std::size_t>(worker)];
        for (std::int64_t begin = 0; begin < rows.rows; begin += kTileRows) {
          const std::int64_t count = std::min<std::int64_t>(kTileRows, rows.rows - begin);
          visit(Tile<T>{rows.slice(begin, count), first + begin}, w);
        }
        after(w, first);
      });
}

}  // namespace culatent::kmeans
