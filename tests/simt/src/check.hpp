#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string>

#include "internal.hpp"

/// The checker, linked into simt_check alone. Kernels are compiled with -fsanitize=thread, but in
/// place of libtsan the compiler's calls at every memory access end here (check_callbacks.cpp).
/// Unlike libtsan this knows what orders the threads of a GPU: barriers, __syncwarp, fences with
/// atomics; so what it finds does not depend on the order in which threads happened to run.
namespace simt::detail {

// ---- check_sites.cpp: where in the sources -----------------------------------------------------

/// 0: unknown; otherwise an address in the program or a source location, numbered.
using Site = std::uint32_t;
Site site_of(const void* return_address);
Site site_of(const char* file, unsigned line);
std::string site_text(Site site);      ///< "file.cu:12"
bool in_program(const void* pointer);  ///< code, constants and variables of the program itself

// ---- check_order.cpp: what comes before what ---------------------------------------------------

/// The last access of one kind to a word.
struct Mark {
  std::uint32_t epoch;  ///< number of the block's interval between barriers; 0: no access yet
  std::uint32_t clock;  ///< of the thread within its warp
  Site site;
  std::uint16_t thread;  ///< in its block
  std::uint8_t bytes;    ///< mask of the word's four
  bool atomic;
};

// Epochs number the intervals between barriers, of all blocks of all launches: an access of an
// earlier epoch of the same block lies behind a barrier.
struct Epochs {
  std::uint32_t now = 1;
  std::uint32_t block = 1;   ///< the first of the running block
  std::uint32_t launch = 1;  ///< the first of the running launch
};
extern constinit Epochs epochs;

// Within a warp, vector clocks: `seen[i][j]` is the clock of lane j up to which lane i has met it,
// directly or through others, in __syncwarp. They only grow, so nothing resets them.
struct WarpClocks {
  std::uint32_t own[kLanes];
  std::uint32_t seen[kLanes][kLanes];
};
extern constinit WarpClocks warp_clocks[kMostThreads / kLanes];

inline Mark mark_now(unsigned byte_mask, bool atomic, Site site) {
  return {epochs.now,
          warp_clocks[self->warp].own[self->lane],
          site,
          static_cast<std::uint16_t>(self->linear),
          static_cast<std::uint8_t>(byte_mask),
          atomic};
}
inline bool in_this_launch(const Mark& mark) { return mark.epoch >= epochs.launch; }
inline bool in_this_block(const Mark& mark) { return mark.epoch >= epochs.block; }

/// Was that access, of another block of this launch, published to the running thread?
bool was_received(const Mark& mark);

/// Is that access ordered before whatever the running thread does now?
inline bool is_ordered(const Mark& mark, bool shared_memory) {
  if (!in_this_launch(mark)) return true;  // launches run one after another
  if (!in_this_block(mark)) return shared_memory || was_received(mark);
  if (mark.epoch != epochs.now || mark.thread == self->linear) return true;
  // `own` counts up after an access that it dated, so a meeting since then saw a larger value.
  return mark.thread / kLanes == self->warp &&
         warp_clocks[self->warp].seen[self->lane][mark.thread % kLanes] > mark.clock;
}

uint3 block_of(const Mark& mark);
/// An atomic access of the running thread: with fences it publishes and receives other accesses.
void order_atomic(const void* address);
void install_order();

// ---- check.cpp: the rules ----------------------------------------------------------------------

/// The running thread reads or writes these bytes.
void touch(const void* begin, std::size_t bytes, Access access, Site site);
void forget_reports();  ///< at a launch: each pair of source lines is reported once in each

}  // namespace simt::detail
