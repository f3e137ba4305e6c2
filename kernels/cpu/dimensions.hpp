#pragma once

#include <cstdint>

namespace culatent::cpu {

/// work.operator()<Q>() for the 1, 2 or 3 dimensions of an embedding, which loops are unrolled for.
template <class Work>
auto for_dimensions(std::int64_t n_dimensions, Work&& work) {
  if (n_dimensions == 1) return work.template operator()<1>();
  if (n_dimensions == 2) return work.template operator()<2>();
  return work.template operator()<3>();
}

}  // namespace culatent::cpu
