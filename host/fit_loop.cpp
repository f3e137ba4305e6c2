#include "host/fit_loop.hpp"

#include <random>

namespace culatent {

std::uint64_t draw_seed() { return std::random_device{}(); }

}  // namespace culatent
