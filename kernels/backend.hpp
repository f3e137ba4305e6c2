#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "culatent/rows.hpp"
#include "host/parallel.hpp"

/// What every seam takes: where a step runs, and which rows it works on.
namespace culatent {

/// Rows are worked on in blocks of this many, counted from row 0 of the data whatever the chunk:
/// a block's sum is the unit that order-free merging starts from.
inline constexpr std::int64_t kBlockRows = 1024;

struct CpuBackend {
  ThreadPool& threads;
  int n_workers = 1;  ///< what the memory limit leaves of the threads
};

class CudaDevice;

struct CudaBackend {
  CudaDevice& device;
  ThreadPool& threads;  ///< for what is left to the host: reading rows, rare updates
  int n_workers = 1;
};

/// Rows [first, first + count) of a source; `first` is a multiple of kBlockRows. `weights` is empty
/// (all 1) or has one value for every row of the whole source.
template <class T>
struct RowChunk {
  const RowSource<T>& source;
  std::int64_t first = 0;
  std::int64_t count = 0;
  std::span<const double> weights;
  double weight_scale = 1.0;  ///< a power of two that brings the weights into float's range

  double weight(std::int64_t row) const {
    return weights.empty() ? 1.0 : weights[static_cast<std::size_t>(row)] * weight_scale;
  }
};

/// The coordinates that steps compute in: x' = (x − centre) * scale, feature by feature. Centring
/// keeps float32 exact on data far from the origin; the scale is a power of two that brings every
/// feature near 1, so that squares neither overflow nor vanish. `centre` is a value of the fit's
/// type.
struct Frame {
  std::vector<double> centre;
  std::vector<double> scale;
};

}  // namespace culatent
