#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "culatent/matrix.hpp"
#include "kernels/backend.hpp"
#include "kernels/cpu/simd.hpp"

/// Row tiles of the CPU path: feature-major, so that vectors run over rows.
namespace culatent::cpu {

inline constexpr int kTileRows = 256;
/// Elements from one feature to the next. Not a multiple of 4 KiB / 4: otherwise walking the
/// features of one row would hit four sets of the first-level cache only.
inline constexpr int kTileStride = kTileRows + 16;

inline std::int64_t round_up(std::int64_t n, std::int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

// The transpose of kLanes rows and features, in registers.
template <class T>
void stage_square(const T* rows, std::int64_t stride, typename Simd<T>::Vec scale,
                  typename Simd<T>::Vec offset, T* tile) {
  using S = Simd<T>;
  typename S::Vec x[S::kLanes];
#pragma GCC unroll 8
  for (int i = 0; i < S::kLanes; ++i) {
    const typename S::Vec value = S::load(rows + i * stride) * scale - offset;
    x[i] = value == value ? value : typename S::Vec{};
  }
  S::transpose(x);
#pragma GCC unroll 8
  for (int j = 0; j < S::kLanes; ++j) S::store(tile + j * kTileStride, x[j]);
}

/// tile[j * kTileStride + i] = (rows(i, j) − centre_j) * scale_j, zero beyond the last row.
/// A NaN (a missing value) becomes 0, the centre.
template <class T>
void stage(MatrixView<const T> rows, const Frame& frame, T* tile) {
  using S = Simd<T>;
  for (std::int64_t first = 0; first < rows.cols; first += S::kLanes) {
    const std::int64_t count = std::min<std::int64_t>(S::kLanes, rows.cols - first);
    T scale[S::kLanes] = {}, offset[S::kLanes] = {};
    for (std::int64_t j = 0; j < count; ++j) {
      scale[j] = static_cast<T>(frame.scale[static_cast<std::size_t>(first + j)]);
      // Scaled before it is shifted: the difference of two values near the largest would
      // overflow. The scale is a power of two, so nothing is lost.
      offset[j] = static_cast<T>(frame.centre[static_cast<std::size_t>(first + j)]) * scale[j];
    }
    T* out = tile + first * kTileStride;
    std::int64_t row = 0;
    if (count == S::kLanes) {
      for (; row + S::kLanes <= rows.rows; row += S::kLanes) {
        stage_square(rows.row(row) + first, rows.stride, S::load(scale), S::load(offset),
                     out + row);
      }
    }
    for (std::int64_t j = 0; j < count; ++j) {
      for (std::int64_t i = row; i < rows.rows; ++i) {
        const T value = rows(i, first + j) * scale[j] - offset[j];
        out[j * kTileStride + i] = std::isnan(value) ? T{0} : value;
      }
      std::fill(out + j * kTileStride + rows.rows, out + j * kTileStride + kTileRows, T{0});
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
