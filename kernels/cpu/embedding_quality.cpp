#include "kernels/embedding_quality.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "culatent/error.hpp"
#include "kernels/cpu/simd.hpp"
#include "kernels/cpu/tile.hpp"

namespace culatent::embedding_quality {
namespace {

using culatent::cpu::round_up;
using S = culatent::cpu::Simd<double>;

constexpr int kVectors = 4;                            // in registers together
constexpr std::int64_t kLanes = kVectors * S::kLanes;  // asked rows that these hold
constexpr std::int64_t kMostTileRows = 128;
constexpr std::int64_t kMostBlockRows = 64;
constexpr std::int64_t kSlab = 256;            // features: those of kLanes rows fill 32 KiB
constexpr std::int64_t kTileValues = 1 << 20;  // the larger parts of the scratch: 8 MiB each

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

// out[m * stride + i] (+)= sum_j (x[j * stride + i] − rows[m, j])² for i < active, in the order of
// the features. Not inlined, so that every distance is rounded alike.
[[gnu::noinline]] void add_squares(const double* x, std::int64_t stride, std::int64_t d,
                                   MatrixView<const double> rows, std::int64_t active, bool begin,
                                   double* out) {
  for (std::int64_t i = 0; i < active; i += kLanes) {
    for (std::int64_t m = 0; m < rows.rows; ++m) {
      const double* row = rows.row(m);
      double* sums = out + m * stride + i;
      S::Vec acc[kVectors] = {};
      if (!begin) {
        for (int v = 0; v < kVectors; ++v) acc[v] = S::load(sums + v * S::kLanes);
      }
      for (std::int64_t j = 0; j < d; ++j) {
        const S::Vec value = S::fill(row[j]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          const S::Vec delta = S::load(x + j * stride + i + v * S::kLanes) - value;
          acc[v] += delta * delta;
        }
      }
      for (int v = 0; v < kVectors; ++v) S::store(sums + v * S::kLanes, acc[v]);
    }
  }
}

// Row `row` of the source to column `column` of the feature-major `out`.
void stage_row(const RowSource<float>& source, std::int64_t row, Matrix<float>& buffer,
               std::int64_t column, Matrix<double>& out) {
  const MatrixView<const float> view =
      source.read(row, MatrixView<float>(buffer.data(), 1, source.cols()));
  for (std::int64_t j = 0; j < source.cols(); ++j) {
    out(j, column) = static_cast<double>(view(0, j));
  }
}

// Features [begin, begin + others.cols) of the rows, in double.
void widen(MatrixView<const float> rows, std::int64_t first, std::int64_t begin, const char* name,
           MatrixView<double> others) {
  for (std::int64_t m = 0; m < others.rows; ++m) {
    const float* row = rows.row(m) + begin;
    bool finite = true;
    for (std::int64_t j = 0; j < others.cols; ++j) {
      others(m, j) = static_cast<double>(row[j]);
      finite &= std::abs(row[j]) <= std::numeric_limits<float>::max();
    }
    if (finite) continue;
    for (std::int64_t j = 0; j < others.cols; ++j) {
      if (std::isfinite(row[j])) continue;
      throw data_error(
          std::string(std::isnan(row[j]) ? "NaN" : "infinite value") + " in the " + name,
          "row " + std::to_string(first + m) + ", column " + std::to_string(begin + j),
          "remove or fill it");
    }
  }
}

// Rows asked for together.
struct Tile {
  std::span<const std::int64_t> asked;
  TileScratch& scratch;

