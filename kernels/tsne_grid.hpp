#pragma once

#include <array>
#include <cstdint>

#include "host/exact_sum_bins.hpp"
#include "kernels/backend.hpp"

/// The grid through which repulsion is summed: what both backends share.
///
/// The potential φ(y) = sum_j 1 / (1 + |y − y_j|²) is all that repulsion needs: F_i = −½ ∇φ(y_i) is
/// its force, sum_i φ(y_i) − N its partition function. As particle-mesh Ewald does it (Essmann et
/// al. 1995): every point is spread over kOrder² nodes by B-splines, the grid is convolved with the
/// potential of one point through Fourier transforms, and the same B-splines and their derivatives
/// read potential and force. One convolution, of densities alone; forces are the exact gradient of
/// the interpolated potential. The spectrum of 1 / (1 + r²) falls as exp(−k), so spacing 1/4 leaves
/// exp(−4 π) of it out; the transform of the splines is divided out by the influence function that
/// is best on average over positions (Hockney & Eastwood 1988, section 8).
namespace culatent::tsne {

inline constexpr int kOrder = 8;          ///< nodes that a point reaches in each dimension
inline constexpr double kSpacing = 0.25;  ///< of the nodes, at most, while the grid is large enough
inline constexpr int kLeastCells = 32;    ///< a small embedding has a finer grid, of so many cells

/// Nodes between the farthest points and where the potential turns back: the transform of the
/// spline divided out twice makes the kink there ring, by a factor 0.54 less a node.
inline constexpr std::int64_t kMargin = 12;

/// Values w and derivatives d, at the nodes 0 … 7 about a point at 0 ≤ u < 1, of the B-spline of
/// order 8. V is a number or a vector.
template <class V>
CULATENT_HOST_DEVICE inline void b_spline(V u, V (&w)[kOrder], V (&d)[kOrder]) {
  w[0] = 1 - u;
  w[1] = u;
  for (int order = 3; order <= kOrder; ++order) {
    if (order == kOrder) {
      d[0] = -w[0];
      for (int k = 1; k < kOrder - 1; ++k) d[k] = w[k - 1] - w[k];
      d[kOrder - 1] = w[kOrder - 2];
    }
    const float share = 1.0f / static_cast<float>(order - 1);
    w[order - 1] = share * u * w[order - 2];
    for (int k = order - 2; k > 0; --k) {
      w[k] = share * ((u + static_cast<float>(order - 1 - k)) * w[k - 1] +
                      (static_cast<float>(k + 1) - u) * w[k]);
    }
    w[0] = share * (1 - u) * w[0];
  }
}

/// Where nodes lie. Dimension 0 runs along the rows of the grid, dimension 1 down; an embedding of
/// one dimension is a grid of one row of points.
struct Grid {
  double spacing = kSpacing;
  double origin[2] = {};
  std::int64_t nodes[2] = {};  ///< that points reach
  std::int64_t size[2] = {};   ///< of the transforms: at least twice as many, for no point's image
                               ///< to reach another
  /// Subtracted from the potential of a point, which is near 1 everywhere while the embedding is
  /// small: float would keep nothing of its differences.
  double level = 0.0;
  bool coarse = false;  ///< spacing above kSpacing, because the grid would be too large
};

/// All that a grid passes on to the next one; {0, 0}: there was none.
using GridSize = std::array<std::int64_t, 2>;
inline GridSize size_of(const Grid& grid) { return {grid.size[0], grid.size[1]}; }
/// A grid to go on from, of a spacing that no grid has.
inline Grid grid_of(const GridSize& size) { return {.spacing = 0.0, .size = {size[0], size[1]}}; }

/// The grid for points between `low` and `high`. One that fits `before` keeps its transforms.
/// `most_nodes` in a dimension.
Grid choose_grid(const double (&low)[2], const double (&high)[2], std::int64_t most_nodes,
                 const Grid& before);

/// spectrum[k1 * stride + k0], 0 ≤ k ≤ size/2: what a transformed density is multiplied with, the
/// scale of the inverse transform included.
///   flops: about 1.25 size0 size1 log2(size0 size1) in double, by the threads of the host
void fill_influence(const CpuBackend& backend, const Grid& grid, std::int64_t stride,
                    float* spectrum);
/// Bytes that it takes for transforms of `sizes` at most.
std::int64_t influence_bytes(std::int64_t size0, std::int64_t size1, int n_workers);

}  // namespace culatent::tsne
