#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "culatent/context.hpp"
#include "culatent/rows.hpp"

/// Whether memory lies where a caller says: a wrong word would end in an illegal address, which a
/// process with a CUDA context does not survive.
namespace culatent {

/// Throws invalid_argument when `data`, elements of which are at `first` and `last`, cannot be used
/// as memory of `space` by the context. `what` names it: "the rows are".
void check_memory(const Context& context, const void* first, const void* last, MemorySpace space,
                  const std::string& what);

/// check_memory() of a view; null or empty: nothing.
template <class T>
void check_view(const Context& context, MatrixView<T> view, const std::string& what) {
  if (view.data == nullptr || view.rows == 0 || view.cols == 0) return;
  check_memory(context, view.data, view.row(view.rows - 1) + view.cols - 1, view.space, what);
}

/// check_view() of the rows of a source that are used in place. Reads none of them.
template <class T>
void check_rows(const Context& context, const RowSource<T>& rows) {
  const bool on_device = rows.space() == MemorySpace::device;
  if (!on_device && !rows.in_place()) return;
  const std::int64_t n = rows.rows();
  MatrixView<const T> view = rows.read(0, MatrixView<T>(nullptr, on_device ? n : 0, rows.cols()));
  view.rows = n;
  view.space = rows.space();
  check_view(context, view, "the rows are");
}

/// check_rows() of a fit's rows, and its weights, which are the host's.
template <class T>
void check_fit_rows(const Context& context, const RowSource<T>& rows,
                    std::span<const double> weights) {
  check_rows(context, rows);
  check_view(context, MatrixView(weights.data(), 1, static_cast<std::int64_t>(weights.size())),
             "the row weights are");
}

}  // namespace culatent
