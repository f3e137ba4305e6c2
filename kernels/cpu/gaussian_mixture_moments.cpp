#include <Eigen/Core>
#include <type_traits>

#include "kernels/cpu/gaussian_mixture_tile.hpp"
#include "kernels/cpu/simd.hpp"

namespace culatent::gaussian_mixture::cpu {
namespace {

using culatent::cpu::Simd;

template <class T>
using Rows =
    Eigen::Map<std::conditional_t<std::is_const_v<T>,
                                  const Eigen::Array<std::remove_const_t<T>, 1, Eigen::Dynamic>,
                                  Eigen::Array<T, 1, Eigen::Dynamic>>>;

// ---- sums over the rows of a tile
// ------------------------------------------------------------------
//
//   packed[i (i+1)/2 + j] += sum_row a[i][row] a[j][row]       j ≤ i < d
//
// a is padded with zero rows to a multiple of 4. 4 x 2 accumulators over the rows of the tile in T,
// one addition in double for each result.
//   flops per row D (D + 1)
template <class T>
void add_outer_products(const T* a, std::int64_t d, int active, double* packed) {
  using S = Simd<T>;
  using Vec = typename S::Vec;
  for (std::int64_t i = 0; i < d; i += 4) {
    for (std::int64_t j = 0; j < std::min(i + 4, d); j += 2) {
      Vec acc[4][2] = {};
      const T* left = a + i * kTileStride;
      const T* right = a + j * kTileStride;
      for (int row = 0; row < active; row += S::kLanes) {
        const Vec right0 = S::load(right + row);
        const Vec right1 = S::load(right + kTileStride + row);
#pragma GCC unroll 4
        for (int k = 0; k < 4; ++k) {
          const Vec value = S::load(left + k * kTileStride + row);
          acc[k][0] += value * right0;
          acc[k][1] += value * right1;
        }
      }
      for (int k = 0; k < 4; ++k) {
        for (int m = 0; m < 2; ++m) {
          if (i + k < d && j + m <= i + k) {
            packed[(i + k) * (i + k + 1) / 2 + j + m] += static_cast<double>(S::sum(acc[k][m]));
          }
        }
      }
    }
  }
}

//   z[j] = root (x_j − shift_j),  sums[j] += sum_row q (x_j − shift_j)       root = sqrt(q)
template <class T>
void weighted_differences(const Matrix<T>& x, std::int64_t d, const T* shift, const T* q,
                          const T* root, int active, Matrix<T>& z, double* sums) {
  using S = Simd<T>;
  for (std::int64_t j = 0; j < d; ++j) {
    const T* source = x.data() + j * kTileStride;
    T* out = z.data() + j * kTileStride;
    const auto centre = S::fill(shift[j]);
    typename S::Vec sum{};
    for (int row = 0; row < active; row += S::kLanes) {
      const auto delta = S::load(source + row) - centre;
      sum += S::load(q + row) * delta;
      S::store(out + row, S::load(root + row) * delta);
    }
    sums[j] += static_cast<double>(S::sum(sum));
  }
}

//   sums[k, j] += sum_row q_k (x_j − shift_kj),  squares[k, j] += sum_row q_k (x_j − shift_kj)²
//
// for kGroup components at a time, so that a row of x read once serves them all.
//   flops per row and component 5 D
template <int kGroup, class T>
void add_diagonal_moments(const Matrix<T>& x, std::int64_t d, const T* shifts, const T* q,
                          int active, double* sums, double* squares) {
  using S = Simd<T>;
  using Vec = typename S::Vec;
  for (std::int64_t j = 0; j < d; ++j) {
    const T* source = x.data() + j * kTileStride;
    Vec sum[kGroup] = {}, square[kGroup] = {};
    for (int row = 0; row < active; row += S::kLanes) {
      const Vec value = S::load(source + row);
#pragma GCC unroll 4
      for (int k = 0; k < kGroup; ++k) {
        const Vec delta = value - S::fill(shifts[k * d + j]);
        const Vec share = S::load(q + k * kTileStride + row) * delta;
        sum[k] += share;
        square[k] += share * delta;
      }
    }
    for (int k = 0; k < kGroup; ++k) {
      sums[k * d + j] += static_cast<double>(S::sum(sum[k]));
      squares[k * d + j] += static_cast<double>(S::sum(square[k]));
    }
  }
}

// The tied M-step in double: the sums about one point for all components. Responsibilities are made
// to sum to one in double, because scatter − sum_k N_k mean_k mean_kᵀ cancels down to the
// within-component part.
template <class T>
void add_tied_moments(const Layout& layout, std::int64_t n_components, std::int64_t d, int active,
                      bool scatter, TileScratch<T>& s) {
  using Wide = Eigen::Map<Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>, 0,
                          Eigen::OuterStride<kTileStride>>;
  Wide resp(s.wide_resp.data(), n_components, active);
  Wide x(s.wide_x.data(), d, active);
  Rows<double> weight(s.row_weight.data(), active);
  Rows<double> total(s.wide_total.data(), active);
  total.setZero();
  for (std::int64_t k = 0; k < n_components; ++k) {
    resp.row(k).array() = Rows<T>(s.resp.data() + k * kTileStride, active).template cast<double>();
    total += resp.row(k).array();
  }
  // A row beyond the end has weight 0.
  total = (total > 0.0).select(weight / total, 0.0);
  for (std::int64_t k = 0; k < n_components; ++k) {
    resp.row(k).array() *= total;
    s.sums[static_cast<std::size_t>(layout.counts + k)] += resp.row(k).sum();
  }
  for (std::int64_t j = 0; j < d; ++j) {
    x.row(j).array() = Rows<T>(s.x.data() + j * kTileStride, active).template cast<double>();
  }
  Eigen::Map<Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>> sums(
      s.sums.data() + layout.sums, n_components, d);
  sums.noalias() += resp * x.transpose();
  if (!scatter) return;
  for (std::int64_t j = 0; j < d; ++j) x.row(j).array() *= weight.sqrt();
  add_outer_products(s.wide_x.data(), d, active, s.sums.data() + layout.squares);
}

}  // namespace

template <class T>
void add_moments(const Layout& layout, const Parameters<T>& p, int active, bool scatter,
                 TileScratch<T>& s) {
  const std::int64_t d = p.n_features;
  if (p.covariance == Covariance::tied) {
    add_tied_moments(layout, p.n_components, d, active, scatter, s);
    return;
  }
  Rows<T> weight(s.row_share.data(), active);
  weight = Rows<double>(s.row_weight.data(), active).cast<T>();
  double* counts = s.sums.data() + layout.counts;
  for (std::int64_t k = 0; k < p.n_components; ++k) {
    Rows<T> q(s.resp.data() + k * kTileStride, active);
    q *= weight;
    counts[k] += q.template cast<double>().sum();
  }
  double* sums = s.sums.data() + layout.sums;
  double* squares = s.sums.data() + layout.squares;
  if (p.covariance == Covariance::full) {
    Rows<T> root(s.row_max.data(), active);
    for (std::int64_t k = 0; k < p.n_components; ++k) {
      const T* q = s.resp.data() + k * kTileStride;
      root = Rows<const T>(q, active).sqrt();
      weighted_differences(s.x, d, p.shifts.data() + k * d, q, s.row_max.data(), active, s.z,
                           sums + k * d);
      add_outer_products(s.z.data(), d, active, squares + k * (d * (d + 1) / 2));
    }
    return;
  }
  std::int64_t k = 0;
  for (; k + 4 <= p.n_components; k += 4) {
    add_diagonal_moments<4>(s.x, d, p.shifts.data() + k * d, s.resp.data() + k * kTileStride,
                            active, sums + k * d, squares + k * d);
  }
  for (; k < p.n_components; ++k) {
    add_diagonal_moments<1>(s.x, d, p.shifts.data() + k * d, s.resp.data() + k * kTileStride,
                            active, sums + k * d, squares + k * d);
  }
}

template void add_moments(const Layout&, const Parameters<float>&, int, bool, TileScratch<float>&);
template void add_moments(const Layout&, const Parameters<double>&, int, bool,
                          TileScratch<double>&);

}  // namespace culatent::gaussian_mixture::cpu
