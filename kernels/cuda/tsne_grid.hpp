#pragma once

#include <cstdint>
#include <memory>

#include "kernels/backend.hpp"
#include "kernels/tsne_grid.hpp"

/// Repulsion through a grid on a device. Pointers are to device memory, calls are ordered on
/// backend.device.stream(); those that wait say so.
namespace culatent::tsne {

/// What an embedding of q = 1 or 2 dimensions does to its grid.
struct GridUse {
  float low[2] = {};  ///< of the points that were last repelled
  float high[2] = {};
  int overflow = 0;  ///< points were beyond the grid: forces since then are wrong
};

/// Densities are sums of integers, which have no order; so bits do not depend on the schedule.
class DeviceGridRepulsion {
 public:
  /// `most_nodes` in a dimension at most; fewer where a block's shared memory does not hold a
  /// transform.
  DeviceGridRepulsion(const CudaBackend& backend, std::int64_t n_points, int n_dimensions,
                      std::int64_t most_nodes);
  ~DeviceGridRepulsion();
  DeviceGridRepulsion(DeviceGridRepulsion&&) noexcept;
  static std::int64_t bytes(const CudaBackend& backend, std::int64_t n_points, int n_dimensions,
                            std::int64_t most_nodes);

  /// A grid for points between low and high, wherever they lie. Allocates and waits when it is
  /// another than before; true then: what repel() launches is another, too.
  bool set_grid(const CudaBackend& backend, const double (&low)[2], const double (&high)[2]);
  const Grid& grid() const;
  /// The next grid is chosen as if this one had been the last. Before any other.
  void go_on_from(const GridSize& size);

  /// forces_i = sum_j q_ij² (y_i − y_j) and *partition = the sum of q_ij over i ≠ j, of points
  /// [N, q]. The grid moves with the points; those that need a larger one are marked in use().
  ///   bytes: N (8 kOrder² of atomic sums, 4 kOrder² of reads), and 8 passes over the spectrum
  void repel(const CudaBackend& backend, const float* points, float* forces, double* partition);

  /// Makes the potential of the points, on the grid that set_grid() chose between `low` and what
  /// was `high`.
  void set_sources(const CudaBackend& backend, const float* points, const double (&low)[2]);
  /// Of those, at any places: forces [M, q] and sums [M] of q_ij. Places beyond the grid are moved
  /// to its edge.
  void read_at(const CudaBackend& backend, std::int64_t n_places, const float* places,
               float* forces, float* sums);

  /// Waits.
  GridUse use(const CudaBackend& backend) const;

 private:
  struct Arrays;
  std::unique_ptr<Arrays> arrays_;
};

}  // namespace culatent::tsne
