#include <algorithm>
#include <map>

#include "check.hpp"

namespace simt::detail {

constinit Epochs epochs;
constinit WarpClocks warp_clocks[kMostThreads / kLanes] = {};

namespace {

struct Block {
  std::uint32_t first_epoch;
  uint3 index;
};
std::vector<Block> blocks;  // of this launch, in the order in which they ran

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
  return receipt.epoch < epochs.now || receipt.thread == self->linear;
}

// What an atomic of the running thread publishes of its own block: all that comes before a fence
// that comes before the atomic.
Publication publication_now() {
  if (newest_fence.epoch < epochs.now) return newest_fence;
  if (!newest_fence.threads[self->linear]) return fence_before;
  Publication own{epochs.now, {}};
  own.threads.set(self->linear);
  return own;
}

void begin_launch() {
  epochs.launch = ++epochs.now;
  blocks.clear();
  published.clear();
  forget_reports();
}

void begin_block() {
  epochs.block = ++epochs.now;
  blocks.push_back({epochs.now, blockIdx});
  received.clear();
  newest_fence = {};
  fence_before = {};
}

void fence() {
  if (newest_fence.epoch != epochs.now) {
    fence_before = newest_fence;
    newest_fence = {epochs.now, {}};
  }
  newest_fence.threads.set(self->linear);
}

void warp_synced(unsigned warp, std::uint32_t mask) {
  WarpClocks& clocks = warp_clocks[warp];
  std::uint32_t joint[kLanes] = {};
  for (unsigned i = 0; i < kLanes; ++i) {
    if ((mask >> i & 1u) == 0) continue;
    for (unsigned j = 0; j < kLanes; ++j) joint[j] = std::max(joint[j], clocks.seen[i][j]);
  }
  for (unsigned i = 0; i < kLanes; ++i) {
    if ((mask >> i & 1u) != 0) joint[i] = std::max(joint[i], ++clocks.own[i]);
  }
  for (unsigned i = 0; i < kLanes; ++i) {
    if ((mask >> i & 1u) != 0) std::copy_n(joint, kLanes, clocks.seen[i]);
  }
}

}  // namespace

bool was_received(const Mark& mark) {
  const auto found = received.find(block_key(mark));
  if (found == received.end() || !serves_running_thread(found->second)) return false;
  const Publication& publication = found->second.publication;
  return mark.epoch < publication.epoch ||
         (mark.epoch == publication.epoch && publication.threads[mark.thread]);
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
      received[block] = {publication, epochs.now, self->linear};
    }
  }
  const Publication own = publication_now();
  if (own.epoch == 0) return;  // no fence: nothing is published
  at_address[epochs.block] = own;
  for (const auto& [block, receipt] : received) {
    if (serves_running_thread(receipt)) at_address[block] = receipt.publication;
  }
}

void install_order() {
  hooks.launch_begin = begin_launch;
  hooks.block_begin = begin_block;
  hooks.barrier = [] { ++epochs.now; };
  hooks.warp_synced = warp_synced;
  hooks.fence = fence;
}

}  // namespace simt::detail
