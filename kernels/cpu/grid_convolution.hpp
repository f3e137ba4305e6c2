#pragma once

#include <cstdint>
#include <optional>

#include "culatent/matrix.hpp"
#include "kernels/backend.hpp"
#include "kernels/cpu/fft.hpp"
#include "kernels/tsne_grid.hpp"

namespace culatent::tsne {

/// A grid of densities, and the potential that they make.
///
/// Three passes over the half of the grid that is not padding: rows are transformed, columns are
/// transformed, multiplied and transformed back in one go, rows are transformed back.
class GridConvolution {
 public:
  explicit GridConvolution(int n_workers) : n_workers_(n_workers) {}

  /// What `most_nodes` nodes in each of n_dimensions take.
  static std::int64_t bytes(std::int64_t most_nodes, int n_dimensions, int n_workers);

  const Grid& grid() const { return grid_; }
  /// Makes room and the spectrum, where the grid is another than before, and clears the densities.
  void set_grid(const CpuBackend& backend, const Grid& grid);
  /// Values at the nodes: rows run along dimension 0.
  float* row(std::int64_t i) { return values_.data() + i * values_.cols(); }
  /// Densities become potentials.
  ///   flops: about 7.5 size0 size1 log2(size0 size1)
  void convolve(const CpuBackend& backend);

 private:
  void transform_rows(std::int64_t first, float* space);
  void multiply_columns(std::int64_t first, float* space);
  void transform_rows_back(std::int64_t first, float* space);

  int n_workers_;
  Grid grid_;
  std::optional<culatent::cpu::Fft<float>> along_, down_;
  Matrix<float> values_;     // [nodes1 in groups, nodes0 in groups]
  Matrix<float> re_, im_;    // [nodes1 in groups, frequencies in groups] of transformed rows
  Matrix<float> influence_;  // [size1 / 2 + 1, frequencies in groups]
  Matrix<float> space_;      // a row a worker
};

}  // namespace culatent::tsne
