#include "host/tsne_cuda.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "host/affinities_cuda.hpp"

namespace culatent::tsne {
namespace {

constexpr std::int64_t kMostNorms = 1024;  // that the device keeps
// An embedding may grow so much within an interval before it is done again on a larger grid.
constexpr double kGrowth = 1.25;

}  // namespace

CudaEngine::CudaEngine(const CudaBackend& backend, const Prepared& prepared, State start,
                       Repulsion repulsion)
    : backend_(backend),
      prepared_(prepared),
      tiles_(RepulsionTiles::choose(start.positions.rows())),
      positions_(std::move(start.positions)),
      points_(backend.device, positions_.size(), "positions"),
      velocity_(backend.device, positions_.size(), "velocities"),
      gains_(backend.device, positions_.size(), "gains"),
      attraction_(backend.device, positions_.size(), "forces"),
      repulsion_(backend.device, positions_.size(), "forces"),
      force_parts_(
          backend.device,
          repulsion == Repulsion::exact ? checked_product(tiles_.n_tiles(), positions_.size()) : 0,
          "forces between tiles"),
      pair_parts_(backend.device, tiles_.n_pairs(), "sums of tiles"),
      move_parts_(backend.device,
                  move_parts(positions_.rows(), static_cast<int>(positions_.cols())), "sums"),
      parts_(backend.device, kSumParts, "sums"),
      norms_(backend.device, kMostNorms, "norms"),
      partition_(backend.device, 2, "sums"),
      move_(backend.device, 1, "a step"),
      coarse_(start.coarse) {
  partition_.fill_zero();  // the second comes with the first, whether it was found or not
  points_.upload(positions_.data(), positions_.size());
  velocity_.upload(start.velocity.data(), velocity_.size());
  gains_.upload(start.gains.data(), gains_.size());
  iteration_.emplace(backend.device);
  if (repulsion == Repulsion::fft) {
    const std::int64_t n = positions_.rows();
    grid_.emplace(backend_, n, static_cast<int>(positions_.cols()), choose_most_nodes(n));
    grid_->go_on_from(start.grid_size);
    saved_ = {backend.device, 3 * positions_.size(), "the state of an interval"};
    GridUse use;
    for (std::int64_t k = 0; k < positions_.cols(); ++k) {
      use.low[k] = use.high[k] = positions_(0, k);
      for (std::int64_t i = 0; i < n; ++i) {
        use.low[k] = std::min(use.low[k], positions_(i, k));
        use.high[k] = std::max(use.high[k], positions_(i, k));
      }
    }
    set_grid(use, kGrowth);
  }
  find_forces();
}

std::int64_t CudaEngine::bytes(const CudaBackend& backend, std::int64_t n_rows, int n_dimensions,
                               Repulsion repulsion) {
  const bool exact = repulsion == Repulsion::exact;
  const RepulsionTiles tiles = RepulsionTiles::choose(n_rows);
  const std::int64_t values = checked_product(n_rows, 4 * n_dimensions);
  const std::int64_t descent =
      checked_product(values, 5 + (exact ? tiles.n_tiles() : 0)) +
      8 * (tiles.n_pairs() + move_parts(n_rows, n_dimensions) + kSumParts + kMostNorms + 2) +
      static_cast<std::int64_t>(sizeof(DeviceMove));
  if (exact) return descent;
  return descent + 3 * values +
         DeviceGridRepulsion::bytes(backend, n_rows, n_dimensions, choose_most_nodes(n_rows));
}

// For points of the extent in `use`, `growth` times as wide. True: forces are those of another one.
bool CudaEngine::set_grid(const GridUse& use, double growth) {
  double low[2], high[2];
  for (int k = 0; k < 2; ++k) {
    const double width = static_cast<double>(use.high[k]) - static_cast<double>(use.low[k]);
    low[k] = static_cast<double>(use.low[k]);
    high[k] = low[k] + growth * width;
  }
  if (!grid_->set_grid(backend_, low, high)) return false;
  coarse_ = coarse_ || grid_->grid().coarse;
  iteration_.emplace(backend_.device);
  return true;
}

DeviceAffinities CudaEngine::graph() const {
  const affinities::DeviceGraph& p = *prepared_.device_graph;
  return {p.starts.data(), p.columns.data(), p.values.data(), p.n_rows(), p.size()};
}

void CudaEngine::find_forces() {
  const int q = static_cast<int>(positions_.cols());
  attract(backend_, graph(), points_.data(), q, attraction_.data());
  if (grid_) {
    grid_->repel(backend_, points_.data(), repulsion_.data(), partition_.data());
  } else {
    repel(backend_, tiles_, points_.data(), q, {force_parts_.data(), pair_parts_.data()},
          repulsion_.data(), partition_.data());
  }
}

void CudaEngine::copy_state(bool back) {
  const std::int64_t bytes = positions_.size() * static_cast<std::int64_t>(sizeof(float));
  float* saved = saved_.data();
  for (float* array : {points_.data(), velocity_.data(), gains_.data()}) {
    if (back) {
      backend_.device.copy(array, saved, bytes);
    } else {
      backend_.device.copy(saved, array, bytes);
    }
    saved += positions_.size();
  }
}

void CudaEngine::advance(const Phase& phase, std::span<double> norms) {
  stale_ = stale_ || !norms.empty();
  if (!grid_) {
    run(phase, norms);
    return;
  }
  copy_state(false);
  // So that an interval depends on where it begins alone.
  if (set_grid(grid_->use(backend_), kGrowth)) find_forces();
  run(phase, norms);
  for (GridUse use = grid_->use(backend_); use.overflow != 0; use = grid_->use(backend_)) {
    copy_state(true);
    // Where the points went on forces that were wrong says little: twice as wide as the grid was.
    const Grid& grid = grid_->grid();
    for (int k = 0; k < 2; ++k) {
      const double width = grid.spacing * static_cast<double>(grid.nodes[k] - kOrder);
      use.high[k] = use.low[k] + static_cast<float>(width);
    }
    set_grid(use, 2.0);
    find_forces();
    run(phase, norms);
  }
}

void CudaEngine::run(const Phase& phase, std::span<double> norms) {
  const int q = static_cast<int>(positions_.cols());
  const DescentArrays arrays = {attraction_.data(), repulsion_.data(), points_.data(),
                                velocity_.data(), gains_.data()};
  while (!norms.empty()) {
    const std::size_t n_moves = std::min(norms.size(), static_cast<std::size_t>(kMostNorms));
    const DeviceMove step = {static_cast<float>(phase.exaggeration),
                             static_cast<float>(phase.learning_rate),
                             static_cast<float>(phase.momentum), 0};
    move_.upload(&step, 1);
    for (std::size_t i = 0; i < n_moves; ++i) {
      iteration_->run([&] {
        move(backend_, move_.data(), partition_.data(), positions_.rows(), q, arrays,
             move_parts_.data(), norms_.data());
        find_forces();
      });
    }
    norms_.download(norms.data(), static_cast<std::int64_t>(n_moves));
    norms = norms.subspan(n_moves);
  }
}

double CudaEngine::sum_of_parts() const {
  double parts[kSumParts], sum = 0.0;
  parts_.download(parts, kSumParts);
  for (const double part : parts) sum += part;
  return sum;
}

double CudaEngine::gradient_norm(double exaggeration) const {
  squared_gradient(backend_, exaggeration, partition_.data(), positions_.size(), attraction_.data(),
                   repulsion_.data(), parts_.data());
  return std::sqrt(sum_of_parts());
}

double CudaEngine::divergence(bool all_pairs) {
  attraction_energy(backend_, graph(), points_.data(), static_cast<int>(positions_.cols()),
                    parts_.data());
  if (grid_ && all_pairs) {
    find_partition(backend_, tiles_, points_.data(), static_cast<int>(positions_.cols()),
                   pair_parts_.data(), partition_.data() + 1);
  }
  double z[2] = {};
  partition_.download(z, 2);
  return divergence_of(prepared_, sum_of_parts(), z[grid_ && all_pairs ? 1 : 0]);
}

State CudaEngine::state() {
  positions();
  State state{positions_, Matrix<float>(positions_.rows(), positions_.cols()),
              Matrix<float>(positions_.rows(), positions_.cols()),
              grid_ ? size_of(grid_->grid()) : GridSize{}, coarse_};
  velocity_.download(state.velocity.data(), velocity_.size());
  gains_.download(state.gains.data(), gains_.size());
  return state;
}

MatrixView<const float> CudaEngine::positions() {
  if (stale_) points_.download(positions_.data(), positions_.size());
  stale_ = false;
  return positions_.view();
}

double partition_on_device(const CudaBackend& backend, MatrixView<const float> embedding) {
  const RepulsionTiles tiles = RepulsionTiles::choose(embedding.rows);
  DeviceArray<float> points(backend.device, embedding.rows * embedding.cols, "positions");
  const DeviceArray<double> sums(backend.device, tiles.n_pairs(), "sums of tiles");
  const DeviceArray<double> partition(backend.device, 1, "a sum");
  points.upload(embedding.data, points.size());
  find_partition(backend, tiles, points.data(), static_cast<int>(embedding.cols), sums.data(),
                 partition.data());
  double z = 0.0;
  partition.download(&z, 1);
  return z;
}

}  // namespace culatent::tsne
