#pragma once

#include <cstdint>
#include <vector>

#include "culatent/context.hpp"
#include "culatent/matrix.hpp"
#include "culatent/rows.hpp"
#include "kernels/backend.hpp"

/// The directions in which rows vary most. N rows, D features, r components.
namespace culatent {

struct PrincipalComponents {
  std::vector<double> mean;       ///< [D]
  Matrix<double> components;      ///< [r, D] orthonormal; the largest loading of each is positive
  std::vector<double> variances;  ///< [r] of the scores, divided by N − 1, largest first
  int n_passes = 0;               ///< products with the data that it took
  bool converged = false;         ///< every residual |C v − λ v| is below 1e-5 λ
};

/// The first r components, r = n_components or the numerical rank when that is less: variances that
/// are below (1024 + D) 2^-52 of the first cannot be told from rounding and are left out, so rows
/// that are all equal have none.
///
/// Up to 256 features the covariance is formed in one pass and its eigenvectors are exact to
/// rounding. Beyond, subspace iteration on n_components + 8 columns (Halko, Martinsson & Tropp
/// 2011), 50 products at most; where the variances fall slowly past the first these may not do
/// (`converged`), and the components are then nearly as good as the best. In double, from a fixed
/// start; no bit depends on threads or chunks.
///   flops a product: 4 N D l, l = min(D, n_components + 8); up to 256 features once N D²
/// Throws data_error for values that are NaN, infinite or too wide, naming the first, io_error.
template <class T>
PrincipalComponents find_principal_components(const Context& context, const CpuBackend& backend,
                                              const RowSource<T>& rows, std::int64_t n_components);

/// scores(i, c) = factor · component c · (row i − mean), [N, r].
template <class T>
void principal_scores(const Context& context, const CpuBackend& backend, const RowSource<T>& rows,
                      const PrincipalComponents& found, double factor, MatrixView<T> scores);

/// What either holds at most, its result included.
template <class T>
std::int64_t principal_components_bytes(int n_workers, std::int64_t n_features,
                                        std::int64_t n_components, bool in_place);

}  // namespace culatent
