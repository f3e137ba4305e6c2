#pragma once

#include <cstddef>

#include "simt/kernel.hpp"

/// cp.async: copies from global to shared memory that a thread starts now and waits for later.
namespace simt {

namespace detail {
void async_copy(void* shared, const void* global, std::size_t bytes, int valid, Where where);
}  // namespace detail

/// Starts copying the first `valid` bytes of kBytes; the rest become zeros. Nothing is read where
/// `valid` is 0. Until the thread has waited, the destination holds NaN bits, and the check build
/// reports who reads it; other threads need a barrier after that wait.
template <int kBytes>
void cp_async(void* shared, const void* global, int valid = kBytes,
              Where where = Where::current()) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16, "cp.async copies 4, 8 or 16 bytes");
  detail::async_copy(shared, global, kBytes, valid, where);
}
/// Ends a group: of the copies that the thread started since the last one.
void cp_async_commit();
/// Waits until at most the `pending` newest groups are still under way.
void cp_async_wait(int pending);

}  // namespace simt
