#pragma once

#include "kernels/cuda/device/fft.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/tsne_grid.hpp"

/// What the kernels of the grid share.
namespace culatent::tsne {

using device::div_up;

using Density = unsigned long long;  ///< in units of 1 / DeviceGrid::unit

inline constexpr int kGridThreads = 256;
inline constexpr int kColumnBatch = 8;  ///< columns whose loads fill a sector of 32 bytes twice

/// The grid as kernels see it.
struct DeviceGrid {
  int nodes[2] = {};                 // capacity
  int size[2] = {};                  // of the transforms
  int columns = 0;                   // of the spectrum: size[0] / 2 + 1 in whole batches
  float inverse = 1.0f;              // 1 / spacing
  float unit = 1.0f;                 // 2^m: densities of all points at one node stay below 2^62
  Density* densities = nullptr;      // [nodes1, nodes0]
  float* potentials = nullptr;       // [nodes1, nodes0]
  float2* spectrum = nullptr;        // [nodes1 and one more where that is odd, columns]
  const float* influence = nullptr;  // [size1 / 2 + 1, columns]
  device::FftPlan along, down;
};

/// The points' extent, and where the grid begins: what a repulsion finds out before it spreads.
struct DeviceExtent {
  float low[2];
  float high[2];
  int overflow;
};

}  // namespace culatent::tsne
