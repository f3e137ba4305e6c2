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

// Transforms of kLanes even sequences: out(k, lane), 0 ≤ k ≤ size / 2, of in(t, lane).
template <class In, class Out>
void transform_even(const Fft<double>& fft, Matrix<double>& space, In&& in, Out&& out) {
  auto* re = reinterpret_cast<Vec*>(space.data());
  auto* im = re + fft.size();
  for (std::int64_t t = 0; t < fft.size(); ++t) {
    for (int lane = 0; lane < kLanes; ++lane) space(t, lane) = in(t, lane);
    im[t] = Vec{};
  }
  fft.transform(re, im, im + fft.size());
  for (std::int64_t k = 0; k <= fft.size() / 2; ++k) {
    for (int lane = 0; lane < kLanes; ++lane) out(k, lane, space(k, lane));
  }
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

void fill_influence(const Grid& grid, std::int64_t stride, float* spectrum) {
  const std::int64_t n0 = grid.size[0], n1 = grid.size[1];
  const Fft<double> along(n0), down(n1);
  Matrix<double> space(4 * std::max(n0, n1), kLanes);
  // Rows beyond n1 / 2 are those before it, the other way round.
  Matrix<double> half(n1 / 2 + 1, n0 / 2 + 1);
  for (std::int64_t j = 0; j < half.rows(); j += kLanes) {
    transform_even(
        along, space,
        [&](std::int64_t t, int lane) { return potential(grid, t, std::min(j + lane, n1 / 2)); },
        [&](std::int64_t k, int lane, double value) {
          if (j + lane < half.rows()) half(j + lane, k) = value;
        });
  }
  const std::vector<double> factors0 = spline_factors(n0), factors1 = spline_factors(n1);
  const double scale = 1.0 / (static_cast<double>(n0) * static_cast<double>(n1));
  for (std::int64_t i = 0; i < half.cols(); i += kLanes) {
    transform_even(
        down, space,
        [&](std::int64_t t, int lane) {
          return half(std::min(t, n1 - t), std::min(i + lane, n0 / 2));
        },
        [&](std::int64_t k, int lane, double value) {
          if (i + lane >= half.cols()) return;
          const double factor =
              factors0[static_cast<std::size_t>(i + lane)] * factors1[static_cast<std::size_t>(k)];
          spectrum[k * stride + i + lane] = static_cast<float>(scale * factor * value);
        });
  }
}

}  // namespace culatent::tsne
