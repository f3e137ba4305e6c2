#pragma once

#include <cstdint>
#include <vector>

#include "culatent/matrix.hpp"

/// Positions of rows at moments of a fit, small enough for a page to hold many.
namespace culatent::report {

/// m rows in q dimensions, 16 bits a coordinate.
struct EmbeddingFrame {
  int iteration = 0;
  double kl = 0.0;
  std::vector<double> low, high;  ///< [q] what 0 and 65535 stand for
  std::vector<std::uint16_t> at;  ///< [m, q]
};

/// Finite positions [m, q], to the nearest of 65536 steps between the lowest and the highest.
EmbeddingFrame quantise(const Matrix<double>& positions, int iteration, double kl);

constexpr std::int64_t kMostRowsShown = 100'000;
constexpr std::int64_t kMostFrames = 200;

/// Rows that a page of n_frames shows: all, or as many as keep the positions below 20 MB of base64.
std::int64_t rows_shown(std::int64_t n_rows, std::int64_t n_dimensions, std::int64_t n_frames);

}  // namespace culatent::report
