#pragma once

#include <cstdint>
#include <span>

#include "culatent/matrix.hpp"
#include "kernels/affinities_step.hpp"
#include "kernels/backend.hpp"

/// The step that turns distances to neighbours into affinities. N rows, k neighbours.
namespace culatent::affinities {

/// What a row's affinities were made with.
struct RowAffinities {
  double beta = 0.0;    ///< 1 / 2 σ²; infinite where the nearest neighbours share evenly
  bool reached = true;  ///< the entropy is the target
};

/// p_j ∝ exp(−β d_j²), the sum 1, with β such that −sum p log p is `entropy` (van der Maaten &
/// Hinton 2008, section 2): by Newton's steps on log β within a bracket. `squares` d_j² ascend.
/// Where more than exp(entropy) neighbours are at the least distance, these share evenly.
RowAffinities affinities_of_entropy(std::span<const double> squares, double entropy,
                                    std::span<double> p);

/// The same with β given.
void affinities_of_beta(std::span<const double> squares, double beta, std::span<double> p);

}  // namespace culatent::affinities
