#pragma once

#include <cstdint>
#include <vector>

#include "kernels/neighbors.hpp"

/// In which order the search for neighbours has its rows.
namespace culatent::neighbors {

struct Layout {
  std::vector<std::int32_t> order;
  std::vector<Group> groups;

  /// Positions of `order` when each of these stretches of rows begins with a new panel.
  void append(std::span<const std::int32_t> rows);
};

/// Groups of rows that are near each other: halves of halves, each parted at the middle of the
/// feature that varies most among some of its rows. Equal rows keep their order.
///   O(N log N + N D)
Layout spatial_layout(const CpuBackend& backend, MatrixView<const float> rows);

/// Bytes that spatial_layout() holds at most, its result included.
std::int64_t spatial_layout_bytes(std::int64_t n_rows, std::int64_t n_features, int n_workers);

}  // namespace culatent::neighbors
