#pragma once

#include <cstdint>
#include <span>

#include "host/tsne_engine.hpp"
#include "kernels/cuda/launch_graph.hpp"
#include "kernels/cuda/tsne.hpp"

namespace culatent::tsne {

/// The descent on a CUDA device, with the repulsion of all pairs. Affinities and positions come
/// from the host; nothing waits for the device within an interval.
class CudaEngine {
 public:
  /// The device of `backend` is active, here and in every call.
  CudaEngine(const CudaBackend& backend, const Prepared& prepared, Matrix<float> start);
  /// Device memory. `n_affinities` at most.
  static std::int64_t bytes(std::int64_t n_rows, int n_dimensions, std::int64_t n_affinities);

  /// These as of CpuEngine.
  void advance(const Phase& phase, std::span<double> norms);
  double gradient_norm(double exaggeration) const;
  double divergence(bool all_pairs) const;
  MatrixView<const float> positions();  ///< the host's, until the next advance()
  bool coarse() const { return false; }

 private:
  void find_forces();
  double sum_of_parts() const;

  const CudaBackend backend_;
  const Prepared& prepared_;
  const RepulsionTiles tiles_;
  Matrix<float> positions_;
  bool stale_ = false;  // positions_ are those of before
  DeviceArray<std::int64_t> starts_;
  DeviceArray<std::int32_t> columns_;
  DeviceArray<float> values_;
  DeviceArray<float> points_, velocity_, gains_, attraction_, repulsion_;
  DeviceArray<float> force_parts_;
  DeviceArray<double> pair_parts_, move_parts_, parts_, norms_, partition_;
  DeviceArray<DeviceMove> move_;
  LaunchGraph iteration_;  // move and forces
};

}  // namespace culatent::tsne
