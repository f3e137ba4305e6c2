#pragma once

#include <vector>

#include "culatent/context.hpp"

namespace culatent {

/// The CUDA devices of this machine as "cuda:0", "cuda:1", …; where there is none that can be
/// used, one entry "cuda" that says why. Creates no context on any device and never throws for a
/// missing driver.
std::vector<Device> cuda_devices();

}  // namespace culatent
