#pragma once

namespace culatent {

/// The least work of a step: what a benchmark divides by. Bytes are those that must pass main
/// memory.
struct Cost {
  double flops = 0.0;
  double bytes = 0.0;
};

}  // namespace culatent
