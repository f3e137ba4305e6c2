#include "check.hpp"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <tuple>

namespace simt::detail {
namespace {

// What is remembered of a word of 4 bytes. Two readers are enough: whoever writes conflicts with
// one of them, as they are threads of different warps wherever there have been such.
struct Cell {
  Mark writer;
  Mark readers[2];
};

// A byte a word: which of its bytes hold a value (lower half), and which are allocated.
constexpr unsigned kAllBytes = 0xf;
constexpr unsigned kAllocatedShift = 4;

template <class T>
T* shadow(std::size_t count) {  // zeros, made when touched
  void* memory = mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    std::perror("simt: reserving address space for the checker");
    std::abort();
  }
  return static_cast<T*>(memory);
}

struct Checked {
  const Region& region;
  const char* name;
  bool shared;
  Cell* cells;
  std::uint8_t* bytes;

  Checked(const Region& memory, bool is_shared)
      : region(memory),
        name(is_shared ? "shared" : "global"),
        shared(is_shared),
        cells(shadow<Cell>(memory.bytes / 4)),
        bytes(shadow<std::uint8_t>(memory.bytes / 4)) {}
  std::size_t offset(const void* pointer) const {
    return static_cast<std::size_t>(static_cast<const char*>(pointer) - region.base);
  }
};
[[gnu::init_priority(201)]] Checked global_memory(device_region, false);
[[gnu::init_priority(201)]] Checked shared_memory(shared_region, true);

Checked* checked_at(const void* pointer) {
  if (device_region.contains(pointer)) return &global_memory;
  return shared_region.contains(pointer) ? &shared_memory : nullptr;
}

// Calls part(word, mask of its bytes) for each word of a range.
template <class Part>
void for_each_word(std::size_t offset, std::size_t count, Part part) {
  const std::size_t end = offset + count;
  while (offset < end) {
    const std::size_t word = offset / 4;
    const std::size_t stop = std::min(end, 4 * word + 4);
    const unsigned mask = (1u << (stop - 4 * word)) - (1u << (offset - 4 * word));
    part(word, mask);
    offset = stop;
  }
}

// ---- reports -----------------------------------------------------------------------------------

enum class Finding { kRace, kBounds, kUninitialised, kHost };
[[gnu::init_priority(200)]] std::set<std::tuple<Finding, Site, Site>> reported;

// Each pair of source lines is reported once a launch.
bool is_new(Finding finding, Site site, Site other = 0) {
  return reported.insert({finding, site, other}).second;
}

const char* verb(Access access) {
  if (access == Access::kAtomic) return "atomic";
  return access == Access::kRead ? "read" : "write";
}

void report_race(const Checked& memory, const void* address, const Mark& earlier,
                 const char* earlier_verb, Access access, Site site) {
  if (!is_new(Finding::kRace, site, earlier.site)) return;
  const uint3 block = block_of(earlier);
  report("race",
         "%s memory at %p: %s at %s conflicts with the %s of thread %u of block (%u,%u,%u) "
         "at %s",
         memory.name, address, verb(access), site_text(site).c_str(), earlier_verb,
         static_cast<unsigned>(earlier.thread), block.x, block.y, block.z,
         site_text(earlier.site).c_str());
}

void report_bounds(const Checked& memory, const void* address, Access access, Site site) {
  if (is_new(Finding::kBounds, site)) {
    report("out-of-bounds", "%s memory: %s of %p at %s is outside every allocation", memory.name,
           verb(access), address, site_text(site).c_str());
  }
  // The program would die of it, or write over what is not its own.
  if (!memory.shared) abandon(cudaErrorIllegalAddress);
}

bool is_being_copied(const void* address) {
  for (unsigned i = 0; i < processor.threads; ++i) {
    for (const Copy& copy : processor.fibers[i]->copies) {
      const auto* byte = static_cast<const char*>(address);
      if (byte + 4 > copy.to && byte < copy.to + copy.bytes) return true;
    }
  }
  return false;
}

void report_uninitialised(const Checked& memory, const void* address, Site site) {
  if (!is_new(Finding::kUninitialised, site)) return;
  if (is_being_copied(address)) {
    report("async-pending", "%s memory at %p is read at %s while a cp.async to it is under way",
           memory.name, address, site_text(site).c_str());
  } else {
    report("uninitialised", "%s memory at %p is read at %s before it was written", memory.name,
           address, site_text(site).c_str());
  }
}

// ---- accesses ----------------------------------------------------------------------------------

bool same_reader(const Mark& reader, const Mark& now) {
  return reader.epoch == now.epoch && reader.thread == now.thread;
}
// A reader that a later writer need not be compared with.
bool is_stale(const Mark& reader, const Mark& now, bool shared) {
  if (!in_this_launch(reader)) return true;
  return in_this_block(reader) ? reader.epoch != now.epoch : shared;
}
bool same_warp(const Mark& a, const Mark& b) {
  return a.epoch == b.epoch && a.thread / kLanes == b.thread / kLanes;
}

void remember_reader(Cell& cell, Mark now, bool shared) {
  Mark& first = cell.readers[0];
  Mark& second = cell.readers[1];
  if (is_stale(first, now, shared) || same_reader(first, now)) {
    if (same_reader(first, now)) now.bytes |= first.bytes;
    first = now;
  } else if (is_stale(second, now, shared) || !same_warp(first, now) || same_warp(first, second)) {
    if (same_reader(second, now)) now.bytes |= second.bytes;
    second = now;
  }
}

void remember_writer(Cell& cell, Mark now) {
  const Mark& last = cell.writer;
  if (same_reader(last, now) && last.atomic == now.atomic) now.bytes |= last.bytes;
  cell = {now, {}};
}

void touch_word(Checked& memory, std::size_t word, unsigned mask, Access access, Site site) {
  std::uint8_t& state = memory.bytes[word];
  const void* address = memory.region.base + 4 * word;
  if ((state >> kAllocatedShift & mask) != mask) {
    return report_bounds(memory, address, access, site);
  }
  if (access != Access::kWrite && (state & mask) != mask) {
    report_uninitialised(memory, address, site);
  }
  Cell& cell = memory.cells[word];
  const bool atomic = access == Access::kAtomic;
  const Mark& writer = cell.writer;
  const bool both_atomic = atomic && writer.atomic;
  if ((writer.bytes & mask) != 0 && !both_atomic && !is_ordered(writer, memory.shared)) {
    report_race(memory, address, writer, writer.atomic ? "atomic" : "write", access, site);
  }
  const Mark now = mark_now(mask, atomic, site);
  if (access == Access::kRead) return remember_reader(cell, now, memory.shared);
  for (const Mark& reader : cell.readers) {
    if ((reader.bytes & mask) != 0 && !is_ordered(reader, memory.shared)) {
      report_race(memory, address, reader, "read", access, site);
    }
  }
  remember_writer(cell, now);
  state = static_cast<std::uint8_t>(state | mask);
}

// Memory that is neither global nor shared: a kernel has few reasons to go there.
bool is_allowed(const void* begin, Access access) {
  const auto* byte = static_cast<const char*>(begin);
  if (static_cast<std::size_t>(byte - self->stack) < kStackBytes) return true;
  if (access == Access::kRead && in_program(begin)) return true;  // constants, threadIdx
  const auto* arguments = static_cast<const char*>(processor.arguments);
  if (static_cast<std::size_t>(byte - arguments) < processor.argument_bytes) return true;
  return is_pinned(begin);  // a GPU reads it through the bus
}

void touch_host(const void* begin, Access access, Site site) {
  if (is_allowed(begin, access)) return;
  if (is_new(Finding::kHost, site)) {
    report("host-memory", "%s of %p at %s: this is host memory", verb(access), begin,
           site_text(site).c_str());
  }
  abandon(cudaErrorIllegalAddress);
}

// ---- what the runtime tells --------------------------------------------------------------------

void set_allocated(const void* begin, std::size_t count) {
  Checked& memory = *checked_at(begin);
  for_each_word(memory.offset(begin), count, [&](std::size_t word, unsigned mask) {
    std::uint8_t& state = memory.bytes[word];
    state = static_cast<std::uint8_t>((state & ~mask) | mask << kAllocatedShift);
  });
}

void set_freed(const void* begin, std::size_t count) {
  Checked& memory = *checked_at(begin);
  const std::size_t offset = memory.offset(begin);
  std::memset(memory.bytes + offset / 4, 0, (count + 3) / 4);
  if (memory.shared) return;
  // Addresses of global memory do not come back: their marks may go.
  auto first = reinterpret_cast<std::uintptr_t>(memory.cells + offset / 4);
  auto last = reinterpret_cast<std::uintptr_t>(memory.cells + (offset + count) / 4);
  first = (first + kPage - 1) / kPage * kPage;
  last = last / kPage * kPage;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

void set_written(const void* begin, std::size_t count) {
  Checked* memory = checked_at(begin);
  if (memory == nullptr) return;
  for_each_word(memory->offset(begin), count, [&](std::size_t word, unsigned mask) {
    memory->bytes[word] = static_cast<std::uint8_t>(memory->bytes[word] | mask);
  });
}

void set_pending(const void* begin, std::size_t count) {
  Checked& memory = *checked_at(begin);
  for_each_word(memory.offset(begin), count, [&](std::size_t word, unsigned mask) {
    memory.bytes[word] = static_cast<std::uint8_t>(memory.bytes[word] & ~mask);
  });
}

void check_copied(const void* to, const void* from, std::size_t count) {
  std::size_t without_value = 0;
  const std::size_t begin = global_memory.offset(from);
  for_each_word(begin, count, [&](std::size_t word, unsigned mask) {
    if ((global_memory.bytes[word] & mask) != mask) ++without_value;
  });
  if (without_value == 0) return;
  if (!device_region.contains(to)) {
    report("uninitialised", "%zu words of %zu bytes copied from %p were never written",
           without_value, count, from);
    return;
  }
  // Copied within the device: what has no value has none there either.
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t source = begin + i;
    if ((global_memory.bytes[source / 4] >> (source % 4) & 1u) == 0) {
      set_pending(static_cast<const char*>(to) + i, 1);
    }
  }
}

struct Install {
  Install() {
    install_order();
    hooks.allocated = set_allocated;
    hooks.freed = set_freed;
    hooks.written = set_written;
    hooks.pending = set_pending;
    hooks.copied = check_copied;
    hooks.access = [](const void* begin, std::size_t bytes, Access access, Where where) {
      if (access == Access::kAtomic) order_atomic(begin);
      touch(begin, bytes, access, site_of(where.file_name(), where.line()));
    };
  }
};
const Install install;

const Options& active_options = options();  // at hand without a call

}  // namespace

void forget_reports() { reported.clear(); }

void touch(const void* begin, std::size_t bytes, Access access, Site site) {
  Checked* memory = checked_at(begin);
  if (memory == nullptr) return touch_host(begin, access, site);
  if (active_options.preempt > 0.0 &&
      static_cast<double>(processor.random() >> 11) * 0x1p-53 < active_options.preempt) {
    yield_now();
  }
  for_each_word(memory->offset(begin), bytes, [&](std::size_t word, unsigned mask) {
    touch_word(*memory, word, mask, access, site);
  });
}

}  // namespace simt::detail
