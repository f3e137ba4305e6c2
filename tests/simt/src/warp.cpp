#include <algorithm>
#include <bit>
#include <cstring>

#include "internal.hpp"

namespace simt::detail {
namespace {

// Every thread is in one operation at most, so as many groups as threads are enough. They are the
// program's own memory, which kernels may read: Gathered is compiled into them.
constinit std::array<Group, kMostThreads> groups{};
std::vector<Group*> free_groups;

bool complete(const Group& group, const Warp& warp) {
  return (group.mask & ~warp.exited) == (group.arrived & ~warp.exited);
}

void finish_group(unsigned warp_number, Group* group) {
  Warp& warp = processor.warps[warp_number];
  std::erase(warp.pending, group);
  group->readers = std::popcount(group->arrived);
  ++stats().collectives;
  if (group->orders_memory && hooks.warp_synced) hooks.warp_synced(warp_number, group->arrived);
  for (unsigned i = 0; i < kLanes; ++i) {
    if ((group->arrived >> i & 1u) == 0) continue;
    Fiber& fiber = *processor.fibers[warp_number * kLanes + i];
    if (&fiber != self) make_ready(fiber);
  }
}

bool same_name(const char* a, const char* b) { return a == b || std::strcmp(a, b) == 0; }

Group* pending_group(const Warp& warp, const char* name, std::uint32_t mask, std::uint32_t bytes) {
  for (Group* group : warp.pending) {
    if (group->mask == mask && group->bytes == bytes && same_name(group->name, name)) return group;
  }
  return nullptr;
}

}  // namespace

unsigned lane() { return self->lane; }

void reset_warps() {
  processor.warps.resize((processor.threads + kLanes - 1) / kLanes);
  for (Warp& warp : processor.warps) {
    warp.exited = 0;
    warp.pending.clear();
  }
  const unsigned last = processor.threads % kLanes;  // lanes that the last warp does not have
  if (last != 0) processor.warps.back().exited = ~((1u << last) - 1);
  if (free_groups.size() == groups.size()) return;  // some are still held after an abandoned block
  free_groups.clear();
  for (Group& group : groups) free_groups.push_back(&group);
}

Group& gather(const char* name, std::uint32_t mask, const void* contribution, std::uint32_t bytes,
              bool orders_memory, Where where) {
  const RuntimeCall call;
  Fiber& fiber = *self;
  Warp& warp = processor.warps[fiber.warp];
  if ((mask >> fiber.lane & 1u) == 0) {
    report("warp-mask", "%s at %s:%u: the calling lane is not in the mask %08x", name,
           where.file_name(), where.line(), mask);
    mask |= 1u << fiber.lane;
  }
  Group* group = pending_group(warp, name, mask, bytes);
  if (group == nullptr) {
    group = free_groups.back();
    free_groups.pop_back();
    group->mask = mask;
    group->arrived = 0;
    group->bytes = bytes;
    group->orders_memory = orders_memory;
    group->name = name;
    group->where = where;
    warp.pending.push_back(group);
  }
  std::memcpy(group->data[fiber.lane], contribution, bytes);
  group->arrived |= 1u << fiber.lane;
  if (complete(*group, warp)) {
    finish_group(fiber.warp, group);
    return *group;
  }
  fiber.state = State::kInWarp;
  fiber.waits_in = name;
  fiber.waits_at = where;
  fiber.group = group;
  switch_out();
  return *group;
}

void release(Group& group) {
  const RuntimeCall call;
  if (--group.readers == 0) free_groups.push_back(&group);
}

void warp_exit(Fiber& fiber) {
  Warp& warp = processor.warps[fiber.warp];
  warp.exited |= 1u << fiber.lane;
  // Those that waited for this lane alone go on.
  const std::vector<Group*> pending = warp.pending;
  for (Group* group : pending) {
    if (complete(*group, warp)) finish_group(fiber.warp, group);
  }
}

}  // namespace simt::detail
