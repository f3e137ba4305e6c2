#include <algorithm>
#include <map>

#include "check.hpp"

namespace simt::detail {
namespace {

// Epochs number the intervals between barriers, of all blocks of all launches: an access of an
// earlier epoch of the same block lies behind a barrier.
std::uint32_t epoch = 1;
std::uint32_t block_begin = 1;
std::uint32_t launch_begin = 1;

struct Block {
  std::uint32_t first_epoch;
  uint3 index;
};
std::vector<Block> blocks;  // of this launch, in the order in which they ran

// Within a warp, vector clocks: `seen[i][j]` is the clock of lane j up to which lane i has met it,
// directly or through others, in __syncwarp. They only grow, so nothing resets them.
struct WarpClocks {
  std::uint32_t own[kLanes];
  std::uint32_t seen[kLanes][kLanes];
};
WarpClocks clocks[kMostThreads / kLanes];

// Accesses before `epoch`, and in it those of `threads`, are visible to who receives this.
struct Publication {
  std::uint32_t epoch = 0;
  std::bitset<kMostThreads> threads;
};
struct Receipt {
  Publication publication;
  std::uint32_t epoch;  // from the next epoch on it serves the block, in this one the thread alone
  unsigned thread;
};
using ByBlock = std::map<std::uint32_t, Publication>;  // keyed by the first epoch of a block
std::map<const void*, ByBlock> published;              // at the address of an atomic
std::map<std::uint32_t, Receipt> received;             // by the running block
Publication newest_fence;                              // of the running block
Publication fence_before;                              // in an epoch before that

std::uint32_t block_key(const Mark& mark) {
  const auto after = std::upper_bound(
      blocks.begin(), blocks.end(), mark.epoch,
      [](std::uint32_t wanted, const Block& block) { return wanted < block.first_epoch; });
  return std::prev(after)->first_epoch;
}

bool serves_running_thread(const Receipt& receipt) {
  return receipt.epoch < epoch || receipt.thread == self->linear;
}

bool was_received(const Mark& mark) {
  const auto found = received.find(block_key(mark));
  if (found == received.end() || !serves_running_thread(found->second)) return false;
  const Publication& publication = found->second.publication;
  return mark.epoch < publication.epoch ||
         (mark.epoch == publication.epoch && publication.threads[mark.thread]);
}

// What an atomic of the running thread publishes of its own block: all that comes before a fence
// that comes before the atomic.
Publication publication_now() {
  if (newest_fence.epoch < epoch) return newest_fence;
  if (!newest_fence.threads[self->linear]) return fence_before;
  Publication own{epoch, {}};
  own.threads.set(self->linear);
  return own;
}

void begin_launch() {
  launch_begin = ++epoch;
  blocks.clear();
  published.clear();
  forget_reports();
}

void begin_block() {
  block_begin = ++epoch;
  blocks.push_back({epoch, blockIdx});
  received.clear();
  newest_fence = {};
  fence_before = {};
}

void fence() {
  if (newest_fence.epoch != epoch) {
    fence_before = newest_fence;
    newest_fence = {epoch, {}};
  }
  newest_fence.threads.set(self->linear);
}

void warp_synced(unsigned warp, std::uint32_t mask) {
  WarpClocks& warp_clocks = clocks[warp];
  std::uint32_t joint[kLanes] = {};
  for (unsigned i = 0; i < kLanes; ++i) {
    if ((mask >> i & 1u) == 0) continue;
    for (unsigned j = 0; j < kLanes; ++j) joint[j] = std::max(joint[j], warp_clocks.seen[i][j]);
  }
  for (unsigned i = 0; i < kLanes; ++i) {
    if ((mask >> i & 1u) != 0) joint[i] = std::max(joint[i], ++warp_clocks.own[i]);
  }
  for (unsigned i = 0; i < kLanes; ++i) {
    if ((mask >> i & 1u) != 0) std::copy_n(joint, kLanes, warp_clocks.seen[i]);
  }
}

}  // namespace

Mark mark_now(unsigned byte_mask, bool atomic, Site site) {
  return {epoch,
          clocks[self->warp].own[self->lane],
          site,
          static_cast<std::uint16_t>(self->linear),
          static_cast<std::uint8_t>(byte_mask),
          atomic};
}

bool in_this_launch(const Mark& mark) { return mark.epoch >= launch_begin; }
bool in_this_block(const Mark& mark) { return mark.epoch >= block_begin; }

bool is_ordered(const Mark& mark, bool shared_memory) {
  if (!in_this_launch(mark)) return true;  // launches run one after another
  if (!in_this_block(mark)) return shared_memory || was_received(mark);
  if (mark.epoch != epoch || mark.thread == self->linear) return true;
  // `own` counts up after an access that it dated, so a meeting since then saw a larger value.
  return mark.thread / kLanes == self->warp &&
         clocks[self->warp].seen[self->lane][mark.thread % kLanes] > mark.clock;
}

uint3 block_of(const Mark& mark) {
  const std::uint32_t key = block_key(mark);
  const auto found = std::find_if(blocks.begin(), blocks.end(),
                                  [key](const Block& block) { return block.first_epoch == key; });
  return found->index;
}

void order_atomic(const void* address) {
  ByBlock& at_address = published[address];
  for (const auto& [block, publication] : at_address) {
    const auto found = received.find(block);
    if (found == received.end() || found->second.publication.epoch < publication.epoch) {
      received[block] = {publication, epoch, self->linear};
    }
  }
  const Publication own = publication_now();
  if (own.epoch == 0) return;  // no fence: nothing is published
  at_address[block_begin] = own;
  for (const auto& [block, receipt] : received) {
    if (serves_running_thread(receipt)) at_address[block] = receipt.publication;
  }
}

void install_order() {
  hooks.launch_begin = begin_launch;
  hooks.block_begin = begin_block;
  hooks.barrier = [] { ++epoch; };
  hooks.warp_synced = warp_synced;
  hooks.fence = fence;
}

}  // namespace simt::detail
