#include "host/device_flow.hpp"

#include <gtest/gtest.h>

#include "kernels/backend.hpp"

// How rows go through a device: by counts of blocks alone, so no device is needed.
namespace culatent {
namespace {

// An H200, and rows of float32.
FlowNeeds needs(std::int64_t n_rows, std::int64_t d, std::int64_t k, std::int64_t record_values,
                bool fused) {
  FlowNeeds result;
  result.n_rows = n_rows;
  result.row_bytes = 4 * d;
  result.tile_bytes = 4 * kBlockRows * k;
  result.record_bytes = 8 * (4 + k) + 4 * record_values;
  result.fused = fused;
  result.cluster_blocks = 1024;
  result.n_multiprocessors = 132;
  result.l2_bytes = std::int64_t{60} << 20;
  return result;
}
FlowNeeds diagonal(std::int64_t n_rows) { return needs(n_rows, 16, 32, 2 * 32 * 16, true); }
FlowNeeds full(std::int64_t n_rows) {
  return needs(n_rows, 64, 64, 64 * (64 + 64 * 65 / 2), false);
}

TEST(DeviceFlows, FusedPassesAreOneWave) {
  const DeviceFlow flow = device_flows(diagonal(10'000'000)).front();
  EXPECT_TRUE(flow.resident);
  EXPECT_GE(flow.wave_rows, 10'000'000);
  // 43 MB of records, not the 1.3 GB that responsibilities of so many rows would take.
  EXPECT_LT(flow.tile_rows, 1'000'000);
  // Ten thousand times as many rows take no more memory for it: 256 MiB.
  const FlowNeeds huge = diagonal(100'000'000'000);
  EXPECT_LE(device_flows(huge).front().wave_rows / kBlockRows * huge.record_bytes, 256 << 20);
}

TEST(DeviceFlows, TilesFillTheMultiprocessors) {
  for (const std::int64_t d : {2, 16, 64, 200}) {
    for (const std::int64_t k : {2, 8, 64, 256}) {
      const FlowNeeds some = needs(100'000'000, d, k, k * d * 2, false);
      const DeviceFlow flow = device_flows(some).front();
      EXPECT_EQ(flow.tile_rows / kBlockRows % 132, 0) << d << " " << k;
      EXPECT_EQ(flow.wave_rows, flow.tile_rows);
      // More than one block for each multiprocessor only while L2 holds what is read again.
      const std::int64_t held = flow.tile_rows / kBlockRows * (some.tile_bytes + 1024 * 4 * d);
      EXPECT_TRUE(flow.tile_rows == 132 * kBlockRows || held <= some.l2_bytes) << d << " " << k;
    }
  }
  // Thousands of components: what is there at a time is bounded all the same.
  const FlowNeeds wide = needs(1'000'000, 512, 4096, std::int64_t{4096} * 512, false);
  EXPECT_EQ(device_flows(wide).front().tile_rows, 10 * kBlockRows);
}

TEST(DeviceFlows, ChunksAreWholeTiles) {
  for (FlowNeeds some : {full(50'000'000), diagonal(50'000'000)}) {
    for (const bool once : {false, true}) {
      some.once = once;
      for (const DeviceFlow& flow : device_flows(some)) {
        // Rows that stay come in chunks once.
        if (flow.resident && flow.chunk_rows < flow.tile_rows) continue;
        EXPECT_EQ(flow.chunk_rows % flow.tile_rows, 0) << flow.chunk_rows << " " << flow.tile_rows;
        if (!flow.resident) {
          EXPECT_EQ(flow.chunk_rows % flow.wave_rows, 0);
        }
      }
    }
  }
  FlowNeeds asked = full(50'000'000);
  asked.chunk_rows = 5000;
  EXPECT_EQ(device_flows(asked).front().chunk_rows, 4096);
}

TEST(DeviceFlows, ShrinkToOneBlockAndNeverGrow) {
  for (FlowNeeds some : {full(1'000'000), diagonal(10'000'000), diagonal(1), full(1025)}) {
    for (const bool on_device : {false, true}) {
      some.on_device = on_device;
      const std::vector<DeviceFlow> flows = device_flows(some);
      const DeviceFlow& least = flows.back();
      EXPECT_EQ(least.wave_rows, kBlockRows);
      EXPECT_EQ(least.tile_rows, kBlockRows);
      EXPECT_EQ(least.cluster_rows, kBlockRows);
      EXPECT_EQ(least.resident, on_device);
      EXPECT_EQ(least.chunk_rows, on_device ? some.n_rows : std::min(kBlockRows, some.n_rows));
      for (const DeviceFlow& flow : flows) {
        EXPECT_LE(flow.tile_rows, flow.wave_rows);
        EXPECT_LE(flow.wave_rows, flows.front().wave_rows);
        EXPECT_LE(flow.chunk_rows, some.n_rows);
      }
    }
  }
}

}  // namespace
}  // namespace culatent
