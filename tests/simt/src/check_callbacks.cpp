#include <algorithm>
#include <cstring>

#include "check.hpp"

// What the compiler calls, under -fsanitize=thread, at every access to memory: the interface of
// libtsan, which is not linked. Host code of the same files is not looked at.

using simt::detail::Access;
using simt::detail::in_kernel;
using simt::detail::RuntimeCall;
using simt::detail::site_of;
using simt::detail::touch;

namespace {

void touch_from(const void* begin, std::size_t bytes, Access access, const void* caller) {
  if (!in_kernel || bytes == 0) return;
  const RuntimeCall call;
  touch(begin, bytes, access, site_of(caller));
}

}  // namespace

#define SIMT_CALLER __builtin_return_address(0)
#define SIMT_CALLBACKS(bytes)                                                                      \
  void __tsan_read##bytes(void* begin) { touch_from(begin, bytes, Access::kRead, SIMT_CALLER); }   \
  void __tsan_write##bytes(void* begin) { touch_from(begin, bytes, Access::kWrite, SIMT_CALLER); } \
  void __tsan_volatile_read##bytes(void* begin) {                                                  \
    touch_from(begin, bytes, Access::kRead, SIMT_CALLER);                                          \
  }                                                                                                \
  void __tsan_volatile_write##bytes(void* begin) {                                                 \
    touch_from(begin, bytes, Access::kWrite, SIMT_CALLER);                                         \
  }                                                                                                \
  void __tsan_unaligned_read##bytes(void* begin) {                                                 \
    touch_from(begin, bytes, Access::kRead, SIMT_CALLER);                                          \
  }                                                                                                \
  void __tsan_unaligned_write##bytes(void* begin) {                                                \
    touch_from(begin, bytes, Access::kWrite, SIMT_CALLER);                                         \
  }                                                                                                \
  void __tsan_unaligned_volatile_read##bytes(void* begin) {                                        \
    touch_from(begin, bytes, Access::kRead, SIMT_CALLER);                                          \
  }                                                                                                \
  void __tsan_unaligned_volatile_write##bytes(void* begin) {                                       \
    touch_from(begin, bytes, Access::kWrite, SIMT_CALLER);                                         \
  }

// Host code in the files of kernels (launchers) may use std::atomic and shared_ptr.
#define SIMT_ATOMICS(bits, T)                                                                  \
  T __tsan_atomic##bits##_load(const volatile T* from, int) {                                  \
    return __atomic_load_n(from, __ATOMIC_SEQ_CST);                                            \
  }                                                                                            \
  void __tsan_atomic##bits##_store(volatile T* to, T value, int) {                             \
    __atomic_store_n(to, value, __ATOMIC_SEQ_CST);                                             \
  }                                                                                            \
  T __tsan_atomic##bits##_exchange(volatile T* to, T value, int) {                             \
    return __atomic_exchange_n(to, value, __ATOMIC_SEQ_CST);                                   \
  }                                                                                            \
  T __tsan_atomic##bits##_fetch_add(volatile T* to, T value, int) {                            \
    return __atomic_fetch_add(to, value, __ATOMIC_SEQ_CST);                                    \
  }                                                                                            \
  T __tsan_atomic##bits##_fetch_sub(volatile T* to, T value, int) {                            \
    return __atomic_fetch_sub(to, value, __ATOMIC_SEQ_CST);                                    \
  }                                                                                            \
  T __tsan_atomic##bits##_fetch_or(volatile T* to, T value, int) {                             \
    return __atomic_fetch_or(to, value, __ATOMIC_SEQ_CST);                                     \
  }                                                                                            \
  T __tsan_atomic##bits##_fetch_and(volatile T* to, T value, int) {                            \
    return __atomic_fetch_and(to, value, __ATOMIC_SEQ_CST);                                    \
  }                                                                                            \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile T* to, T* expected, T value, int, \
                                                    int) {                                     \
    return __atomic_compare_exchange_n(to, expected, value, false, __ATOMIC_SEQ_CST,           \
                                       __ATOMIC_SEQ_CST);                                      \
  }                                                                                            \
  int __tsan_atomic##bits##_compare_exchange_weak(volatile T* to, T* expected, T value, int,   \
                                                  int) {                                       \
    return __atomic_compare_exchange_n(to, expected, value, false, __ATOMIC_SEQ_CST,           \
                                       __ATOMIC_SEQ_CST);                                      \
  }

extern "C" {

SIMT_CALLBACKS(1)
SIMT_CALLBACKS(2)
SIMT_CALLBACKS(4)
SIMT_CALLBACKS(8)
SIMT_CALLBACKS(16)
SIMT_ATOMICS(8, std::uint8_t)
SIMT_ATOMICS(32, std::uint32_t)
SIMT_ATOMICS(64, std::uint64_t)

void __tsan_read_range(void* begin, unsigned long bytes) {
  touch_from(begin, bytes, Access::kRead, SIMT_CALLER);
}
void __tsan_write_range(void* begin, unsigned long bytes) {
  touch_from(begin, bytes, Access::kWrite, SIMT_CALLER);
}
// Clang's; g++ leaves calls of these functions as they are, unseen.
void* __tsan_memcpy(void* to, const void* from, unsigned long bytes) {
  touch_from(from, bytes, Access::kRead, SIMT_CALLER);
  touch_from(to, bytes, Access::kWrite, SIMT_CALLER);
  return std::memcpy(to, from, bytes);
}
void* __tsan_memmove(void* to, const void* from, unsigned long bytes) {
  touch_from(from, bytes, Access::kRead, SIMT_CALLER);
  touch_from(to, bytes, Access::kWrite, SIMT_CALLER);
  return std::memmove(to, from, bytes);
}
void* __tsan_memset(void* to, int value, unsigned long bytes) {
  touch_from(to, bytes, Access::kWrite, SIMT_CALLER);
  return std::memset(to, value, bytes);
}
void __tsan_atomic_thread_fence(int) {}
void __tsan_atomic_signal_fence(int) {}
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_read(void*) {}
void __tsan_vptr_update(void*, void*) {}

}  // extern "C"
