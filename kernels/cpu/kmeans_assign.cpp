#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>

#include "kernels/cpu/distance.hpp"
#include "kernels/cpu/kmeans_tile.hpp"
#include "kernels/cpu/nearest.hpp"

namespace culatent::kmeans {
namespace {

using culatent::cpu::kCentreGroup;
using culatent::cpu::Simd;

// Four values: what a vector of double holds, so that both types make integers alike.
template <class T>
struct Quad {
  typedef T Vec __attribute__((vector_size(4 * sizeof(T))));
};

std::int64_t groups(std::int64_t n_clusters) {
  return (n_clusters + kCentreGroup - 1) / kCentreGroup;
}

// The nearest centroid by differences in double.
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

// Labels of the tile's rows in w.label. Returns how many took a second look.
template <class T>
std::int64_t label_tile(const CpuAssignment<T>& a, const Tile<T>& tile,
                        const Coordinates& coordinates, Worker<T>& w) {
  const std::int64_t d = a.centroids.cols();
  const std::int64_t k = a.centroids.rows();
  stage_rows(tile, coordinates, w);
  const auto active = static_cast<int>(culatent::cpu::round_up(tile.rows.rows, 32));
  culatent::cpu::two_best(w.x.data(), d, a.packed.data(), a.offsets.data(), groups(k), active,
                          w.best.data(), w.second.data(), w.label.data());
  if (k == 1) return 0;
  // A score is D + 1 roundings of partial sums below |x| |c| + |c|² / 2.
  const T slack = static_cast<T>(2 * (d + 2)) * std::numeric_limits<T>::epsilon() / 2;
  std::int64_t n_refined = 0;
  for (std::int64_t i = 0; i < tile.rows.rows; ++i) {
    const auto r = static_cast<std::size_t>(i);
    const T error = slack * a.longest * (w.norm[r] + a.longest / 2);
    if (w.best[r] - w.second[r] > error) continue;
    w.label[r] = look_again(a.centroids, w.x, i);
    ++n_refined;
  }
  return n_refined;
}

// Adds a value, in units of the first limb.
void add_value(double value, const FixedPoint& fixed, std::int64_t limb_stride, std::int64_t* sum) {
  sum[0] += to_integer(value);
  if (fixed.n_limbs == 1) return;
  sum[limb_stride] += to_integer((value - ((value + kToInteger) - kToInteger)) * fixed.fine);
}

template <class V, class T>
V load(const T* p) {
  V v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
template <class V, class T>
void store(T* p, V v) {
  std::memcpy(p, &v, sizeof(v));
}

// Adds w x' of one row to the sums of its cluster, and returns |x' − c|². Four features at a time.
template <class T>
double add_row(const T* row, const CpuAssignment<T>& a, T factor, const T* centroid, double weight,
               const FixedPoint& fixed, std::int64_t limb_stride, std::int64_t* sums) {
  using Wide = Simd<double>::Vec;
  using Integers = Simd<double>::Index;
  using Four = typename Quad<T>::Vec;
  const auto d = static_cast<std::int64_t>(a.shift.size());
  const double* unit = fixed.units.data();
  const Wide magic = Simd<double>::fill(kToInteger);
  Four distance{};
  for (std::int64_t j = 0; j + 4 <= d; j += 4) {
    const Four x = (load<Four>(row + j) * a.scale - load<Four>(a.shift.data() + j)) * factor;
    const Four delta = x - load<Four>(centroid + j);
    distance += delta * delta;
    const Wide value = __builtin_convertvector(x, Wide) * (load<Wide>(unit + j) * weight);
    const Wide whole = value + magic;
    store(sums + j, load<Integers>(sums + j) + ((Integers)whole - (Integers)magic));
    if (fixed.n_limbs == 1) continue;
    const Wide rest = (value - (whole - magic)) * fixed.fine + magic;
    std::int64_t* fine = sums + limb_stride + j;
    store(fine, load<Integers>(fine) + ((Integers)rest - (Integers)magic));
  }
  double total = static_cast<double>((distance[0] + distance[2]) + (distance[1] + distance[3]));
  for (std::int64_t j = d / 4 * 4; j < d; ++j) {
    const T x = (row[j] * a.scale - a.shift[static_cast<std::size_t>(j)]) * factor;
    const T delta = x - centroid[j];
    total += static_cast<double>(delta * delta);
    add_value(static_cast<double>(x) * (unit[j] * weight), fixed, limb_stride, sums + j);
  }
  return total;
}

// A row without direction can have no label for its cosine.
template <class T>
bool is_zero(const Coordinates& coordinates, const Worker<T>& w, std::int64_t i) {
  return coordinates.unit_length && w.factor[static_cast<std::size_t>(i)] == T{0};
}

void note_first(std::int64_t row, std::int64_t& first) {
  if (first < 0 || row < first) first = row;
}

}  // namespace

void Statistics::clear() {
  std::fill(sums.begin(), sums.end(), 0);
  inertia.clear();
  n_moved = n_refined = 0;
  zero_row = -1;
}

template <class T>
CpuAssignment<T>::CpuAssignment(const CpuBackend& backend, std::int64_t n_clusters,
                                std::int64_t n_features, bool in_place, const FixedPoint* fixed)
    : centroids(n_clusters, n_features),
      packed(static_cast<std::size_t>(groups(n_clusters) * kCentreGroup * n_features)),
      offsets(static_cast<std::size_t>(groups(n_clusters) * kCentreGroup)),
      workers(static_cast<std::size_t>(backend.n_workers)) {
  const std::int64_t sums = fixed == nullptr ? 0 : fixed->n_limbs * n_clusters * fixed->n_columns();
  for (Worker& w : workers) {
    if (!in_place) w.block = Matrix<T>(kBlockRows, n_features);
    w.x = Matrix<T>(n_features, kTileStride);
    w.best.resize(kTileRows);
    w.second.resize(kTileRows);
    w.norm.resize(kTileRows);
    w.factor.assign(kTileRows, T{1});
    w.label.resize(kTileRows);
    w.sums.resize(static_cast<std::size_t>(sums));
  }
}

template <class T>
std::int64_t CpuAssignment<T>::bytes(std::int64_t n_clusters, std::int64_t n_features,
                                     bool in_place, int n_workers, int n_limbs) {
  const auto size = static_cast<std::int64_t>(sizeof(T));
  const std::int64_t padded = groups(n_clusters) * kCentreGroup;
  const std::int64_t shared = size * (checked_product(n_clusters + padded, n_features) + padded);
  const std::int64_t worker = checked_product(size * (in_place ? 0 : kBlockRows), n_features) +
                              checked_product(size * kTileStride, n_features) +
                              kTileRows * (4 * size + 4) +
                              checked_product(8 * n_limbs * n_clusters, n_features + 1);
  return shared + n_workers * worker;
}

template <class T>
void CpuAssignment<T>::set_centroids(const Coordinates& coordinates, const Matrix<T>& values) {
  centroids = values;
  scale = static_cast<T>(coordinates.frame.scale.front());
  shift.clear();
  for (const double centre : coordinates.frame.centre) {
    shift.push_back(static_cast<T>(centre) * scale);
  }
  const std::int64_t d = values.cols();
  longest = T{0};
  for (std::int64_t k = 0; k < groups(values.rows()) * kCentreGroup; ++k) {
    T* group = packed.data() + k / kCentreGroup * d * kCentreGroup + k % kCentreGroup;
    double square = 0.0;
    for (std::int64_t j = 0; j < d; ++j) {
      const T value = k < values.rows() ? values(k, j) : T{0};
      group[j * kCentreGroup] = value;
      square += static_cast<double>(value) * static_cast<double>(value);
    }
    const bool real = k < values.rows();
    offsets[static_cast<std::size_t>(k)] =
        real ? static_cast<T>(-0.5 * square) : std::numeric_limits<T>::lowest();
    longest = std::max(longest, static_cast<T>(std::sqrt(square)));
  }
}

template <class T>
void assign(const CpuBackend& backend, CpuAssignment<T>& a, const RowChunk<T>& chunk,
            const Coordinates& coordinates, const FixedPoint& fixed, Labels* labels,
            Statistics& statistics) {
  const std::int64_t d = a.centroids.cols();
  const std::int64_t limb_stride = a.centroids.rows() * (d + 1);
  std::mutex mutex;
  // Of the block that a worker is at.
  struct Counts {
    double inertia = 0.0;
    std::int64_t n_moved = 0, n_refined = 0, zero_row = -1;
  };
  std::vector<Counts> counts(a.workers.size());
  const auto of = [&](const Worker<T>& w) -> Counts& {
    return counts[static_cast<std::size_t>(&w - a.workers.data())];
  };
  for (Worker<T>& w : a.workers) std::fill(w.sums.begin(), w.sums.end(), 0);
  for_each_tile(
      backend, a, chunk,
      [&](const Tile<T>& tile, Worker<T>& w) {
        Counts& count = of(w);
        count.n_refined += label_tile(a, tile, coordinates, w);
        for (std::int64_t i = 0; i < tile.rows.rows; ++i) {
          const std::int64_t row = tile.first + i;
          const double weight = chunk.weight(row);
          if (weight == 0.0) continue;
          if (is_zero<T>(coordinates, w, i)) note_first(row, count.zero_row);
          const std::int64_t label = w.label[static_cast<std::size_t>(i)];
          if (labels != nullptr) count.n_moved += labels->exchange(row, label) != label ? 1 : 0;
          std::int64_t* sums = w.sums.data() + label * (d + 1);
          count.inertia +=
              weight * add_row(tile.rows.row(i), a, w.factor[static_cast<std::size_t>(i)],
                               &a.centroids(label, 0), weight, fixed, limb_stride, sums);
          add_value(weight * fixed.units.back(), fixed, limb_stride, sums + d);
        }
      },
      [&](Worker<T>& w, std::int64_t) {
        Counts& count = of(w);
        statistics.inertia.add({&count.inertia, 1});
        const std::lock_guard lock(mutex);
        statistics.n_moved += count.n_moved;
        statistics.n_refined += count.n_refined;
        if (count.zero_row >= 0) note_first(count.zero_row, statistics.zero_row);
        count = {};
      });
  for (const Worker<T>& w : a.workers) {
    for (std::size_t i = 0; i < w.sums.size(); ++i) statistics.sums[i] += w.sums[i];
  }
}

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
          sum += chunk.weight(tile.first + i) * distance;
          if (out.squared_distances != nullptr) {
            out.squared_distances[row] = static_cast<T>(distance);
          }
        }
        if (out.distances.data == nullptr) return;
        const auto active = static_cast<int>(culatent::cpu::round_up(tile.rows.rows, 32));
        std::vector<T> norms(kTileStride);
        for (std::int64_t k = 0; k < a.centroids.rows(); ++k) {
          culatent::cpu::norms(w.x.data(), d, &a.centroids(k, 0), 1, active, norms.data());
          for (std::int64_t i = 0; i < tile.rows.rows; ++i) {
            out.distances(tile.first + i - chunk.first, k) =
                std::sqrt(norms[static_cast<std::size_t>(i)]) * unit;
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
  template struct CpuAssignment<T>;                                                            \
  template void assign(const CpuBackend&, CpuAssignment<T>&, const RowChunk<T>&,               \
                       const Coordinates&, const FixedPoint&, Labels*, Statistics&);           \
  template std::int64_t find_nearest(const CpuBackend&, CpuAssignment<T>&, const RowChunk<T>&, \
                                     const Coordinates&, const Nearest<T>&, ExactSums&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::kmeans
