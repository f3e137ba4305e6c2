#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>

#include "culatent/error.hpp"
#include "simt/simt.hpp"

/// Devices that fail; only the stand-in can be told to.
namespace culatent {

/// Every allocation and every launch of run() fails in turn: each is told, and nothing is left.
inline void expect_nothing_lost(const std::function<void()>& run) {
  const std::uint64_t launches = simt::stats().launches, allocations = simt::allocations();
  run();
  const std::uint64_t n_launches = simt::stats().launches - launches;
  const std::uint64_t n_allocations = simt::allocations() - allocations;
  const std::uint64_t live = simt::live_allocations(), handles = simt::live_handles();
  ASSERT_GE(n_launches, 5u);
  ASSERT_GT(n_allocations, 5u);
  for (std::uint64_t i = 1; i <= n_allocations; ++i) {
    simt::fail_allocation(i);
    EXPECT_THROW(run(), out_of_memory) << "allocation " << i;
    simt::fail_allocation(0);
    EXPECT_EQ(simt::live_allocations(), live) << "allocation " << i << " leaks";
    EXPECT_EQ(simt::live_handles(), handles) << "allocation " << i << " leaks";
  }
  for (std::uint64_t i = 1; i <= n_launches; ++i) {
    simt::fail_launch(i);
    EXPECT_THROW(run(), device_error) << "launch " << i;
    simt::fail_launch(0);
    EXPECT_EQ(simt::live_allocations(), live) << "launch " << i << " leaks";
  }
}

}  // namespace culatent
