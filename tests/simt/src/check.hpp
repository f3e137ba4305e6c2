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

// ---- check_sites.cpp: where in the sources ------------------------------------------------------

/// 0: unknown; otherwise an address in the program or a source location, numbered.
using Site = std::uint32_t;
Site site_of(const void* return_address);
Site site_of(const char* file, unsigned line);
std::string site_text(Site site);      ///< "file.cu:12"
bool in_program(const void* pointer);  ///< code, constants and variables of the program itself

// ---- check_order.cpp: what comes before what ----------------------------------------------------

/// The last access of one kind to a word.
struct Mark {
  std::uint32_t epoch;  ///< number of the block's interval between barriers; 0: no access yet
  std::uint32_t clock;  ///< of the thread within its warp
  Site site;
  std::uint16_t thread;  ///< in its block
  std::uint8_t bytes;    ///< mask of the word's four
  bool atomic;
};
Mark mark_now(unsigned byte_mask, bool atomic, Site site);
/// Is that access ordered before whatever the running thread does now?
bool is_ordered(const Mark& mark, bool shared_memory);
bool in_this_launch(const Mark& mark);
bool in_this_block(const Mark& mark);
uint3 block_of(const Mark& mark);
/// An atomic access of the running thread: with fences it publishes and receives other accesses.
void order_atomic(const void* address);
void install_order();

// ---- check.cpp: the rules -----------------------------------------------------------------------

/// The running thread reads or writes these bytes.
void touch(const void* begin, std::size_t bytes, Access access, Site site);
void forget_reports();  ///< at a launch: each pair of source lines is reported once in each

}  // namespace simt::detail
