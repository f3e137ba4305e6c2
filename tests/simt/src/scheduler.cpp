#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>

#include "internal.hpp"

namespace simt::detail {
namespace {

bool same_place(const Where& a, const Where& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         std::strcmp(a.file_name(), b.file_name()) == 0;
}

std::string wait_text(const Fiber& fiber) {
  if (fiber.state == State::kDone) return "returned";
  std::string text = "in " + std::string(fiber.waits_in);
  if (fiber.state == State::kInWarp) {
    char mask[16];
    std::snprintf(mask, sizeof mask, "%08x", fiber.group->mask);
    text += "(mask " + std::string(mask) + ")";
  }
  return text + " at " + fiber.waits_at.file_name() + ":" + std::to_string(fiber.waits_at.line()) +
         ":" + std::to_string(fiber.waits_at.column());
}

// Who waits where, when no thread of the block can go on.
void report_stuck() {
  struct Crowd {
    int count = 0;
    uint3 first{};
  };
  std::map<std::string, Crowd> crowds;
  for (unsigned i = 0; i < processor.threads; ++i) {
    const Fiber& fiber = *processor.fibers[i];
    Crowd& crowd = crowds[wait_text(fiber)];
    if (crowd.count++ == 0) crowd.first = fiber.index;
  }
  std::string text;
  for (const auto& [where, crowd] : crowds) {
    text += "\n    " + std::to_string(crowd.count) + " threads " + where + ", the first (" +
            std::to_string(crowd.first.x) + "," + std::to_string(crowd.first.y) + "," +
            std::to_string(crowd.first.z) + ")";
  }
  report("divergent-sync", "block (%u,%u,%u) cannot go on:%s", blockIdx.x, blockIdx.y, blockIdx.z,
         text.c_str());
  processor.failure = cudaErrorLaunchFailure;
}

// All live threads wait at a barrier: lets them through, if it is one and the same.
void release_barrier() {
  const Fiber* first = nullptr;
  for (unsigned i = 0; i < processor.threads; ++i) {
    const Fiber& fiber = *processor.fibers[i];
    if (fiber.state != State::kAtBarrier) continue;
    if (first == nullptr) first = &fiber;
    if (!same_place(first->waits_at, fiber.waits_at)) return report_stuck();
  }
  if (options().strict_exit && processor.alive != processor.threads) {
    report("early-exit", "%u of %u threads had returned when the others met %s at %s:%u",
           processor.threads - processor.alive, processor.threads, first->waits_in,
           first->waits_at.file_name(), first->waits_at.line());
  }
  processor.vote_result = processor.votes;
  processor.vote_threads = static_cast<int>(processor.waiting);
  processor.votes = 0;
  processor.waiting = 0;
  ++stats().barriers;
  if (hooks.barrier) hooks.barrier();
  for (unsigned i = 0; i < processor.threads; ++i) {
    const bool reverse = options().order == Order::kReverse;
    Fiber& fiber = *processor.fibers[reverse ? processor.threads - 1 - i : i];
    if (fiber.state == State::kAtBarrier) make_ready(fiber);
  }
}

void start_threads() {
  auto& fibers = processor.fibers;
  while (fibers.size() < processor.threads) fibers.push_back(std::make_unique<Fiber>());
  processor.queue.clear();
  processor.next = 0;
  for (unsigned i = 0; i < processor.threads; ++i) {
    Fiber& fiber = *fibers[i];
    fiber.linear = i;
    fiber.lane = i % kLanes;
    fiber.warp = i / kLanes;
    fiber.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
    fiber.copies.clear();
    fiber.committed = 0;
    make_ready(fiber);
  }
  if (options().order == Order::kReverse) {
    std::reverse(processor.queue.begin(), processor.queue.end());
  }
}

Fiber& next_thread() {
  auto& queue = processor.queue;
  if (options().order == Order::kRandom) {
    const std::size_t left = queue.size() - processor.next;
    std::swap(queue[processor.next], queue[processor.next + processor.random() % left]);
  }
  Fiber& fiber = *processor.fibers[queue[processor.next++]];
  if (processor.next > 4 * kMostThreads) {  // keep the part that has run short
    queue.erase(queue.begin(), queue.begin() + static_cast<std::ptrdiff_t>(processor.next));
    processor.next = 0;
  }
  return fiber;
}

void run_block(uint3 block, std::uint64_t seed) {
  blockIdx = block;
  processor.alive = processor.threads;
  processor.waiting = 0;
  processor.votes = 0;
  processor.random.seed(seed);
  reset_warps();
  if (hooks.block_begin) hooks.block_begin();
  reset_shared(processor.dynamic_bytes);
  start_threads();
  while (processor.alive > 0 && processor.failure == cudaSuccess) {
    if (processor.next < processor.queue.size()) {
      switch_in(next_thread());
    } else if (processor.waiting == processor.alive) {
      release_barrier();
    } else {
      report_stuck();
    }
  }
  // Threads of an abandoned block hang in the middle of a kernel: they get a new start.
  if (processor.failure != cudaSuccess) {
    for (auto& fiber : processor.fibers) fiber->start();
  }
}

std::uint64_t mixed(std::uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

}  // namespace

void thread_exit(Fiber& fiber) {
  fiber.state = State::kDone;
  --processor.alive;
  warp_exit(fiber);
}

int block_barrier(const char* name, int predicate, Vote vote, Where where) {
  const RuntimeCall call;
  Fiber& fiber = *self;
  if (predicate != 0) ++processor.votes;
  ++processor.waiting;
  fiber.state = State::kAtBarrier;
  fiber.waits_in = name;
  fiber.waits_at = where;
  switch_out();
  const int votes = processor.vote_result;
  if (vote == Vote::kCount) return votes;
  return vote == Vote::kAnd ? votes == processor.vote_threads : votes != 0;
}

void run_grid(dim3 grid, dim3 block, std::size_t dynamic_bytes, std::size_t most_shared,
              void (*call)(const void*), const void* arguments, std::size_t argument_bytes) {
  const DeviceAccess access;
  const std::uint64_t blocks = std::uint64_t{grid.x} * grid.y * grid.z;
  const std::uint64_t seed = mixed(options().seed + mixed(stats().launches++));
  stats().blocks += blocks;
  gridDim = grid;
  blockDim = block;
  processor.call = call;
  processor.arguments = arguments;
  processor.argument_bytes = argument_bytes;
  processor.dynamic_bytes = dynamic_bytes;
  processor.most_shared = most_shared;
  processor.threads = block.x * block.y * block.z;
  processor.failure = cudaSuccess;
  if (hooks.launch_begin) hooks.launch_begin();

  std::vector<std::uint64_t> order;
  if (options().random_blocks) {
    order.resize(blocks);
    for (std::uint64_t i = 0; i < blocks; ++i) order[i] = i;
    std::shuffle(order.begin(), order.end(), std::mt19937_64(seed));
  }
  for (std::uint64_t i = 0; i < blocks && processor.failure == cudaSuccess; ++i) {
    const std::uint64_t linear = order.empty() ? i : order[i];
    const uint3 index = {static_cast<unsigned>(linear % grid.x),
                         static_cast<unsigned>(linear / grid.x % grid.y),
                         static_cast<unsigned>(linear / grid.x / grid.y)};
    run_block(index, mixed(seed + linear));
  }
  if (processor.failure != cudaSuccess) fail_for_good(processor.failure);
}

}  // namespace simt::detail
