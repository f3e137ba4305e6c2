#pragma once

#include <cstdint>

#include "kernels/backend.hpp"

namespace culatent {

/// Elements of exclusive_sums()' scratch for n counts.
std::int64_t prefix_scratch(std::int64_t n);

/// sums[i] = counts[0] + … + counts[i − 1] for 0 ≤ i ≤ n, on the device of `backend`, ordered on
/// its stream.
///   bytes: 16 n
void exclusive_sums(const CudaBackend& backend, const std::int32_t* counts, std::int64_t n,
                    std::int64_t* sums, std::int64_t* scratch);

}  // namespace culatent
