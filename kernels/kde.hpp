#pragma once

#include <cstdint>
#include <span>

#include "culatent/matrix.hpp"
#include "host/parallel.hpp"
#include "kernels/backend.hpp"

/// The step of the kernel density estimate.
namespace culatent::kde {

/// out[m] = log sum_i exp(−½ |query_m − row_i|²) over the stored rows i, all in units of the
/// bandwidth
/// ([.., D] row-major). With `skip_own`, stored row first + m does not count for query m. −inf when
/// none is left. Exact: sums in double about the running maximum.
///   flops: M n (3 D + about 20)
void log_kernel_sums(const CpuBackend& backend, MatrixView<const double> queries,
                     std::int64_t first, const Matrix<double>& stored, bool skip_own,
                     std::span<double> out);

}  // namespace culatent::kde
