#pragma once

#include <chrono>

namespace culatent::cli {

/// Seconds by the wall clock since the process first asked.
inline double seconds_since_start() {
  using Clock = std::chrono::steady_clock;
  static const Clock::time_point start = Clock::now();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace culatent::cli
