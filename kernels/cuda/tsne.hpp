#pragma once

#include <cstdint>

#include "kernels/backend.hpp"
#include "kernels/tsne.hpp"

/// The steps of t-SNE on a CUDA device. Pointers are to device memory; points, velocity, gains and
/// forces are [N, q] float, q = 1, 2 or 3. Calls are ordered on backend.device.stream() and do not
/// wait. Sums are made in a fixed order, which depends on the sizes alone: the same input gives the
/// same bits on any device of the same arithmetic.
namespace culatent::tsne {

/// AffinityRows on the device.
struct DeviceAffinities {
  const std::int64_t* starts;   // [N + 1]
  const std::int32_t* columns;  // [E]
  const float* values;          // [E]
  std::int64_t n_points = 0;
  std::int64_t n_affinities = 0;
};

/// attract() of kernels/tsne.hpp.
///   flops: E (5 q + 5)     bytes: 8 E, and E gathers of q floats from L2
void attract(const CudaBackend& backend, const DeviceAffinities& affinities, const float* points,
             int n_dimensions, float* forces);

/// What some sums over all rows come in: partials[0 … kSumParts), to be added up in that order.
inline constexpr int kSumParts = 512;

/// attraction_energy() of kernels/tsne.hpp, by parts.
///   per affinity: one logarithm in double
void attraction_energy(const CudaBackend& backend, const DeviceAffinities& affinities,
                       const float* points, int n_dimensions, double* partials);

/// How all pairs are shared out. A pair of tiles is the work of one block, by pieces of `piece` x
/// `piece` points: large ones take fewer instructions a pair, small ones make more blocks.
struct RepulsionTiles {
  static constexpr int kSmallPiece = 256, kLargePiece = 1024;
  /// Points from which large pieces make four blocks for each of 132 multiprocessors.
  static constexpr std::int64_t kLargeFrom = 32'768;
  /// Beyond this many, tiles are larger: their memory is N times as many q floats.
  static constexpr std::int64_t kMostTiles = 256;

  std::int64_t n_points = 0;
  std::int64_t tile = kSmallPiece;  ///< points, a multiple of piece
  int piece = kSmallPiece;          ///< one of the two

  static RepulsionTiles choose(std::int64_t n_points);
  std::int64_t n_tiles() const { return (n_points + tile - 1) / tile; }
  std::int64_t n_pairs() const { return n_tiles() * (n_tiles() + 1) / 2; }
};

/// Where repel() puts what it adds up.
struct RepulsionParts {
  float* forces;  // [n_tiles, N q]: of each tile's points on every point
  double* sums;   // [n_pairs] of q
};

/// forces_i = sum_j q_ij² (y_i − y_j), and *partition = Z, the sum of q_ij over i ≠ j.
///   flops: N² / 2 (9 q + 5), one reciprocal a pair     bytes: 8 n_tiles N q
void repel(const CudaBackend& backend, const RepulsionTiles& tiles, const float* points,
           int n_dimensions, const RepulsionParts& parts, float* forces, double* partition);

/// *partition = Z alone, without memory for forces. `sums`: [n_pairs].
///   flops: N² / 2 (3 q + 1), one reciprocal a pair
void find_partition(const CudaBackend& backend, const RepulsionTiles& tiles, const float* points,
                    int n_dimensions, double* sums, double* partition);

/// What moves points, on the device.
struct DeviceMove {
  float exaggeration = 1.0f;
  float learning_rate = 1.0f;
  float momentum = 0.0f;
  std::int32_t iteration = 0;  ///< moves done; move() counts
};

/// Where a descent stands, [N, q] each.
struct DescentArrays {
  const float* attraction;
  const float* repulsion;
  float* points;
  float* velocity;
  float* gains;
};

/// Doubles that move() takes for sums.
std::int64_t move_parts(std::int64_t n_points, int n_dimensions);

/// move() of kernels/tsne.hpp with *move and Z = *partition; norms[move->iteration] = the norm of
/// the gradient, and one more iteration is done.
///   bytes: 36 N q, of which 8 N q for the mean
void move(const CudaBackend& backend, DeviceMove* move, const double* partition,
          std::int64_t n_points, int n_dimensions, const DescentArrays& arrays, double* parts,
          double* norms);

/// squared_gradient() of kernels/tsne.hpp, by parts.
void squared_gradient(const CudaBackend& backend, double exaggeration, const double* partition,
                      std::int64_t n_values, const float* attraction, const float* repulsion,
                      double* partials);

}  // namespace culatent::tsne
