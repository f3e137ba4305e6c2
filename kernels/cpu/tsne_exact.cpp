#include <algorithm>
#include <utility>

#include "kernels/cpu/dimensions.hpp"
#include "kernels/cpu/simd.hpp"
#include "kernels/tsne.hpp"

namespace culatent::tsne {
namespace {

using culatent::cpu::for_dimensions;
using S = culatent::cpu::Simd<float>;
using Vec = S::Vec;

constexpr std::int64_t kTile = 512;
constexpr std::int64_t kMostTiles = 128;  // beyond, tiles are larger: their memory is N tiles
constexpr float kNowhere = 1e18f;         // q of a pair with such a point is 1e-36, its square 0

constexpr S::Index kLaneIndex = {0, 1, 2, 3, 4, 5, 6, 7};

// Tiles are a power of two of points.
std::int64_t tile_size(std::int64_t n) {
  std::int64_t tile = kTile;
  while (tile * kMostTiles < n) tile *= 2;
  return tile;
}

// The points of a tile, one dimension after another, to a multiple of kTile.
template <int Q>
void stage(MatrixView<const float> points, std::int64_t first, float (&x)[Q][kTile]) {
  const std::int64_t count = std::min(kTile, points.rows - first);
  for (int k = 0; k < Q; ++k) {
    for (std::int64_t i = 0; i < count; ++i) x[k][i] = points(first + i, k);
    std::fill(x[k] + count, x[k] + kTile, kNowhere);
  }
}

// Adds the forces between the points of two different pieces of kTile points, or within one; the
// sum of q over ordered pairs is returned.
template <int Q, bool kForces, bool kSame>
double repel_pieces(const float (&x)[Q][kTile], std::int64_t count, const float (&other)[Q][kTile],
                    std::int64_t other_count, float (&force)[Q][kTile],
                    float (&other_force)[Q][kTile]) {
  const std::int64_t end = (other_count + S::kLanes - 1) / S::kLanes * S::kLanes;
  double total = 0.0;
  for (std::int64_t i = 0; i < count; ++i) {
    Vec own[Q], sum[Q] = {}, q_sum = {};
    for (int k = 0; k < Q; ++k) own[k] = S::fill(x[k][i]);
    for (std::int64_t j = 0; j < end; j += S::kLanes) {
      Vec delta[Q], square = S::fill(1.0f);
      for (int k = 0; k < Q; ++k) {
        delta[k] = own[k] - S::load(other[k] + j);
        square += delta[k] * delta[k];
      }
      Vec q = 1.0f / square;
      // A point itself would be a 1 that the sum of small terms loses digits to.
      if constexpr (kSame) q = kLaneIndex == static_cast<std::int32_t>(i - j) ? Vec{} : q;
      q_sum += q;
      if constexpr (kForces) {
        const Vec weight = q * q;
        for (int k = 0; k < Q; ++k) {
          const Vec part = weight * delta[k];
          sum[k] += part;
          if constexpr (!kSame) S::store(other_force[k] + j, S::load(other_force[k] + j) - part);
        }
      }
    }
    total += static_cast<double>(S::sum(q_sum));
    for (int k = 0; k < Q; ++k) force[k][i] += S::sum(sum[k]);
  }
  return kSame ? total : 2.0 * total;  // within a piece every ordered pair was met
}

// All pairs of a point of tile a and one of tile b ≥ a. What they do to tile a goes to `force` and
// to tile b to `other_force`, which are set; null: not wanted.
template <int Q, bool kForces>
double repel_tiles(MatrixView<const float> points, std::int64_t a, std::int64_t b,
                   std::int64_t tile, float* force, float* other_force) {
  const std::int64_t n = points.rows;
  const std::int64_t first = a * tile, last = std::min(n, first + tile);
  const std::int64_t other_first = b * tile, other_last = std::min(n, other_first + tile);
  if constexpr (kForces) {
    std::fill(force + first * Q, force + last * Q, 0.0f);
    std::fill(other_force + other_first * Q, other_force + other_last * Q, 0.0f);
  }
  const auto add = [](float* forces, std::int64_t from, std::int64_t count,
                      const float(&piece)[Q][kTile]) {
    for (std::int64_t i = 0; i < count; ++i) {
      for (int k = 0; k < Q; ++k) forces[(from + i) * Q + k] += piece[k][i];
    }
  };
  double total = 0.0;
  alignas(32) float x[Q][kTile], other[Q][kTile];
  for (std::int64_t i = first; i < last; i += kTile) {
    const std::int64_t count = std::min(kTile, last - i);
    stage<Q>(points, i, x);
    for (std::int64_t j = std::max(i, other_first); j < other_last; j += kTile) {
      const std::int64_t other_count = std::min(kTile, other_last - j);
      alignas(32) float piece[Q][kTile] = {}, other_piece[Q][kTile] = {};
      if (i == j) {
        total += repel_pieces<Q, kForces, true>(x, count, x, count, piece, other_piece);
      } else {
        stage<Q>(points, j, other);
        total += repel_pieces<Q, kForces, false>(x, count, other, other_count, piece, other_piece);
      }
      if constexpr (kForces) {
        add(force, i, count, piece);
        if (i != j) add(other_force, j, other_count, other_piece);
      }
    }
  }
  return total;
}

// Pair number `index` of n_tiles (n_tiles + 1) / 2: row by row of the upper triangle.
std::pair<std::int64_t, std::int64_t> tile_pair(std::int64_t index, std::int64_t n_tiles) {
  std::int64_t a = 0;
  for (; index >= n_tiles - a; ++a) index -= n_tiles - a;
  return {a, a + index};
}

// sums(a, b) = the sum of q between tiles a ≤ b, by pair(a, b).
template <class Pair>
void for_each_pair(const CpuBackend& backend, std::int64_t n_tiles, Matrix<double>& sums,
                   Pair&& pair) {
  backend.threads.parallel_for(n_tiles * (n_tiles + 1) / 2, backend.n_workers,
                               [&](std::int64_t index, int) {
                                 const auto [a, b] = tile_pair(index, n_tiles);
                                 sums(a, b) = pair(a, b);
                               });
}

double total(const Matrix<double>& sums) {
  double z = 0.0;
  for (std::int64_t a = 0; a < sums.rows(); ++a) {
    for (std::int64_t b = a; b < sums.cols(); ++b) z += sums(a, b);
  }
  return z;
}

std::int64_t n_tiles_of(std::int64_t n) { return (n + tile_size(n) - 1) / tile_size(n); }

}  // namespace

ExactRepulsion::ExactRepulsion(std::int64_t n_points, int n_dimensions)
    : partials_(n_tiles_of(n_points), checked_product(n_points, n_dimensions)),
      sums_(partials_.rows(), partials_.rows()) {}

std::int64_t ExactRepulsion::bytes(std::int64_t n_points, int n_dimensions) {
  const std::int64_t tiles = n_tiles_of(n_points);
  return tiles * (n_points * n_dimensions * 4 + tiles * 8);
}

double ExactRepulsion::repel(const CpuBackend& backend, MatrixView<const float> points,
                             MatrixView<float> forces) {
  const std::int64_t n = points.rows, q = points.cols;
  const std::int64_t n_tiles = partials_.rows(), tile = tile_size(n);
  for_each_pair(backend, n_tiles, sums_, [&](std::int64_t a, std::int64_t b) {
    return for_dimensions(q, [&]<int Q>() {
      return repel_tiles<Q, true>(points, a, b, tile, &partials_(b, 0), &partials_(a, 0));
    });
  });
  backend.threads.parallel_for(n_tiles, backend.n_workers, [&](std::int64_t t, int) {
    for (std::int64_t at = t * tile * q; at < std::min(n, (t + 1) * tile) * q; ++at) {
      double sum = 0.0;
      for (std::int64_t other = 0; other < n_tiles; ++other) {
        sum += static_cast<double>(partials_(other, at));
      }
      forces.data[at] = static_cast<float>(sum);
    }
  });
  return total(sums_);
}

double partition(const CpuBackend& backend, MatrixView<const float> points) {
  const std::int64_t n_tiles = n_tiles_of(points.rows), tile = tile_size(points.rows);
  Matrix<double> sums(n_tiles, n_tiles);
  for_each_pair(backend, n_tiles, sums, [&](std::int64_t a, std::int64_t b) {
    return for_dimensions(points.cols, [&]<int Q>() {
      return repel_tiles<Q, false>(points, a, b, tile, nullptr, nullptr);
    });
  });
  return total(sums);
}

void repel_from(const CpuBackend& backend, MatrixView<const float> points,
                MatrixView<const float> places, MatrixView<float> forces, std::span<float> sums) {
  const std::int64_t n_tasks = (places.rows + kTile - 1) / kTile;
  backend.threads.parallel_for(n_tasks, backend.n_workers, [&](std::int64_t task, int) {
    for_dimensions(places.cols, [&]<int Q>() {
      alignas(32) float other[Q][kTile];
      const std::int64_t end = std::min(places.rows, (task + 1) * kTile);
      for (std::int64_t i = task * kTile; i < end; ++i) {
        for (int k = 0; k < Q; ++k) forces(i, k) = 0.0f;
        sums[static_cast<std::size_t>(i)] = 0.0f;
      }
      for (std::int64_t first = 0; first < points.rows; first += kTile) {
        stage<Q>(points, first, other);
        for (std::int64_t i = task * kTile; i < end; ++i) {
          Vec own[Q], sum[Q] = {}, q_sum = {};
          for (int k = 0; k < Q; ++k) own[k] = S::fill(places(i, k));
          for (std::int64_t j = 0; j < kTile; j += S::kLanes) {
            Vec delta[Q], square = S::fill(1.0f);
            for (int k = 0; k < Q; ++k) {
              delta[k] = own[k] - S::load(other[k] + j);
              square += delta[k] * delta[k];
            }
            const Vec q = 1.0f / square;
            q_sum += q;
            for (int k = 0; k < Q; ++k) sum[k] += q * q * delta[k];
          }
          sums[static_cast<std::size_t>(i)] += S::sum(q_sum);
          for (int k = 0; k < Q; ++k) forces(i, k) += S::sum(sum[k]);
        }
      }
    });
  });
}

}  // namespace culatent::tsne
