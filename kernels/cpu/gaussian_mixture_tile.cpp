#include "kernels/cpu/gaussian_mixture_tile.hpp"

#include <Eigen/Core>
#include <cmath>
#include <limits>

#include "kernels/cpu/distance.hpp"

namespace culatent::gaussian_mixture::cpu {
namespace {

using culatent::cpu::norms;
using culatent::cpu::round_up;
using culatent::cpu::scaled_norms;
using culatent::cpu::Simd;

template <class T>
using Rows = Eigen::Map<Eigen::Array<T, 1, Eigen::Dynamic>>;

// Responsibilities below exp of this are zero: they would be subnormal.
template <class T>
constexpr T kLeastLog = std::is_same_v<T, float> ? T{-87} : T{-708};

// ---- squared distances ------------------------------------------------------------------------
//
//   out[row] = |L (x − mean)|²         L lower, padded with zero rows to a multiple of 4
//
// Two vectors of rows at a time: their differences stay in the first-level cache, four rows of L in
// 4 x 2 accumulators. Nothing is packed, the upper triangle is never touched. A wide L is taken in
// panels that stay in the second-level cache while all rows of the tile pass.
//   flops per row D (D + 1) + 2 D a panel
template <class T>
void whitened_norms(const Matrix<T>& x, std::int64_t d, const T* mean, const T* lower, int active,
                    T* chunk, T* out, T* whitened) {
  using S = Simd<T>;
  using Vec = typename S::Vec;
  constexpr int kChunk = 2 * S::kLanes;
  constexpr std::int64_t kPanelBytes = 256 * 1024;
  const std::int64_t rows_that_fit = kPanelBytes / (static_cast<std::int64_t>(sizeof(T)) * d);
  const std::int64_t panel = std::max<std::int64_t>(rows_that_fit / 4 * 4, 4);
  std::fill(out, out + active, T{0});
  for (std::int64_t first = 0; first < d; first += panel) {
    const std::int64_t last = std::min(first + panel, d);
    for (int row = 0; row < active; row += kChunk) {
      for (std::int64_t j = 0; j < last; ++j) {
        const T* source = x.data() + j * kTileStride + row;
        const Vec centre = S::fill(mean == nullptr ? T{0} : mean[j]);
        S::store(chunk + j * kChunk, S::load(source) - centre);
        S::store(chunk + j * kChunk + S::kLanes, S::load(source + S::kLanes) - centre);
      }
      Vec norm0 = S::load(out + row), norm1 = S::load(out + row + S::kLanes);
      for (std::int64_t i = first; i < last; i += 4) {
        Vec acc[4][2] = {};
        const T* l = lower + i * d;
        const std::int64_t end = std::min(i + 4, d);
        for (std::int64_t j = 0; j < end; ++j) {
          const Vec z0 = S::load(chunk + j * kChunk);
          const Vec z1 = S::load(chunk + j * kChunk + S::kLanes);
#pragma GCC unroll 4
          for (int a = 0; a < 4; ++a) {
            const Vec factor = S::fill(l[a * d + j]);
            acc[a][0] += factor * z0;
            acc[a][1] += factor * z1;
          }
        }
#pragma GCC unroll 4
        for (int a = 0; a < 4; ++a) {
          norm0 += acc[a][0] * acc[a][0];
          norm1 += acc[a][1] * acc[a][1];
          if (whitened != nullptr) {
            S::store(whitened + (i + a) * kTileStride + row, acc[a][0]);
            S::store(whitened + (i + a) * kTileStride + row + S::kLanes, acc[a][1]);
          }
        }
      }
      S::store(out + row, norm0);
      S::store(out + row + S::kLanes, norm1);
    }
  }
}

// A row whose density underflows in T for every component: far outliers. Long double holds the
// squares of anything that double holds.
template <class T>
void normalise_row_exactly(const Parameters<T>& p, int row, TileScratch<T>& s) {
  const std::int64_t d = p.n_features;
  const std::int64_t padded = round_up(d, 4);
  std::vector<long double> z(static_cast<std::size_t>(d));
  std::vector<long double> logs(static_cast<std::size_t>(p.n_components));
  long double greatest = -std::numeric_limits<long double>::infinity();
  for (std::int64_t k = 0; k < p.n_components; ++k) {
    for (std::int64_t j = 0; j < d; ++j) {
      z[static_cast<std::size_t>(j)] =
          static_cast<long double>(s.x(j, row)) - static_cast<long double>(p.shifts(k, j));
    }
    const bool triangular = p.covariance == Covariance::full || p.covariance == Covariance::tied;
    const std::int64_t first = p.covariance == Covariance::full ? k * padded : 0;
    long double norm = 0;
    for (std::int64_t i = 0; i < d; ++i) {
      long double y = 0;
      if (triangular) {
        for (std::int64_t j = 0; j <= i; ++j) {
          y += static_cast<long double>(p.whitening(first + i, j)) * z[static_cast<std::size_t>(j)];
        }
      } else {
        y = static_cast<long double>(p.whitening(k, i)) * z[static_cast<std::size_t>(i)];
      }
      norm += y * y;
    }
    const long double value =
        static_cast<long double>(p.log_constants[static_cast<std::size_t>(k)]) - norm / 2;
    logs[static_cast<std::size_t>(k)] = value;
    greatest = std::max(greatest, value);
  }
  long double total = 0;
  for (const long double value : logs) total += std::exp(value - greatest);
  long double joint = 0;
  for (std::int64_t k = 0; k < p.n_components; ++k) {
    const long double offset = logs[static_cast<std::size_t>(k)] - greatest;
    const long double share = std::exp(offset);
    if (share > 0) joint += share * offset;
    s.resp(k, row) = static_cast<T>(share / total);
  }
  s.row_max(0, row) = T{0};
  s.row_sum(0, row) = static_cast<T>(total);
  s.row_joint(0, row) = static_cast<T>(joint / total);
  s.log_prob(0, row) = static_cast<double>(greatest + std::log(total));
}

}  // namespace

template <class T>
TileScratch<T>::TileScratch(const Layout& layout, Covariance covariance, std::int64_t n_components,
                            std::int64_t n_features, bool in_place) {
  const std::int64_t padded = round_up(n_features, 4);
  if (!in_place) block = Matrix<T>(kBlockRows, n_features);
  x = Matrix<T>(padded, kTileStride);
  z = Matrix<T>(padded, kTileStride);
  resp = Matrix<T>(n_components, kTileStride);
  row_max = Matrix<T>(1, kTileStride);
  row_sum = Matrix<T>(1, kTileStride);
  row_joint = Matrix<T>(1, kTileStride);
  row_share = Matrix<T>(1, kTileStride);
  chunk = Matrix<T>(padded, 2 * Simd<T>::kLanes);
  log_prob = Matrix<double>(1, kTileStride);
  row_weight = Matrix<double>(1, kTileStride);
  if (covariance == Covariance::tied) {
    wide_x = Matrix<double>(padded, kTileStride);
    wide_resp = Matrix<double>(n_components, kTileStride);
    wide_total = Matrix<double>(1, kTileStride);
  }
  sums.assign(static_cast<std::size_t>(layout.size), 0.0);
}

template <class T>
std::int64_t TileScratch<T>::bytes(const Layout& layout, Covariance covariance,
                                   std::int64_t n_components, std::int64_t n_features,
                                   bool in_place) {
  const std::int64_t padded = round_up(n_features, 4);
  const std::int64_t size = static_cast<std::int64_t>(sizeof(T));
  std::int64_t total = in_place ? 0 : checked_product(kBlockRows * size, n_features);
  total += checked_product(kTileStride * size, 2 * padded + n_components + 4);
  total += checked_product(padded, 64) + 2 * 8 * kTileStride;
  if (covariance == Covariance::tied) {
    total += checked_product(8 * kTileStride, padded + n_components + 1);
  }
  return total + checked_product(layout.size, 8);
}

template <class T>
void log_joint(const Parameters<T>& p, int active, TileScratch<T>& s) {
  const std::int64_t d = p.n_features;
  const std::int64_t n_components = p.n_components;
  if (p.covariance == Covariance::full) {
    for (std::int64_t k = 0; k < n_components; ++k) {
      whitened_norms<T>(s.x, d, p.shifts.data() + k * d,
                        p.whitening.data() + k * round_up(d, 4) * d, active, s.chunk.data(),
                        s.resp.data() + k * kTileStride, nullptr);
    }
  } else if (p.covariance == Covariance::tied) {
    whitened_norms<T>(s.x, d, nullptr, p.whitening.data(), active, s.chunk.data(),
                      s.row_share.data(), s.z.data());
    norms<T>(s.z.data(), d, p.whitened_means.data(), n_components, active, s.resp.data());
  } else {
    scaled_norms<T>(s.x.data(), d, p.shifts.data(), n_components, p.whitening.data(), d, active,
                    s.resp.data());
  }
  for (std::int64_t k = 0; k < n_components; ++k) {
    Rows<T> row(s.resp.data() + k * kTileStride, active);
    row = p.log_constants[static_cast<std::size_t>(k)] - T{0.5} * row;
  }
}

template <class T>
void normalise(const Parameters<T>& p, int n_rows, int active, TileScratch<T>& s) {
  const std::int64_t n_components = p.n_components;
  Rows<T> greatest(s.row_max.data(), active);
  Rows<T> total(s.row_sum.data(), active);
  Rows<T> joint(s.row_joint.data(), active);
  Rows<T> share(s.row_share.data(), active);
  greatest = Rows<T>(s.resp.data(), active);
  for (std::int64_t k = 1; k < n_components; ++k) {
    greatest = greatest.max(Rows<T>(s.resp.data() + k * kTileStride, active));
  }
  total.setZero();
  joint.setZero();
  for (std::int64_t k = 0; k < n_components; ++k) {
    Rows<T> row(s.resp.data() + k * kTileStride, active);
    row -= greatest;
    // The comparison is false for NaN (inf − inf inside a distance): such a density is nothing too.
    row = (row > kLeastLog<T>).select(row, T{2} * kLeastLog<T>);
    share = row.exp();  // by itself: inside a select it would not be vectorised
    share = (row > kLeastLog<T>).select(share, T{0});
    total += share;
    joint += share * row;
    row = share;
  }
  Rows<double>(s.log_prob.data(), active) =
      greatest.template cast<double>() + total.log().template cast<double>();
  share = total.inverse();
  for (std::int64_t k = 0; k < n_components; ++k) {
    Rows<T>(s.resp.data() + k * kTileStride, active) *= share;
  }
  joint *= share;
  for (int row = 0; row < n_rows; ++row) {
    if (!std::isfinite(s.row_max(0, row))) normalise_row_exactly(p, row, s);
  }
}

template <class T>
void add_row_sums(int n_rows, TileScratch<T>& s) {
  double weight = 0.0, log_likelihood = 0.0, joint = 0.0, entropy = 0.0;
  for (int row = 0; row < n_rows; ++row) {
    const double w = s.row_weight(0, row);
    if (w == 0.0) continue;
    const double row_entropy =
        std::log(static_cast<double>(s.row_sum(0, row))) - static_cast<double>(s.row_joint(0, row));
    weight += w;
    log_likelihood += w * s.log_prob(0, row);
    entropy += w * row_entropy;
    joint += w * (s.log_prob(0, row) - row_entropy);
  }
  s.sums[Layout::kWeight] += weight;
  s.sums[Layout::kLogLikelihood] += log_likelihood;
  s.sums[Layout::kJoint] += joint;
  s.sums[Layout::kEntropy] += entropy;
}

template <class T>
void nearest(const InitialResponsibilities<T>& initial, int active, TileScratch<T>& s) {
  const std::int64_t d = initial.centroids->cols();
  const std::int64_t n_centroids = initial.centroids->rows();
  scaled_norms<T>(s.x.data(), d, initial.centroids->data(), n_centroids, initial.metric.data(), 0,
                  active, s.resp.data());
  for (int row = 0; row < active; ++row) {
    std::int64_t best = 0;
    for (std::int64_t k = 1; k < n_centroids; ++k) {
      if (s.resp(k, row) < s.resp(best, row)) best = k;
    }
    for (std::int64_t k = 0; k < n_centroids; ++k) s.resp(k, row) = k == best ? T{1} : T{0};
  }
}

template struct TileScratch<float>;
template struct TileScratch<double>;
template void log_joint(const Parameters<float>&, int, TileScratch<float>&);
template void log_joint(const Parameters<double>&, int, TileScratch<double>&);
template void normalise(const Parameters<float>&, int, int, TileScratch<float>&);
template void normalise(const Parameters<double>&, int, int, TileScratch<double>&);
template void add_row_sums(int, TileScratch<float>&);
template void add_row_sums(int, TileScratch<double>&);
template void nearest(const InitialResponsibilities<float>&, int, TileScratch<float>&);
template void nearest(const InitialResponsibilities<double>&, int, TileScratch<double>&);

}  // namespace culatent::gaussian_mixture::cpu
