#pragma once

#include <functional>

#include "bench/cuda/results.hpp"
#include "kernels/cuda/cuda_device.hpp"

/// What this GPU can do at most, so that floors are its own and not a data sheet's. Each measures
/// one group and hands its entries to `add` as they come.
namespace culatent::bench {

struct Limits {
  CudaDevice& device;
  double budget = 0.3;  ///< seconds an entry
  bool quick = false;   ///< smaller arrays and matrices
  std::function<void(const Entry&)> add;
};

/// FFMA and fp64 FMA, MUFU (ex2, rcp) alone and beside FFMA.
void measure_arithmetic(const Limits& limits);
/// mma.sync in TF32, bf16 and fp64 on registers.
void measure_tensor(const Limits& limits);
/// Products to fp32 grade from split operands, fed from shared memory: TF32x3, bf16x3, bf16x6.
void measure_split(const Limits& limits);
/// Copy, read, pinned upload, random gathers of 8 bytes from L2.
void measure_memory(const Limits& limits);
/// A launch, a launch and its wait, the gap between two nodes of a graph.
void measure_launch(const Limits& limits);
/// Symmetric eigenproblems of cuSOLVER, where the library is found.
void measure_solver(const Limits& limits);

}  // namespace culatent::bench
