#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "host/tsne_engine.hpp"
#include "kernels/cuda/launch_graph.hpp"
#include "kernels/cuda/tsne.hpp"
#include "kernels/cuda/tsne_grid.hpp"

namespace culatent::tsne {

/// prepare() of the CUDA device of `context`, which is active: its graph is there, and on the host
/// only where the start is made of it.
Prepared prepare_on_device(const Context& context, const CudaBackend& backend,
                           const RowSource<float>& rows, const Options& options,
                           std::int64_t n_neighbors, std::uint64_t seed);

/// The descent on a CUDA device, from positions of the host; nothing waits for the device within an
/// interval.
///
/// A grid is made for an interval, larger than the embedding when that begins. Where the embedding
/// outgrows it the interval is done again, from the same state, on a larger one.
class CudaEngine {
 public:
  /// Up to which the divergence at the end is summed over all pairs: counted, half a second.
  static constexpr std::int64_t kExactDivergenceRows = 2'000'000;

  /// The device of `backend`, which has the graph, is active here and in every call.
  CudaEngine(const CudaBackend& backend, const Prepared& prepared, State start,
             Repulsion repulsion);
  /// Device memory beside the graph's.
  static std::int64_t bytes(const CudaBackend& backend, std::int64_t n_rows, int n_dimensions,
                            Repulsion repulsion);

  /// These as of CpuEngine.
  void advance(const Phase& phase, std::span<double> norms);
  double gradient_norm(double exaggeration) const;
  double divergence(bool all_pairs);
  MatrixView<const float> positions();  ///< the host's, until the next advance()
  State state();
  bool coarse() const { return coarse_; }

 private:
  void find_forces();
  void run(const Phase& phase, std::span<double> norms);
  bool set_grid(const GridUse& use, double growth);
  void copy_state(bool back);
  double sum_of_parts() const;
  DeviceAffinities graph() const;

  const CudaBackend backend_;
  const Prepared& prepared_;
  const RepulsionTiles tiles_;
  Matrix<float> positions_;
  bool stale_ = false;  // positions_ are those of before
  DeviceArray<float> points_, velocity_, gains_, attraction_, repulsion_;
  DeviceArray<float> force_parts_;
  DeviceArray<double> pair_parts_, move_parts_, parts_, norms_;
  DeviceArray<double> partition_;  // of the repulsion, and that of all pairs where it was asked for
  DeviceArray<DeviceMove> move_;
  std::optional<DeviceGridRepulsion> grid_;
  DeviceArray<float> saved_;              // points, velocities and gains of an interval's beginning
  std::optional<LaunchGraph> iteration_;  // move and forces, on the grid at hand
  bool coarse_ = false;
};

/// Z of any embedding, dense and in host memory. The device of `backend` is active.
double partition_on_device(const CudaBackend& backend, MatrixView<const float> embedding);

}  // namespace culatent::tsne
