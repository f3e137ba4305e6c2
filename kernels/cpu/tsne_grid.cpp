#include "kernels/tsne_grid.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "culatent/matrix.hpp"
#include "kernels/cpu/fft.hpp"

namespace culatent::tsne {
namespace {

using culatent::cpu::Fft;
using culatent::cpu::Simd;
using Vec = Simd<double>::Vec;

constexpr int kLanes = Simd<double>::kLanes;

// sinc(k / 2)^kOrder squared over the square of the sum of such squares over all k + 2 π m: the
// transform of the spline, divided out twice, where aliases are accounted for.
std::vector<double> spline_factors(std::int64_t size) {
  std::vector<double> factors;
  for (std::int64_t i = 0; i <= size / 2; ++i) {
    const double half = std::numbers::pi * static_cast<double>(i) / static_cast<double>(size);
    const auto square = [&](int image) {
      const double x = half + std::numbers::pi * image;
      return x == 0.0 ? 1.0 : std::pow(std::sin(x) / x, 2 * kOrder);
    };
    double sum = 0.0;
    for (int image = -4; image <= 4; ++image) sum += square(image);
    factors.push_back(square(0) / (sum * sum));
  }
  return factors;
}

double potential(const Grid& grid, std::int64_t i, std::int64_t j) {
  const double x = grid.spacing * static_cast<double>(std::min(i, grid.size[0] - i));
  const double y = grid.spacing * static_cast<double>(std::min(j, grid.size[1] - j));
  return 1.0 / (1.0 + x * x + y * y) - grid.level;
}

// Elements that a worker's transforms take.
std::int64_t space_size(std::int64_t size0, std::int64_t size1) {
  return 4 * std::max(size0, size1) * kLanes;
}

// Transforms of `count` even sequences: out(k, i), 0 ≤ k ≤ size / 2, of in(t, i).
template <class In, class Out>
void transform_even(const CpuBackend& backend, const Fft<double>& fft, std::int64_t count,
                    Matrix<double>& spaces, In&& in, Out&& out) {
  backend.threads.parallel_for((count + kLanes - 1) / kLanes, backend.n_workers,
                               [&](std::int64_t task, int worker) {
                                 double* const space = spaces.view().row(worker);
                                 auto* re = reinterpret_cast<Vec*>(space);
                                 auto* im = re + fft.size();
                                 const std::int64_t first = task * kLanes;
                                 const std::int64_t last = std::min(count, first + kLanes) - 1;
                                 for (std::int64_t t = 0; t < fft.size(); ++t) {
                                   for (int lane = 0; lane < kLanes; ++lane) {
                                     space[t * kLanes + lane] = in(t, std::min(first + lane, last));
                                   }
                                   im[t] = Vec{};
                                 }
                                 fft.transform(re, im, im + fft.size());
                                 for (std::int64_t k = 0; k <= fft.size() / 2; ++k) {
                                   for (std::int64_t i = first; i <= last; ++i)
                                     out(k, i, space[k * kLanes + i - first]);
                                 }
                               });
}

}  // namespace

Grid choose_grid(const double (&low)[2], const double (&high)[2], std::int64_t most_nodes,
                 const Grid& before) {
  Grid grid = before;
  const double longest = std::max(high[0] - low[0], high[1] - low[1]);
  // Powers of √2, so that a growing embedding keeps its grid for a while.
  const double fine = longest > 0.0 ? longest / kLeastCells : kSpacing;
  grid.spacing = std::min(kSpacing, std::exp2(0.5 * std::floor(2.0 * std::log2(fine))));
  const double widest = longest / static_cast<double>(most_nodes - kOrder - 1);
  grid.coarse = widest > grid.spacing;
  if (grid.coarse) grid.spacing = widest;
  bool same = grid.spacing == before.spacing;
  for (int i = 0; i < 2; ++i) {
    grid.origin[i] = low[i];
    // One more than exact arithmetic needs: places are computed in float.
    grid.nodes[i] = static_cast<std::int64_t>((high[i] - low[i]) / grid.spacing) + kOrder + 1;
    const std::int64_t least = 2 * (grid.nodes[i] + kMargin);
    if (before.size[i] < least || before.size[i] > least + least / 4) {
      grid.size[i] = culatent::cpu::fft_size(least + least / 16);
    }
    same = same && grid.size[i] == before.size[i];
  }
  if (same) return grid;
  const double x = grid.spacing * static_cast<double>(grid.size[0] / 2);
  const double y = grid.spacing * static_cast<double>(grid.size[1] / 2);
  grid.level = 1.0 / (1.0 + 0.5 * (x * x + y * y));
  return grid;
}

void fill_influence(const CpuBackend& backend, const Grid& grid, std::int64_t stride,
                    float* spectrum) {
  const std::int64_t n0 = grid.size[0], n1 = grid.size[1];
  const Fft<double> along(n0), down(n1);
  Matrix<double> spaces(backend.n_workers, space_size(n0, n1));
  // Rows beyond n1 / 2 are those before it, the other way round.
  Matrix<double> half(n1 / 2 + 1, n0 / 2 + 1);
  transform_even(
      backend, along, half.rows(), spaces,
      [&](std::int64_t t, std::int64_t j) { return potential(grid, t, j); },
      [&](std::int64_t k, std::int64_t j, double value) { half(j, k) = value; });
  const std::vector<double> factors0 = spline_factors(n0), factors1 = spline_factors(n1);
  const double scale = 1.0 / (static_cast<double>(n0) * static_cast<double>(n1));
  transform_even(
      backend, down, half.cols(), spaces,
      [&](std::int64_t t, std::int64_t i) { return half(std::min(t, n1 - t), i); },
      [&](std::int64_t k, std::int64_t i, double value) {
        const double factor =
            factors0[static_cast<std::size_t>(i)] * factors1[static_cast<std::size_t>(k)];
        spectrum[k * stride + i] = static_cast<float>(scale * factor * value);
      });
}

std::int64_t influence_bytes(std::int64_t size0, std::int64_t size1, int n_workers) {
  return 8 * ((size1 / 2 + 1) * (size0 / 2 + 1) + n_workers * space_size(size0, size1));
}

}  // namespace culatent::tsne
