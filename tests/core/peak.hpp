#pragma once

#include <malloc.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

/// How much memory a fit takes.
namespace culatent::memory {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kHasMallinfo = false;
#else
inline constexpr bool kHasMallinfo = true;
#endif

/// Bytes that malloc has given out, of the first arena: main() must leave it one.
inline std::int64_t bytes_in_use() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<std::int64_t>(info.uordblks + info.hblkhd);
}

/// The most bytes in use while it lives, beyond those at its beginning: looked at by a thread of
/// its own all the time, and whenever the fit asks.
class Peak {
 public:
  Peak()
      : base_(bytes_in_use()), watch_([this] {
          while (!done_) {
            look();
            std::this_thread::sleep_for(std::chrono::microseconds(200));
          }
        }) {}
  ~Peak() { stop(); }
  void look() {
    const std::int64_t now = bytes_in_use() - base_;
    std::int64_t seen = most_;
    while (now > seen && !most_.compare_exchange_weak(seen, now)) {
    }
  }
  std::int64_t stop() {
    done_ = true;
    if (watch_.joinable()) watch_.join();
    return most_;
  }

 private:
  const std::int64_t base_;
  std::atomic<std::int64_t> most_ = 0;
  std::atomic<bool> done_ = false;
  std::thread watch_;
};

}  // namespace culatent::memory
