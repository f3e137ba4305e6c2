#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>

#include "kernels/cpu/kmeans_label.hpp"

namespace culatent::kmeans {
namespace {

using culatent::cpu::Simd;

// Four values: what a vector of double holds, so that both types make integers alike.
template <class T>
struct Quad {
  typedef T Vec __attribute__((vector_size(4 * sizeof(T))));
};

// Adds a value, in units of the first limb.
void add_value(double value, const FixedPoint& fixed, std::int64_t limb_stride, std::int64_t* sum) {
  // A product that is rounded by itself, as on a device: the compiler shall not fuse it with a sum.
  const volatile double rounded = value;
  value = rounded;
  const double whole = value + kToInteger;
  sum[0] += std::bit_cast<std::int64_t>(whole) - std::bit_cast<std::int64_t>(kToInteger);
  if (fixed.n_limbs == 1) return;
  sum[limb_stride] += to_integer((value - (whole - kToInteger)) * fixed.fine);
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

}  // namespace

void Statistics::clear() {
  std::fill(sums.begin(), sums.end(), 0);
  inertia.clear();
  n_moved = n_refined = 0;
  zero_row = -1;
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

#define CULATENT_INSTANTIATE(T)                                                  \
  template void assign(const CpuBackend&, CpuAssignment<T>&, const RowChunk<T>&, \
                       const Coordinates&, const FixedPoint&, Labels*, Statistics&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::kmeans
