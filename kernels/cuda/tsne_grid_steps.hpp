#pragma once

#include <cstdint>

#include "kernels/backend.hpp"

/// The launches that a repulsion through a grid consists of, for kernels/cuda/tsne_grid.cu.
namespace culatent::tsne {

struct DeviceGrid;
struct DeviceExtent;

inline constexpr std::int64_t kExtentPartials = 256;  ///< of 4 floats

/// Sums of double that read() needs room for.
std::int64_t point_partials(std::int64_t n);

/// Least and greatest coordinates of the points; marks an overflow where they need a larger grid.
void find_extent(const CudaBackend& backend, std::int64_t n, int q, const float* points,
                 const DeviceGrid& grid, float* partials, DeviceExtent* extent);

/// Adds every point to the densities, which were 0.
void spread(const CudaBackend& backend, std::int64_t n, int q, const float* points,
            const DeviceGrid& grid, const DeviceExtent* extent);

/// Densities become potentials, and are 0 again.
void convolve(const CudaBackend& backend, const DeviceGrid& grid, int batch_rows,
              int batch_columns);

/// Forces and partition function from the potentials, less `level` for every pair of points.
void read(const CudaBackend& backend, std::int64_t n, int q, const float* points,
          const DeviceGrid& grid, const DeviceExtent* extent, double level, float* forces,
          double* partials, double* partition);

/// The same at any places, of which those beyond the grid are moved to its edge: forces, and the
/// potentials with `level`, that of all points.
void read_at(const CudaBackend& backend, std::int64_t n, int q, const float* places,
             const DeviceGrid& grid, const DeviceExtent* extent, double level, float* forces,
             float* potentials);

}  // namespace culatent::tsne
