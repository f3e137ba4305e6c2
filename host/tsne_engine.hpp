#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "host/tsne.hpp"

namespace culatent::tsne {

/// What the iterations of a phase have in common.
struct Phase {
  double exaggeration = 1.0;
  double learning_rate = 1.0;
  double momentum = 0.0;
};

/// Where a descent is between two intervals: from here it takes the same updates.
struct State {
  Matrix<float> positions, velocity, gains;  ///< [N, q]
  GridSize grid_size = {};                   ///< of the last grid: the next one keeps it if it can
  bool coarse = false;                       ///< a grid had a spacing above kSpacing

  std::int64_t bytes() const { return 12 * positions.size(); }
};
/// Without velocity, gains 1.
State at_rest(Matrix<float> positions);

/// The descent on the CPU. Positions, velocity, gains and forces are [N, q] float.
class CpuEngine {
 public:
  /// Up to which the divergence at the end is summed over all pairs: seconds on two threads.
  static constexpr std::int64_t kExactDivergenceRows = 200'000;

  CpuEngine(const CpuBackend& backend, const Prepared& prepared, State start, Repulsion repulsion);
  static std::int64_t bytes(std::int64_t n_rows, int n_dimensions, Repulsion repulsion,
                            int n_workers);

  /// `norms.size()` updates; norms[t] is the gradient's norm before update t. Forces are those at
  /// the positions, before and after.
  void advance(const Phase& phase, std::span<double> norms);
  double gradient_norm(double exaggeration) const;
  /// With the repulsion's partition function, or that of all pairs.
  double divergence(bool all_pairs) const;
  MatrixView<const float> positions() const { return positions_.view(); }
  State state() const;
  bool coarse() const { return coarse_; }

 private:
  void find_forces();

  CpuBackend backend_;
  const Prepared& prepared_;
  std::optional<ExactRepulsion> exact_;
  std::optional<GridRepulsion> grid_;
  Matrix<float> positions_, velocity_, gains_, attraction_, repulsion_;
  std::vector<double> move_sums_;
  double partition_ = 0.0;
  bool coarse_ = false;
};

}  // namespace culatent::tsne
