#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "culatent/matrix.hpp"
#include "kernels/backend.hpp"

/// Where a random walk on a graph mixes slowest. N vertices.
namespace culatent {

/// A sparse matrix by rows: row i has values[e] in column columns[e] for starts[i] ≤ e <
/// starts[i + 1].
struct SparseRows {
  std::span<const std::int64_t> starts;  ///< [N + 1]
  std::span<const std::int32_t> columns;
  std::span<const float> values;

  std::int64_t rows() const { return static_cast<std::int64_t>(starts.size()) - 1; }
};

struct SpectralEmbedding {
  Matrix<double> vectors;           ///< [N, r] of the walk; the largest element of each is positive
  std::vector<double> eigenvalues;  ///< [r] descending, 1 at most
  int n_products = 0;               ///< products of the graph with a block of vectors
  bool converged = false;
};

/// The eigenvectors D^-1/2 v of the walk D^-1 P, v of length 1 those of D^-1/2 P D^-1/2 with the
/// largest eigenvalues after the constant one (Belkin & Niyogi 2003); r = min(n_components, N − 1).
/// P is symmetric and not negative, which is not checked, D its row sums.
///
/// A graph of c parts has the eigenvalue 1 c times: the first c − 1 vectors are then some basis of
/// what is constant on each part, the constant itself left out. Vertices without edges are at 0.
///
/// Small graphs are solved densely. Beyond, subspace iteration with Chebyshev polynomials (Zhou,
/// Saad, Tiago & Chelikowsky 2006) on n_components + 4 or more columns, in double from a fixed
/// start, until the residuals are below 1e-4 and below a hundredth of 1 − eigenvalue, or 300
/// products, when the vectors are smooth but mixed (`converged`): enough to begin at. No bit
/// depends on threads.
///   flops a product: 2 l nnz, l columns
SpectralEmbedding spectral_embedding(const CpuBackend& backend, const SparseRows& graph,
                                     std::int64_t n_components);

/// What it holds at most, its result included, the graph not.
std::int64_t spectral_embedding_bytes(std::int64_t n_rows, std::int64_t n_components);

}  // namespace culatent
