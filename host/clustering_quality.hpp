#pragma once

#include <cstdint>
#include <span>
#include <vector>

/// How often two labels meet in a row; what comparisons of two clusterings are made from.
namespace culatent::clustering_quality {

struct Contingency {
  struct Cell {
    std::int64_t a = 0, b = 0;  ///< clusters, by order of first appearance
    std::int64_t count = 0;     ///< rows that have both, at least 1
  };

  /// Throws data_error for no labels, or different numbers of them.
  static Contingency of(std::span<const std::int64_t> a, std::span<const std::int64_t> b);

  std::int64_t n = 0;             ///< rows, at most 2^62
  std::vector<std::int64_t> a{};  ///< rows of each cluster
  std::vector<std::int64_t> b{};
  std::vector<Cell> cells{};  ///< by order of first appearance
};

double adjusted_rand(const Contingency& table);
double normalized_mutual_information(const Contingency& table);

}  // namespace culatent::clustering_quality
