#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cpu/tile.hpp"
#include "kernels/gaussian_mixture.hpp"

/// What the steps do with one tile of rows. All arrays are feature- or component-major with stride
/// kTileStride; `active` is the number of rows rounded up to whole vectors.
namespace culatent::gaussian_mixture::cpu {

using culatent::cpu::kTileRows;
using culatent::cpu::kTileStride;

/// Scratch of one worker.
template <class T>
struct TileScratch {
  TileScratch(const Layout& layout, Covariance covariance, std::int64_t n_components,
              std::int64_t n_features, bool in_place);
  static std::int64_t bytes(const Layout& layout, Covariance covariance, std::int64_t n_components,
                            std::int64_t n_features, bool in_place);

  Matrix<T> block;            // [kBlockRows, D], for sources that are not in place
  Matrix<T> x;                // [P, stride] staged rows
  Matrix<T> z;                // [P, stride] differences to a mean, or whitened rows
  Matrix<T> resp;             // [K, stride] log-densities, then responsibilities
  Matrix<T> row_max;          // [1, stride]
  Matrix<T> row_sum;          // [1, stride]
  Matrix<T> row_joint;        // [1, stride]
  Matrix<T> row_share;        // [1, stride]
  Matrix<T> chunk;            // [P, 2 vectors] differences of the rows in registers
  Matrix<double> log_prob;    // [1, stride]
  Matrix<double> row_weight;  // [1, stride] zero beyond the last row
  Matrix<double> wide_x;      // tied: [P, stride] staged rows in double
  Matrix<double> wide_resp;   // tied: [K, stride]
  Matrix<double> wide_total;  // tied: [1, stride]
  std::vector<double> sums;   // of the block, by Layout
};

/// resp[k] = log p(x, k) for every row of the tile.
template <class T>
void log_joint(const Parameters<T>& parameters, int active, TileScratch<T>& scratch);

/// Turns resp into responsibilities and fills log_prob; returns nothing but what is in `scratch`.
/// Rows whose densities all underflow are done again in extended precision.
template <class T>
void normalise(const Parameters<T>& parameters, int n_rows, int active, TileScratch<T>& scratch);

/// Adds w, w log p, w joint, w entropy of the tile's rows to scratch.sums.
template <class T>
void add_row_sums(int n_rows, TileScratch<T>& scratch);

/// Adds the M-step's statistics for the responsibilities in resp, weighted by row_weight.
template <class T>
void add_moments(const Layout& layout, const Parameters<T>& parameters, int active, bool scatter,
                 TileScratch<T>& scratch);

/// resp = 1 for the nearest centroid (lowest index on ties), 0 for the others.
template <class T>
void nearest(const InitialResponsibilities<T>& initial, int active, TileScratch<T>& scratch);

}  // namespace culatent::gaussian_mixture::cpu
