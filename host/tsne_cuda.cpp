#include "host/tsne_cuda.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace culatent::tsne {
namespace {

constexpr std::int64_t kMostNorms = 1024;  // that the device keeps

std::int64_t count(const std::vector<float>& values) {
  return static_cast<std::int64_t>(values.size());
}

}  // namespace

CudaEngine::CudaEngine(const CudaBackend& backend, const Prepared& prepared, Matrix<float> start)
    : backend_(backend),
      prepared_(prepared),
      tiles_(RepulsionTiles::choose(start.rows())),
      positions_(std::move(start)),
      starts_(backend.device, positions_.rows() + 1, "affinities"),
      columns_(backend.device, count(prepared.graph.values), "affinities"),
      values_(backend.device, count(prepared.graph.values), "affinities"),
      points_(backend.device, positions_.size(), "positions"),
      velocity_(backend.device, positions_.size(), "velocities"),
      gains_(backend.device, positions_.size(), "gains"),
      attraction_(backend.device, positions_.size(), "forces"),
      repulsion_(backend.device, positions_.size(), "forces"),
      force_parts_(backend.device, checked_product(tiles_.n_tiles(), positions_.size()),
                   "forces between tiles"),
      pair_parts_(backend.device, tiles_.n_pairs(), "sums of tiles"),
      move_parts_(backend.device,
                  move_parts(positions_.rows(), static_cast<int>(positions_.cols())), "sums"),
      parts_(backend.device, kSumParts, "sums"),
      norms_(backend.device, kMostNorms, "norms"),
      partition_(backend.device, 1, "sums"),
      move_(backend.device, 1, "a step"),
      iteration_(backend.device) {
  const AffinityRows p = prepared.view();
  starts_.upload(p.starts.data(), starts_.size());
  columns_.upload(p.columns.data(), columns_.size());
  values_.upload(p.values.data(), values_.size());
  points_.upload(positions_.data(), positions_.size());
  velocity_.fill_zero();
  const std::vector<float> ones(static_cast<std::size_t>(positions_.size()), 1.0f);
  gains_.upload(ones.data(), gains_.size());
  find_forces();
}

std::int64_t CudaEngine::bytes(std::int64_t n_rows, int n_dimensions, std::int64_t n_affinities) {
  const RepulsionTiles tiles = RepulsionTiles::choose(n_rows);
  const std::int64_t values = checked_product(n_rows, 4 * n_dimensions);
  return 8 * (n_rows + 1) + checked_product(n_affinities, 8) +
         checked_product(values, 5 + tiles.n_tiles()) +
         8 * (tiles.n_pairs() + move_parts(n_rows, n_dimensions) + kSumParts + kMostNorms + 1) +
         static_cast<std::int64_t>(sizeof(DeviceMove));
}

void CudaEngine::find_forces() {
  const int q = static_cast<int>(positions_.cols());
  attract(backend_,
          {starts_.data(), columns_.data(), values_.data(), positions_.rows(), values_.size()},
          points_.data(), q, attraction_.data());
  repel(backend_, tiles_, points_.data(), q, {force_parts_.data(), pair_parts_.data()},
        repulsion_.data(), partition_.data());
}

void CudaEngine::advance(const Phase& phase, std::span<double> norms) {
  const int q = static_cast<int>(positions_.cols());
  const DescentArrays arrays = {attraction_.data(), repulsion_.data(), points_.data(),
                                velocity_.data(), gains_.data()};
  stale_ = stale_ || !norms.empty();
  while (!norms.empty()) {
    const std::size_t n_moves = std::min(norms.size(), static_cast<std::size_t>(kMostNorms));
    const DeviceMove step = {static_cast<float>(phase.exaggeration),
                             static_cast<float>(phase.learning_rate),
                             static_cast<float>(phase.momentum), 0};
    move_.upload(&step, 1);
    for (std::size_t i = 0; i < n_moves; ++i) {
      iteration_.run([&] {
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

double CudaEngine::divergence(bool) const {
  attraction_energy(
      backend_,
      {starts_.data(), columns_.data(), values_.data(), positions_.rows(), values_.size()},
      points_.data(), static_cast<int>(positions_.cols()), parts_.data());
  double partition = 0.0;
  partition_.download(&partition, 1);
  return divergence_of(prepared_, sum_of_parts(), partition);
}

MatrixView<const float> CudaEngine::positions() {
  if (stale_) points_.download(positions_.data(), positions_.size());
  stale_ = false;
  return positions_.view();
}

}  // namespace culatent::tsne
