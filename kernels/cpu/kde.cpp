#include "kernels/kde.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu/distance.hpp"

namespace culatent::kde {
namespace {

using culatent::cpu::kTileRows;
using culatent::cpu::kTileStride;

constexpr std::int64_t kStoredTile = 64;  // stored rows whose terms are summed together

// Queries of one tile, feature-major, and their running log-sum-exp.
struct Tile {
  explicit Tile(std::int64_t d) : x(d, kTileStride), terms(kStoredTile, kTileStride) {}

  Matrix<double> x;
  Matrix<double> terms;  // [kStoredTile, stride] −½ squared distance
  Eigen::ArrayXd greatest{kTileRows}, sum{kTileRows}, share{kTileRows};
};

using Rows = Eigen::Map<Eigen::ArrayXd>;

void add_stored_rows(const Matrix<double>& stored, std::int64_t begin, std::int64_t end,
                     std::int64_t own_first, int active, Tile& tile) {
  Eigen::ArrayXd greatest = tile.greatest.head(active);
  culatent::cpu::norms<double>(tile.x.data(), stored.cols(), stored.data() + begin * stored.cols(),
                               end - begin, active, tile.terms.data());
  for (std::int64_t i = begin; i < end; ++i) {
    Rows terms(tile.terms.data() + (i - begin) * kTileStride, active);
    terms *= -0.5;
    const std::int64_t own = i - own_first;
    if (own_first >= 0 && own >= 0 && own < active) {
      terms[own] = -std::numeric_limits<double>::infinity();
    }
    greatest = greatest.max(terms);
  }
  // Nothing counted yet: keep the sum at 0 rather than make −inf − −inf.
  const Eigen::ArrayXd shift =
      (greatest > -std::numeric_limits<double>::infinity()).select(greatest, 0.0);
  tile.sum.head(active) *= (tile.greatest.head(active) - shift).exp();
  for (std::int64_t i = begin; i < end; ++i) {
    const Rows terms(tile.terms.data() + (i - begin) * kTileStride, active);
    tile.share.head(active) = (terms - shift).exp();  // by itself, so that it is vectorised
    tile.sum.head(active) += (terms - shift > -708.0).select(tile.share.head(active), 0.0);
  }
  tile.greatest.head(active) = greatest;
}

}  // namespace

void log_kernel_sums(const CpuBackend& backend, MatrixView<const double> queries,
                     std::int64_t first, const Matrix<double>& stored, bool skip_own,
                     std::span<double> out) {
  const std::int64_t d = stored.cols();
  backend.threads.parallel_for(
      (queries.rows + kTileRows - 1) / kTileRows, backend.n_workers, [&](std::int64_t t, int) {
        Tile tile(d);
        const std::int64_t begin = t * kTileRows;
        const std::int64_t count = std::min<std::int64_t>(kTileRows, queries.rows - begin);
        const int active = static_cast<int>(culatent::cpu::round_up(count, 32));
        for (std::int64_t i = 0; i < count; ++i) {
          for (std::int64_t j = 0; j < d; ++j) tile.x(j, i) = queries(begin + i, j);
        }
        tile.greatest.setConstant(-std::numeric_limits<double>::infinity());
        tile.sum.setZero();
        for (std::int64_t i = 0; i < stored.rows(); i += kStoredTile) {
          add_stored_rows(stored, i, std::min(i + kStoredTile, stored.rows()),
                          skip_own ? first + begin : -1, active, tile);
        }
        for (std::int64_t i = 0; i < count; ++i) {
          out[static_cast<std::size_t>(begin + i)] = tile.greatest[i] + std::log(tile.sum[i]);
        }
      });
}

}  // namespace culatent::kde
