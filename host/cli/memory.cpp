#include "host/cli/memory.hpp"

#include <algorithm>
#include <fstream>
#include <string>

#include "host/cli/clock.hpp"

namespace culatent::cli {

std::int64_t anonymous_bytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    if (word == "RssAnon:") {
      std::int64_t kibibytes = 0;
      status >> kibibytes;
      return kibibytes * 1024;
    }
  }
  return 0;
}

void PeakMemory::look() {
  const double now = seconds_since_start();
  if (last_look_ >= 0.0 && now - last_look_ < 0.02) return;
  last_look_ = now;
  peak_ = std::max(peak_, anonymous_bytes());
}

std::int64_t PeakMemory::bytes() {
  peak_ = std::max(peak_, anonymous_bytes());
  return peak_;
}

}  // namespace culatent::cli
