#include "kernels/clustering_quality.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/distance.hpp"

namespace culatent::clustering_quality {
namespace {

using culatent::cpu::kTileRows;
using culatent::cpu::kTileStride;

constexpr std::int64_t kStoredTile = 64;  // stored rows whose distances are summed together

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

// One rounding order whatever the addresses.
double distance(const double* a, const double* b, std::int64_t d) {
  using S = culatent::cpu::Simd<double>;
  S::Vec sums{};
  double sum = 0.0;
  std::int64_t j = 0;
  for (; j + S::kLanes <= d; j += S::kLanes) {
    const S::Vec delta = S::load(a + j) - S::load(b + j);
    sums += delta * delta;
  }
  for (; j < d; ++j) sum += (a[j] - b[j]) * (a[j] - b[j]);
  return std::sqrt(S::sum(sums) + sum);
}

// sums[i] = sum of the distances of row i of the tile to rows [begin, end).
void sum_to_cluster(MatrixView<const double> rows, std::int64_t begin, std::int64_t end, int active,
                    SilhouetteScratch& tile, Eigen::ArrayXd& sums) {
  Eigen::ArrayXd part(active);
  sums.setZero();
  for (std::int64_t first = begin; first < end; first += kStoredTile) {
    const std::int64_t count = std::min(kStoredTile, end - first);
    culatent::cpu::norms<double>(tile.x.data(), rows.cols, rows.row(first), count, active,
                                 tile.distances.data());
    part.setZero();
    for (std::int64_t i = 0; i < count; ++i) {
      part += Eigen::Map<Eigen::ArrayXd>(tile.distances.data() + i * kTileStride, active).sqrt();
    }
    sums += part;
  }
}

// Silhouettes of rows [first, first + count).
void tile_silhouettes(MatrixView<const double> rows, std::span<const std::int64_t> begins,
                      std::int64_t first, std::int64_t count, SilhouetteScratch& tile,
                      double* values) {
  const int active = static_cast<int>(culatent::cpu::round_up(count, 16));
  for (std::int64_t j = 0; j < rows.cols; ++j) {
    for (std::int64_t i = 0; i < count; ++i) tile.x(j, i) = rows(first + i, j);
    std::fill(&tile.x(j, 0) + count, &tile.x(j, 0) + active, 0.0);
  }
  Eigen::ArrayXd sums(active), own(active), other(active);
  other.setConstant(std::numeric_limits<double>::infinity());
  for (std::size_t k = 0; k + 1 < begins.size(); ++k) {
    sum_to_cluster(rows, begins[k], begins[k + 1], active, tile, sums);
    const auto size = static_cast<double>(begins[k + 1] - begins[k]);
    for (std::int64_t i = 0; i < count; ++i) {
      if (first + i >= begins[k] && first + i < begins[k + 1]) {
        own[i] = size > 1.0 ? sums[i] / (size - 1.0) : -1.0;
      } else {
        other[i] = std::min(other[i], sums[i] / size);
      }
    }
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const double greater = std::max(own[i], other[i]);
    const bool defined = own[i] >= 0.0 && greater > 0.0;  // not alone, not where all others are
    values[i] = defined ? (other[i] - own[i]) / greater : 0.0;
  }
}

// sums[k * width …] += what `add(row, row index, cluster, where)` leaves for the rows of k, block
// by block.
template <class T, class Add>
void add_by_cluster(const CpuBackend& backend, std::vector<ClusterScratch<T>>& workspace,
                    const RowChunk<T>& chunk, std::span<const std::int64_t> labels,
                    const ClusterIds& ids, std::int64_t width, ExactSums& sums, Add&& add) {
  const auto buffer = [&](int worker) { return workspace[index(worker)].block.view(); };
  culatent::cpu::for_each_block(
      backend, chunk, buffer, [&](MatrixView<const T> rows, std::int64_t first, int worker) {
        ClusterScratch<T>& scratch = workspace[index(worker)];
        for (std::int64_t i = 0; i < rows.rows; ++i) {
          const std::int64_t k = ids(labels[index(first + i)]);
          if (scratch.seen[index(k)] == 0) {
            scratch.seen[index(k)] = 1;
            scratch.touched.push_back(k);
          }
          add(rows.row(i), first + i, k, scratch, scratch.sums.data() + k * width);
        }
        for (const std::int64_t k : scratch.touched) {
          const std::span<double> part(scratch.sums.data() + k * width, index(width));
          sums.add(part, k * width);
          std::fill(part.begin(), part.end(), 0.0);
          scratch.seen[index(k)] = 0;
        }
        scratch.touched.clear();
      });
}

}  // namespace

ClusterIds::ClusterIds(std::span<const std::int64_t> labels) {
  for (const std::int64_t label : labels) {
    const auto [entry, is_new] = ids_.try_emplace(label, n_clusters());
    if (is_new) counts_.push_back(0);
    ++counts_[index(entry->second)];
  }
}

std::int64_t ClusterIds::bytes(std::int64_t n_clusters) {
  // A node with its links and its bucket, and a vector that doubles.
  return checked_product(n_clusters, 64 + 2 * sizeof(std::int64_t));
}

SilhouetteScratch::SilhouetteScratch(std::int64_t n_features)
    : x(n_features, kTileStride), distances(kStoredTile, kTileStride) {}

std::int64_t SilhouetteScratch::bytes(std::int64_t n_features) {
  return checked_product(n_features + kStoredTile + 4, kTileStride * sizeof(double));
}

void silhouettes(const CpuBackend& backend, std::vector<SilhouetteScratch>& workspace,
                 MatrixView<const double> rows, std::span<const std::int64_t> begins,
                 std::span<double> values) {
  backend.threads.parallel_for(
      (rows.rows + kTileRows - 1) / kTileRows, backend.n_workers, [&](std::int64_t t, int worker) {
        const std::int64_t first = t * kTileRows;
        tile_silhouettes(rows, begins, first, std::min<std::int64_t>(kTileRows, rows.rows - first),
                         workspace[index(worker)], values.data() + first);
      });
}

template <class T>
ClusterScratch<T>::ClusterScratch(std::int64_t n_clusters, std::int64_t n_features, bool in_place)
    : block(in_place ? 0 : kBlockRows, n_features),
      row(index(n_features)),
      sums(index(checked_product(n_clusters, n_features))),
      seen(index(n_clusters)) {
  touched.reserve(index(std::min(kBlockRows, n_clusters)));
}

template <class T>
std::int64_t ClusterScratch<T>::bytes(std::int64_t n_clusters, std::int64_t n_features,
                                      bool in_place) {
  constexpr std::int64_t kNumber = sizeof(double);
  return checked_product(in_place ? 0 : kBlockRows * static_cast<std::int64_t>(sizeof(T)),
                         n_features) +
         kNumber * (checked_product(n_clusters, n_features) + n_features + kBlockRows) + n_clusters;
}

template <class T>
void sum_clusters(const CpuBackend& backend, std::vector<ClusterScratch<T>>& workspace,
                  const RowChunk<T>& chunk, std::span<const std::int64_t> labels,
                  const ClusterIds& ids, std::span<const double> shift, ExactSums& sums) {
  const auto add = [&](const T* x, std::int64_t row, std::int64_t, ClusterScratch<T>& scratch,
                       double* sum) {
    for (std::size_t j = 0; j < shift.size(); ++j) {
      const double delta = static_cast<double>(x[j]) - shift[j];
      sum[j] += delta;
      scratch.reach = std::max(scratch.reach, std::abs(delta));
      const bool good = std::abs(static_cast<double>(x[j])) <= kWidestValue;
      if (!good && (scratch.bad_row < 0 || row < scratch.bad_row)) {
        scratch.bad_row = row;
        scratch.bad_column = static_cast<std::int64_t>(j);
        scratch.bad_value = static_cast<double>(x[j]);
      }
    }
  };
  add_by_cluster(backend, workspace, chunk, labels, ids, static_cast<std::int64_t>(shift.size()),
                 sums, add);
}

template <class T>
void sum_distances(const CpuBackend& backend, std::vector<ClusterScratch<T>>& workspace,
                   const RowChunk<T>& chunk, std::span<const std::int64_t> labels,
                   const ClusterIds& ids, std::span<const double> shift, double scale,
                   const Matrix<double>& centroids, ExactSums& sums) {
  const auto add = [&](const T* x, std::int64_t, std::int64_t k, ClusterScratch<T>& scratch,
                       double* sum) {
    for (std::size_t j = 0; j < shift.size(); ++j) {
      scratch.row[j] = (static_cast<double>(x[j]) - shift[j]) * scale;
    }
    *sum += distance(scratch.row.data(), &centroids(k, 0), centroids.cols());
  };
  add_by_cluster(backend, workspace, chunk, labels, ids, 1, sums, add);
}

void greatest_ratios(const CpuBackend& backend, const Matrix<double>& centroids,
                     std::span<const double> spreads, double coincide, std::span<double> greatest) {
  const std::int64_t n_clusters = centroids.rows();
  backend.threads.parallel_for(n_clusters, backend.n_workers, [&](std::int64_t i, int) {
    double ratio = 0.0;
    for (std::int64_t j = 0; j < n_clusters; ++j) {
      const double apart = distance(&centroids(i, 0), &centroids(j, 0), centroids.cols());
      if (apart <= coincide) continue;  // itself as well
      ratio = std::max(ratio, (spreads[index(i)] + spreads[index(j)]) / apart);
    }
    greatest[index(i)] = ratio;
  });
}

#define CULATENT_INSTANTIATE(T)                                                                    \
  template struct ClusterScratch<T>;                                                               \
  template void sum_clusters(const CpuBackend&, std::vector<ClusterScratch<T>>&,                   \
                             const RowChunk<T>&, std::span<const std::int64_t>, const ClusterIds&, \
                             std::span<const double>, ExactSums&);                                 \
  template void sum_distances(const CpuBackend&, std::vector<ClusterScratch<T>>&,                  \
                              const RowChunk<T>&, std::span<const std::int64_t>,                   \
                              const ClusterIds&, std::span<const double>, double,                  \
                              const Matrix<double>&, ExactSums&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::clustering_quality
