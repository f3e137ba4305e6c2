#pragma once

#include <cstdint>
#include <span>

#include "culatent/neighbors.hpp"
#include "host/neighbors_order.hpp"
#include "kernels/neighbors.hpp"

/// What the searches for neighbours share.
namespace culatent::neighbors {

/// Throws as search() among rows, for what can be told before work.
void check_search(const Context& context, const RowSource<float>& rows, const Options& options);

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

/// Throws data_error for a value that is no number, or infinite.
[[noreturn]] void throw_bad_value(float value, std::int64_t row, std::int64_t column);

/// Tells the observer how far the search is. False: it is to end.
class SearchProgress {
 public:
  explicit SearchProgress(const Context& context);
  /// `share` of the part that goes from `from` to `to` is done.
  bool tell(double share) const;
  double seconds() const;

  double from = 0.0, to = 1.0;

 private:
  const Context& context_;
  std::int64_t start_;  // nanoseconds of the steady clock
};

/// Bytes of the screen of some rows, and of what a search holds beside: candidates and result.
std::int64_t screen_bytes(std::int64_t n_rows, std::int64_t n_features);
std::int64_t query_bytes(std::int64_t n_positions, std::int64_t k);

/// Rows in groups that are near each other.
Screen spatial_screen(const CpuBackend& backend, MatrixView<const float> rows,
                      const Coordinates& coordinates);

std::vector<SearchWorker> make_workers(const CpuBackend& backend, std::int64_t n_features,
                                       std::int64_t k);

/// Takes the neighbours of all queries out of `candidates`.
void finish_all(const CpuBackend& backend, const Screen& queries, Candidates& candidates,
                std::vector<SearchWorker>& workers, std::int64_t k, Neighbors& result);

/// The k nearest of `rows` to each of `queries`, exactly; queries, rows and `own` as Candidates has
/// them. Sets `interrupted` when the observer ended it.
void search_exactly(const CpuBackend& backend, const Screen& queries, const Screen& rows,
                    std::span<const std::int32_t> own, std::int64_t k,
                    const SearchProgress& progress, Neighbors& result);

}  // namespace culatent::neighbors
