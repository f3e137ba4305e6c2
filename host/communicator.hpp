#pragma once

#include "host/exact_sums.hpp"

namespace culatent {

/// The processes that share a fit. Today there is one: its sums are the total already. With more,
/// sum() merges everyone's; the merge is exact, so the bits do not depend on how rows are dealt
/// out.
class Communicator {
 public:
  int rank() const { return 0; }
  int size() const { return 1; }
  void sum(ExactSums&) const {}
};

}  // namespace culatent
