#pragma once

#include <cstdint>
#include <span>

#include "culatent/neighbors.hpp"
#include "host/neighbors_order.hpp"
#include "kernels/neighbors.hpp"

/// What the searches for neighbours share.
namespace culatent::neighbors {

/// All rows of a source in host memory: a copy where they are not in place. Throws data_error for
/// the first value that is no number, or infinite.
class HeldRows {
 public:
  HeldRows(const CpuBackend& backend, const RowSource<float>& source);
  MatrixView<const float> view() const { return view_; }

 private:
  Matrix<float> own_;
  MatrixView<const float> view_;
};

/// Tells the observer how far the search is. False: it is to end.
class SearchProgress {
 public:
  explicit SearchProgress(const Context& context);
  /// `share` of the work from `from` to `to`.
  bool tell(double share) const;
  double seconds() const;
  double from = 0.0, to = 1.0;

 private:
  const Context& context_;
  std::int64_t start_;  // nanoseconds of the steady clock
};

/// Joins every group of queries with every group of rows; all-kNN (`both`): every pair once.
/// Returns false when the observer ended it.
bool join_all(const CpuBackend& backend, const Screen& queries, const Screen& rows, bool both,
              Candidates& candidates, std::vector<SearchWorker>& workers,
              const SearchProgress& progress);

/// The k nearest of `rows` to each of `queries`, exactly. `own` as Candidates has it; `both`: the
/// queries are the rows. Matrices are empty when the observer ended it.
void search_exactly(const CpuBackend& backend, const Screen& queries, const Screen& rows, bool both,
                    std::span<const std::int32_t> own, std::int64_t k,
                    const SearchProgress& progress, Neighbors& result);

}  // namespace culatent::neighbors
