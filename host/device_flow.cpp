#include "host/device_flow.hpp"

#include <algorithm>
#include <string>

#include "culatent/error.hpp"
#include "kernels/backend.hpp"
#include "kernels/cuda/cuda_device.hpp"

namespace culatent {
namespace {

// Large enough that a copy is worth its start, small enough that two are no burden.
constexpr std::int64_t kChunkBytes = std::int64_t{32} << 20;
// Records and responsibilities of a wave, at most: no burden to a device of today.
constexpr std::int64_t kWaveBytes = std::int64_t{256} << 20;
// Rows would rather come anew in every pass than be worked on in waves of less than 1 / 2^this.
constexpr int kResidentShrinks = 2;

std::int64_t at_least_one(std::int64_t count) { return std::max<std::int64_t>(count, 1); }

// The largest multiple of `unit` up to count; count itself when that is less than one.
std::int64_t whole(std::int64_t count, std::int64_t unit) {
  return count < unit ? at_least_one(count) : count / unit * unit;
}

// Blocks of each kind.
struct Blocks {
  std::int64_t chunk, wave, tile, cluster;
};

class Flows {
 public:
  explicit Flows(const FlowNeeds& needs)
      : needs_(needs), n_blocks_((needs.n_rows + kBlockRows - 1) / kBlockRows) {
    const std::int64_t filling = needs.n_multiprocessors;
    const std::int64_t row_bytes = at_least_one(kBlockRows * needs.row_bytes);
    const std::int64_t cached =
        std::max(needs.l2_bytes / 2 / (needs.tile_bytes + row_bytes), filling);
    const std::int64_t records = at_least_one(needs.record_bytes);
    wanted_.tile = whole(std::min(cached, kWaveBytes / (needs.tile_bytes + records)), filling);
    wanted_.wave =
        needs.fused ? std::max(whole(kWaveBytes / records, filling), wanted_.tile) : wanted_.tile;
    wanted_.chunk = at_least_one(needs.chunk_rows > 0 ? needs.chunk_rows / kBlockRows
                                                      : kChunkBytes / row_bytes);
    wanted_.cluster = needs.cluster_blocks;
    for (std::int64_t* blocks : {&wanted_.tile, &wanted_.wave, &wanted_.chunk, &wanted_.cluster}) {
      *blocks = std::min(*blocks, n_blocks_);
    }
  }

  std::vector<DeviceFlow> all() const {
    std::vector<DeviceFlow> flows;
    if (needs_.on_device) {
      for (int s = 0; s <= shrinks(); ++s) flows.push_back(flow(s, 0, true));
      return flows;
    }
    for (int s = 0; !needs_.once && s <= kResidentShrinks; ++s) {
      for (int c = 0; c <= shrinks_of(wanted_.chunk); ++c) flows.push_back(flow(s, c, true));
    }
    for (int s = 0; s <= shrinks(); ++s) flows.push_back(flow(s, s, false));
    return flows;
  }

 private:
  // Halvings until one block is left.
  static int shrinks_of(std::int64_t blocks) {
    int count = 0;
    for (; blocks > 1; blocks /= 2) ++count;
    return count;
  }
  int shrinks() const {
    return shrinks_of(std::max(
        {wanted_.tile, wanted_.wave, wanted_.cluster, needs_.on_device ? 1 : wanted_.chunk}));
  }

  // Waves halved `shrink` times, chunks `chunk_shrink` times.
  DeviceFlow flow(int shrink, int chunk_shrink, bool resident) const {
    Blocks blocks{at_least_one(wanted_.chunk >> chunk_shrink), at_least_one(wanted_.wave >> shrink),
                  at_least_one(wanted_.tile >> shrink), at_least_one(wanted_.cluster >> shrink)};
    if (needs_.on_device) {
      blocks.chunk = n_blocks_;
    } else if (needs_.chunk_rows == 0 && 2 * blocks.chunk >= blocks.tile) {
      // A chunk's last wave would be less than a wave.
      blocks.chunk = (blocks.chunk + blocks.tile / 2) / blocks.tile * blocks.tile;
    }
    if (!resident) {
      blocks.wave = std::min(blocks.wave, blocks.chunk);
      blocks.tile = std::min(blocks.tile, blocks.chunk);
    }
    DeviceFlow result;
    result.chunk_rows = std::min(blocks.chunk * kBlockRows, needs_.n_rows);
    result.resident = resident;
    result.wave_rows = blocks.wave * kBlockRows;
    result.tile_rows = blocks.tile * kBlockRows;
    result.cluster_rows = blocks.cluster * kBlockRows;
    return result;
  }

  const FlowNeeds needs_;
  const std::int64_t n_blocks_;
  Blocks wanted_{};
};

}  // namespace

std::vector<DeviceFlow> device_flows(const FlowNeeds& needs) { return Flows(needs).all(); }

void check_device_bytes(const Context& context, std::int64_t bytes, const char* remedy) {
  const std::int64_t available = context.cuda()->free_bytes();
  if (bytes <= available) return;
  throw out_of_memory("the fit needs " + std::to_string(bytes) + " bytes of device memory, " +
                          std::to_string(available) + " are free",
                      context.options().memory_limit > 0 ? "--memory-limit" : context.device(),
                      remedy);
}

}  // namespace culatent
