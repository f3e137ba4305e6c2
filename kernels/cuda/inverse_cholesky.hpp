#pragma once

#include <cstdint>

#include "kernels/backend.hpp"

/// Inverse Cholesky factors of many symmetric matrices on the device. Pointers are to device
/// memory, calls are ordered on the stream.
namespace culatent {

/// For every matrix A_m, element (i, j) of which is matrices[(m D + i) D + j] * scale_i * scale_j
/// and of which the lower triangle is read: W = L⁻¹ with L Lᵀ = A_m, in float64, W_ij rounded to T
/// at inverse[(m D + j) D + i] (the transpose), zero for j > i, and log |L| to log_determinants[m].
/// A matrix with a pivot that is not finite or not above float64's epsilon times its diagonal has
/// none: NaN, and zeros for W.
///
/// `scratch` holds `scratch_size` doubles and is aligned to 16 bytes. As many matrices as it has
/// room for go together; inverse_cholesky_scratch() doubles are as good as more, those for one
/// matrix are enough.
///   flops: 2/3 D³ a matrix     bytes: D² (8 + sizeof(T)) a matrix while D ≤ 64
template <class T>
void inverse_cholesky(const CudaBackend& backend, const double* matrices, std::int64_t n_matrices,
                      std::int64_t n_features, const double* scale, double* scratch,
                      std::int64_t scratch_size, T* inverse, double* log_determinants);
std::int64_t inverse_cholesky_scratch(std::int64_t n_matrices, std::int64_t n_features);

}  // namespace culatent
