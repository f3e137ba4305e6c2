#include "host/tsne_engine.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace culatent::tsne {

State at_rest(Matrix<float> positions) {
  State state;
  state.velocity = Matrix<float>(positions.rows(), positions.cols());
  state.gains = Matrix<float>(positions.rows(), positions.cols());
  std::fill_n(state.gains.data(), state.gains.size(), 1.0f);
  state.positions = std::move(positions);
  return state;
}

CpuEngine::CpuEngine(const CpuBackend& backend, const Prepared& prepared, State start,
                     Repulsion repulsion)
    : backend_(backend),
      prepared_(prepared),
      positions_(std::move(start.positions)),
      velocity_(std::move(start.velocity)),
      gains_(std::move(start.gains)),
      coarse_(start.coarse) {
  const std::int64_t n = positions_.rows(), q = positions_.cols();
  attraction_ = Matrix<float>(n, q);
  repulsion_ = Matrix<float>(n, q);
  move_sums_.resize(static_cast<std::size_t>(move_sums(n, q)));
  if (repulsion == Repulsion::exact) {
    exact_.emplace(n, static_cast<int>(q));
  } else {
    grid_.emplace(n, static_cast<int>(q), choose_most_nodes(n), backend.n_workers);
    grid_->go_on_from(start.grid_size);
  }
  find_forces();
}

std::int64_t CpuEngine::bytes(std::int64_t n_rows, int n_dimensions, Repulsion repulsion,
                              int n_workers) {
  return checked_product(n_rows, 5 * 4 * n_dimensions) + 8 * move_sums(n_rows, n_dimensions) +
         (repulsion == Repulsion::exact
              ? ExactRepulsion::bytes(n_rows, n_dimensions)
              : GridRepulsion::bytes(n_rows, n_dimensions, choose_most_nodes(n_rows), n_workers));
}

void CpuEngine::find_forces() {
  attract(backend_, prepared_.view(), positions_.view(), attraction_.view());
  if (exact_) {
    partition_ = exact_->repel(backend_, positions_.view(), repulsion_.view());
  } else {
    partition_ = grid_->repel(backend_, positions_.view(), repulsion_.view());
    coarse_ = coarse_ || grid_->grid().coarse;
  }
}

void CpuEngine::advance(const Phase& phase, std::span<double> norms) {
  for (double& norm : norms) {
    const Move step = {phase.exaggeration, partition_, phase.learning_rate, phase.momentum};
    norm = std::sqrt(move(backend_, step, attraction_.view(), repulsion_.view(), positions_.view(),
                          velocity_.view(), gains_.view(), move_sums_));
    find_forces();
  }
}

State CpuEngine::state() const {
  return {positions_, velocity_, gains_, grid_ ? size_of(grid_->grid()) : GridSize{}, coarse_};
}

double CpuEngine::gradient_norm(double exaggeration) const {
  const Move here = {exaggeration, partition_};
  return std::sqrt(squared_gradient(backend_, here, attraction_.view(), repulsion_.view()));
}

double CpuEngine::divergence(bool all_pairs) const {
  const double energy = attraction_energy(backend_, prepared_.view(), positions_.view());
  return divergence_of(prepared_, energy,
                       all_pairs && !exact_ ? partition(backend_, positions_.view()) : partition_);
}

}  // namespace culatent::tsne
