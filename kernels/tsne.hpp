#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "culatent/matrix.hpp"
#include "kernels/backend.hpp"
#include "kernels/tsne_grid.hpp"
#include "kernels/tsne_step.hpp"

/// The steps of t-SNE. N points y_i of q = 1, 2 or 3 dimensions, q_ij = 1 / (1 + |y_i − y_j|²).
/// Matrices are [N, q], dense.
namespace culatent::tsne {

/// Symmetric affinities p_ij, row by row: those of row i are starts[i] … starts[i + 1] − 1, columns
/// ascending.
struct AffinityRows {
  std::span<const std::int64_t> starts;   // [N + 1]
  std::span<const std::int32_t> columns;  // [E]
  std::span<const float> values;          // [E]
};

/// forces_i = sum_j p_ij q_ij (y_i − y_j).
///   flops: E (5 q + 4)     bytes: 8 E, and E gathers of q floats
void attract(const CpuBackend& backend, const AffinityRows& affinities,
             MatrixView<const float> points, MatrixView<float> forces);

/// sum_ij p_ij log(1 + |y_i − y_j|²), in double.
double attraction_energy(const CpuBackend& backend, const AffinityRows& affinities,
                         MatrixView<const float> points);

/// Repulsion by every pair once. Pairs of tiles are worked on in any order; what they find of a
/// point is added up in the order of tiles.
class ExactRepulsion {
 public:
  ExactRepulsion(std::int64_t n_points, int n_dimensions);
  static std::int64_t bytes(std::int64_t n_points, int n_dimensions);

  /// forces_i = sum_j q_ij² (y_i − y_j); returns Z, the sum of q_ij over i ≠ j.
  ///   flops: N² / 2 (9 q + 5), one division a pair
  double repel(const CpuBackend& backend, MatrixView<const float> points, MatrixView<float> forces);

 private:
  Matrix<float> partials_;  // [tiles, N q] of the forces
  Matrix<double> sums_;     // [tiles, tiles] of q
};

/// Z alone, without memory for forces.
double partition(const CpuBackend& backend, MatrixView<const float> points);

/// forces_i = sum_j q_ij² (y_i − y_j) and sums_i = sum_j q_ij over fixed points y_j, at other
/// places y_i.
///   flops: N M (5 q + 3), one division a pair
void repel_from(const CpuBackend& backend, MatrixView<const float> points,
                MatrixView<const float> places, MatrixView<float> forces, std::span<float> sums);

/// Repulsion through a grid (tsne_grid.hpp), for 1 and 2 dimensions.
class GridConvolution;
class GridRepulsion {
 public:
  GridRepulsion(std::int64_t n_points, int n_dimensions, std::int64_t most_nodes, int n_workers);
  ~GridRepulsion();
  GridRepulsion(GridRepulsion&&) noexcept;
  static std::int64_t bytes(std::int64_t n_points, int n_dimensions, std::int64_t most_nodes,
                            int n_workers);

  /// As ExactRepulsion::repel(), to about 1e-3 of the forces' norm.
  ///   flops: N (about 400), and the transforms of the grid
  double repel(const CpuBackend& backend, MatrixView<const float> points, MatrixView<float> forces);

  /// Makes the potential of `points`, on a grid between `low` and `high`, which holds them.
  void set_sources(const CpuBackend& backend, MatrixView<const float> points,
                   const double (&low)[2], const double (&high)[2]);
  /// Potential φ, and −½ ∇φ, at any places on the grid; places beyond it are moved to its edge.
  /// Returns the sum of the potentials.
  double read(const CpuBackend& backend, MatrixView<const float> places, MatrixView<float> forces,
              std::span<float> potentials);

  const Grid& grid() const;
  /// The next grid is chosen as if this one had been the last.
  void go_on_from(const GridSize& size) { before_ = grid_of(size); }

 private:
  void sort(const CpuBackend& backend, MatrixView<const float> points);
  void spread(MatrixView<const float> points, std::int64_t strip);

  std::int64_t most_nodes_;
  std::int64_t n_sources_ = 0;
  Grid before_;
  std::unique_ptr<GridConvolution> convolution_;
  std::vector<std::int32_t> order_;   // [N] points by strip of the grid, then by index
  std::vector<std::int64_t> starts_;  // where strips begin
  Matrix<std::int64_t> counts_;       // [blocks of points, strips]
  Matrix<double> sums_;               // [1, blocks of points] of potentials
  Matrix<float> extents_;             // [blocks of points, 4] least and greatest coordinates
};

/// One update of gradient descent with momentum and gains.
struct Move {
  double exaggeration = 1.0;
  double partition = 1.0;  ///< Z
  double learning_rate = 1.0;
  double momentum = 0.0;
};

/// Elements of what move() adds up in blocks.
std::int64_t move_sums(std::int64_t n_points, std::int64_t n_dimensions);

/// take_step() of every coordinate, with gradient = 4 (exaggeration attraction − repulsion / Z);
/// then the mean is taken away. Returns the gradient's squared norm. `scratch`: move_sums()
/// elements.
double move(const CpuBackend& backend, const Move& move, MatrixView<const float> attraction,
            MatrixView<const float> repulsion, MatrixView<float> points, MatrixView<float> velocity,
            MatrixView<float> gains, std::span<double> scratch);

/// The squared norm of 4 (exaggeration attraction − repulsion / Z).
double squared_gradient(const CpuBackend& backend, const Move& move,
                        MatrixView<const float> attraction, MatrixView<const float> repulsion);

}  // namespace culatent::tsne
