#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "culatent/kmeans.hpp"
#include "culatent/neighbors.hpp"

/// The lists of an inverted file, rows by their nearest centroid: how many there are, which are
/// looked at, and what that finds. L lists, N rows.
namespace culatent::neighbors {

/// What Options leave to be chosen for N rows.
struct ListSizes {
  std::int64_t n_lists;
  std::int64_t most_probes;  ///< lists that are looked at, at most
  std::int64_t sample_rows;  ///< rows that centroids are fitted to
};
ListSizes list_sizes(const Options& options, std::int64_t n_rows);

/// Of the fit of the centroids.
kmeans::Options list_options(const ListSizes& sizes, std::uint64_t seed);

/// Rows of a matrix, one of each of `count` equal stretches; all when they are fewer.
std::vector<std::int64_t> spread_rows(std::int64_t n_rows, std::int64_t count);

/// For every list the lists in the order of their centroids' distance, itself first. [L,
/// most_probes]
Matrix<std::int32_t> order_lists(const Context& context, const kmeans::Model& model,
                                 std::int64_t most_probes);

/// Which lists are compared: the first n_probes of each list's order, and more where these have
/// too few rows.
class Probes {
 public:
  /// `sizes`: rows of each list; `wanted` of them are enough. `order` must outlive this.
  Probes(const Matrix<std::int32_t>& order, std::int64_t n_probes,
         std::span<const std::int64_t> sizes, std::int64_t wanted);
  /// The p-th list that `a` is compared with; −1: there are no more. A list whose neighbours have
  /// too few rows is compared with all.
  std::int64_t list(std::int64_t a, std::int64_t p) const;
  bool all(std::int64_t a) const;
  bool has(std::int64_t a, std::int64_t b) const;
  std::int64_t most() const;

 private:
  const Matrix<std::int32_t>& order_;
  std::vector<std::int64_t> counts_;
};

/// The least number of probes that finds enough of the true neighbours of some queries. A pair is
/// looked at when either list is among the other's probes (`both`), or only the row's among the
/// query's.
std::int64_t choose_probes(const Matrix<std::int32_t>& order, bool both, const Neighbors& truth,
                           std::span<const std::int32_t> query_lists,
                           std::span<const std::int32_t> row_lists);

/// Sets the recall of `result`, in which some queries have the neighbours `found` [queries, k] and
/// should have `truth`, and warns of a low one.
void take_recall(const Neighbors& truth, const Matrix<std::int32_t>& found, Neighbors& result);

}  // namespace culatent::neighbors