  std::int64_t rows() const { return static_cast<std::int64_t>(asked.size()); }
  std::int64_t active() const { return round_up(rows(), kLanes); }
};

// Calls body(first row, number of rows) block by block when the distances of these to the tile's
// rows are in the scratch; infinite to the row itself.
template <class Body>
void visit_distances(const NamedRows& data, const Tile& tile, Body&& body) {
  TileScratch& scratch = tile.scratch;
  const std::int64_t d = data.source.cols(), active = tile.active();
  for (std::int64_t i = 0; i < tile.rows(); ++i) {
    stage_row(data.source, tile.asked[index(i)], scratch.buffer, i, scratch.x);
  }
  for (std::int64_t first = 0; first < data.source.rows(); first += scratch.buffer.rows()) {
    const std::int64_t count = std::min(scratch.buffer.rows(), data.source.rows() - first);
    const MatrixView<const float> rows =
        data.source.read(first, MatrixView<float>(scratch.buffer.data(), count, d));
    for (std::int64_t begin = 0; begin < d; begin += kSlab) {
      const MatrixView<double> others(scratch.others.data(), count, std::min(kSlab, d - begin));
      widen(rows, first, begin, data.name, others);
      add_squares(&scratch.x(begin, 0), scratch.stride, others.cols, others, active, begin == 0,
                  scratch.distances.data());
    }
    for (std::int64_t i = 0; i < tile.rows(); ++i) {
      const std::int64_t own = tile.asked[index(i)] - first;
      if (own >= 0 && own < count) {
        scratch.distances(own, i) = std::numeric_limits<double>::infinity();
      }
    }
    body(first, count);
  }
}

std::span<Neighbour> nearest_of(const Tile& tile, std::int64_t i, std::int64_t k) {
  return std::span(tile.scratch.nearest).subspan(index(i * k), index(k));
}

// The k nearest of each row of the tile, nearest first.
void find_nearest(const NamedRows& embedding, const Tile& tile, std::int64_t k) {
  constexpr Neighbour kNone{std::numeric_limits<double>::infinity(),
                            std::numeric_limits<std::int64_t>::max()};
  std::fill(tile.scratch.nearest.begin(), tile.scratch.nearest.end(), kNone);
  visit_distances(embedding, tile, [&](std::int64_t first, std::int64_t count) {
    for (std::int64_t i = 0; i < tile.rows(); ++i) {
      const std::span<Neighbour> heap = nearest_of(tile, i, k);
      for (std::int64_t m = 0; m < count; ++m) {
        const double squared = tile.scratch.distances(m, i);
        // One as far as the farthest has a higher row than that: rows come in order.
        if (!(squared < heap.front().squared_distance)) continue;
        std::pop_heap(heap.begin(), heap.end());
        heap.back() = {squared, first + m};
        std::push_heap(heap.begin(), heap.end());
      }
    }
  });
  for (std::int64_t i = 0; i < tile.rows(); ++i) {
    const std::span<Neighbour> heap = nearest_of(tile, i, k);
    std::sort_heap(heap.begin(), heap.end());
  }
}

// bounds, rows: the distances in the data between the tile's rows and their nearest in the
// embedding, to the bits that visit_distances() has: a difference's sign does not show in its
// square.
void find_bounds(const NamedRows& data, const Tile& tile, std::int64_t k) {
  TileScratch& scratch = tile.scratch;
  const std::int64_t d = data.source.cols();
  for (std::int64_t i = 0; i < tile.rows(); ++i) {
    const std::span<const Neighbour> nearest = nearest_of(tile, i, k);
    for (std::int64_t c = 0; c < k; c += kLanes) {
      const std::int64_t count = std::min(kLanes, k - c);
      for (std::int64_t lane = 0; lane < count; ++lane) {
        stage_row(data.source, nearest[index(c + lane)].row, scratch.buffer, lane,
                  scratch.neighbours);
      }
      stage_row(data.source, tile.asked[index(i)], scratch.buffer, 0, scratch.x);
      double squared[kLanes];
      for (std::int64_t begin = 0; begin < d; begin += kSlab) {
        const MatrixView<double> own(scratch.others.data(), 1, std::min(kSlab, d - begin));
        for (std::int64_t j = 0; j < own.cols; ++j) own(0, j) = scratch.x(begin + j, 0);
        add_squares(&scratch.neighbours(begin, 0), kLanes, own.cols, own, kLanes, begin == 0,
                    squared);
      }
      for (std::int64_t lane = 0; lane < count; ++lane) {
        scratch.bounds(c + lane, i) = squared[lane];
        scratch.rows[index((c + lane) * scratch.stride + i)] = nearest[index(c + lane)].row;
      }
    }
  }
}

// ranks: how many rows are nearer in the data than each neighbour of each row of the tile.
void count_nearer(const NamedRows& data, const Tile& tile, std::int64_t k) {
  TileScratch& scratch = tile.scratch;
  std::fill(scratch.ranks.begin(), scratch.ranks.end(), 0);
  visit_distances(data, tile, [&](std::int64_t first, std::int64_t count) {
    for (std::int64_t c = 0; c < k; ++c) {
      for (std::int64_t i = 0; i < tile.active(); i += S::kLanes) {
        const S::Vec bound = S::load(&scratch.bounds(c, i));
        S::Index row, nearer;
        std::memcpy(&row, &scratch.rows[index(c * scratch.stride + i)], sizeof(row));
        std::memcpy(&nearer, &scratch.ranks[index(c * scratch.stride + i)], sizeof(nearer));
        for (std::int64_t m = 0; m < count; ++m) {
          const S::Vec squared = S::load(&scratch.distances(m, i));
          const S::Index lower = S::Index{} + (first + m) < row;
          nearer -= (squared < bound) | ((squared == bound) & lower);
        }
        std::memcpy(&scratch.ranks[index(c * scratch.stride + i)], &nearer, sizeof(nearer));
      }
    }
  });
}

template <class Body>
void for_each_tile(const CpuBackend& backend, std::vector<TileScratch>& workspace,
                   std::span<const std::int64_t> asked, Body&& body) {
  const auto n = static_cast<std::int64_t>(asked.size());
  const std::int64_t step = workspace.front().stride;
  backend.threads.parallel_for((n + step - 1) / step, backend.n_workers,
                               [&](std::int64_t t, int worker) {
                                 const std::int64_t count = std::min(step, n - t * step);
                                 body(Tile{asked.subspan(index(t * step), index(count)),
                                           workspace[static_cast<std::size_t>(worker)]},
                                      t * step);
                               });
}

std::int64_t winner(std::span<const Neighbour> nearest, std::span<const std::int64_t> labels,
                    std::vector<std::pair<std::int64_t, std::int64_t>>& votes) {
  votes.clear();
  for (const Neighbour& neighbour : nearest) {
    votes.emplace_back(labels[index(neighbour.row)], static_cast<std::int64_t>(votes.size()));
  }
  std::sort(votes.begin(), votes.end());
  std::size_t best = 0, most = 0;
  for (std::size_t begin = 0, end = 0; begin < votes.size(); begin = end) {
    while (end < votes.size() && votes[end].first == votes[begin].first) ++end;
    const std::size_t count = end - begin;
    if (count > most || (count == most && votes[begin].second < votes[best].second)) {
      best = begin;
      most = count;
    }
  }
  return votes[best].first;
}

}  // namespace

std::int64_t TileScratch::tile_rows(std::int64_t n_features, std::int64_t k) {
  const std::int64_t fitting = kTileValues / std::max(n_features, k);
  return std::clamp(fitting / kLanes * kLanes, kLanes, kMostTileRows);
}

std::int64_t TileScratch::block_rows(std::int64_t n_features) {
  return std::clamp(kTileValues / n_features, std::int64_t{1}, kMostBlockRows);
}

TileScratch::TileScratch(std::int64_t n_features, std::int64_t k)
    : stride(tile_rows(n_features, k)),
      x(n_features, stride),
      buffer(block_rows(n_features), n_features),
      others(block_rows(n_features), std::min(kSlab, n_features)),
      distances(block_rows(n_features), stride),
      nearest(index(checked_product(stride, k))),
      neighbours(n_features, kLanes),
      bounds(k, stride),
      rows(index(k * stride)),
      ranks(index(k * stride)) {}

std::int64_t TileScratch::bytes(std::int64_t n_features, std::int64_t k) {
  const std::int64_t tile = tile_rows(n_features, k), block = block_rows(n_features);
  constexpr std::int64_t kNumber = sizeof(double);
  constexpr std::int64_t kItself = 1024;  // with what aligning its parts takes
  return kItself +
         kNumber * (checked_product(n_features, tile + kLanes) +
                    block * (std::min(kSlab, n_features) + tile) + checked_product(5 * k, tile)) +
         checked_product(n_features, block * static_cast<std::int64_t>(sizeof(float)));
}

void compare_neighbourhoods(const CpuBackend& backend, std::vector<TileScratch>& workspace,
                            const NamedRows& data, const NamedRows& embedding,
                            std::span<const std::int64_t> asked, std::int64_t k,
                            std::span<Kept> kept) {
  for_each_tile(backend, workspace, asked, [&](const Tile& tile, std::int64_t first) {
    find_nearest(embedding, tile, k);
    find_bounds(data, tile, k);
    count_nearer(data, tile, k);
    for (std::int64_t i = 0; i < tile.rows(); ++i) {
      Kept& own = kept[index(first + i)];
      for (std::int64_t c = 0; c < k; ++c) {
        const std::int64_t rank = tile.scratch.ranks[index(c * tile.scratch.stride + i)] + 1;
        own.excess += std::max<std::int64_t>(0, rank - k);
        own.shared += rank <= k ? 1 : 0;
      }
    }
  });
}

void vote(const CpuBackend& backend, std::vector<TileScratch>& workspace,
          const NamedRows& embedding, std::span<const std::int64_t> labels,
          std::span<const std::int64_t> asked, std::int64_t k, std::span<std::int64_t> winners) {
  for_each_tile(backend, workspace, asked, [&](const Tile& tile, std::int64_t first) {
    find_nearest(embedding, tile, k);
    std::vector<std::pair<std::int64_t, std::int64_t>> votes;
    for (std::int64_t i = 0; i < tile.rows(); ++i) {
      winners[index(first + i)] = winner(nearest_of(tile, i, k), labels, votes);
    }
  });
}

}  // namespace culatent::embedding_quality
