#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "culatent/matrix.hpp"
#include "kernels/backend.hpp"

/// Row tiles of the CPU path: feature-major, so that vectors run over rows.
namespace culatent::cpu {

inline constexpr int kTileRows = 256;
/// Elements from one feature to the next. Not a multiple of 4 KiB / 4: otherwise walking the
/// features of one row would hit four sets of the first-level cache only.
inline constexpr int kTileStride = kTileRows + 16;

inline std::int64_t round_up(std::int64_t n, std::int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

/// tile[j * kTileStride + i] = (rows(i, j) − centre_j) * scale_j, zero beyond the last row.
/// A NaN (a missing value) becomes 0, the centre.
template <class T>
void stage(MatrixView<const T> rows, const Frame& frame, T* tile) {
  constexpr int kGroup = 8;  // rows read together, so that stores are whole vectors
  for (std::int64_t first = 0; first < kTileRows; first += kGroup) {
    const std::int64_t count = std::clamp<std::int64_t>(rows.rows - first, 0, kGroup);
    for (std::int64_t j = 0; j < rows.cols; ++j) {
      T* out = tile + j * kTileStride + first;
      const T scale = static_cast<T>(frame.scale[static_cast<std::size_t>(j)]);
      const T offset = static_cast<T>(frame.centre[static_cast<std::size_t>(j)]) * scale;
      T values[kGroup] = {};
      for (std::int64_t i = 0; i < count; ++i) {
        // Scaled before it is shifted: the difference of two values near the largest would
        // overflow. The scale is a power of two, so nothing is lost.
        const T value = rows(first + i, j) * scale - offset;
        values[i] = std::isnan(value) ? T{0} : value;
      }
      std::copy(values, values + kGroup, out);
    }
  }
}

/// Calls body(block rows as a view, first row, worker) for every block of the chunk.
template <class T, class Buffer, class Body>
void for_each_block(const CpuBackend& backend, const RowChunk<T>& chunk, Buffer&& buffer,
                    Body&& body) {
  const std::int64_t n_blocks = (chunk.count + kBlockRows - 1) / kBlockRows;
  backend.threads.parallel_for(n_blocks, backend.n_workers, [&](std::int64_t block, int worker) {
    const std::int64_t first = chunk.first + block * kBlockRows;
    const std::int64_t count = std::min(kBlockRows, chunk.first + chunk.count - first);
    MatrixView<T> space = buffer(worker);
    space.rows = count;
    body(chunk.source.read(first, space), first, worker);
  });
}

}  // namespace culatent::cpu
