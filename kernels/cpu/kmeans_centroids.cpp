#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/kmeans_label.hpp"

namespace culatent::kmeans {
namespace {

template <class T>
double square_of(const Matrix<T>& centroids, std::int64_t k) {
  using Values = Eigen::Map<const Eigen::Array<T, Eigen::Dynamic, 1>>;
  const Values values(&centroids(k, 0), centroids.cols());
  return values.template cast<double>().square().sum();
}

}  // namespace

template <class T>
T far_beyond(const Matrix<T>& centroids, double slack) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  std::vector<double> lengths;
  for (std::int64_t k = 0; k < centroids.rows(); ++k) {
    lengths.push_back(std::sqrt(square_of(centroids, k)));
  }
  if (lengths.empty()) return std::numeric_limits<T>::infinity();
  const auto middle = lengths.begin() + (centroids.rows() - 1) / 2;
  std::nth_element(lengths.begin(), middle, lengths.end());
  const double bound = *middle * std::max(16.0, 0.25 / std::sqrt(slack));
  if (!(bound > 0.0)) return std::numeric_limits<T>::infinity();  // nothing to compare with
  double least = kInfinity;
  for (const double length : lengths) {
    if (length > bound) least = std::min(least, length);
  }
  // Backends add up squares in orders of their own; none will find the shortest of the far within.
  return static_cast<T>(least * (1.0 - 0x1p-16));
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
  const std::int64_t shared = size * (checked_product(n_clusters + padded, n_features) + padded) +
                              8 * n_clusters;  // the lengths of centroids
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
  beyond = far_beyond(values, static_cast<double>(score_slack<T>(d)));
  for (std::int64_t k = 0; k < groups(values.rows()) * kCentreGroup; ++k) {
    T* group = packed.data() + k / kCentreGroup * d * kCentreGroup + k % kCentreGroup;
    const bool real = k < values.rows();
    const double square = real ? square_of(values, k) : 0.0;
    const bool screened = real && std::sqrt(square) <= static_cast<double>(beyond);
    for (std::int64_t j = 0; j < d; ++j) {
      group[j * kCentreGroup] = screened ? values(k, j) : T{0};
    }
    offsets[static_cast<std::size_t>(k)] =
        screened ? static_cast<T>(-0.5 * square) : std::numeric_limits<T>::lowest();
    if (screened) longest = std::max(longest, static_cast<T>(std::sqrt(square)));
  }
}

#define CULATENT_INSTANTIATE(T)     \
  template struct CpuAssignment<T>; \
  template T far_beyond(const Matrix<T>&, double);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::kmeans
