#pragma once

#include <mutex>

#include "culatent/context.hpp"
#include "culatent/rows.hpp"

namespace culatent {

/// The rows of another source, in host memory wherever that has them: for the few steps that run on
/// the host alone. Rows on a device are copied as they are read, one reader at a time. What is
/// passed must outlive this.
template <class T>
class HostRows final : public RowSource<T> {
 public:
  HostRows(const Context& context, const RowSource<T>& source)
      : context_(context), source_(source) {}
  std::int64_t rows() const override { return source_.rows(); }
  std::int64_t cols() const override { return source_.cols(); }
  MatrixView<const T> read(std::int64_t first, MatrixView<T> buffer) const override;
  bool in_place() const override { return !on_device() && source_.in_place(); }

 private:
  bool on_device() const { return source_.space() == MemorySpace::device; }

  const Context& context_;
  const RowSource<T>& source_;
  mutable std::mutex mutex_;
};

}  // namespace culatent
