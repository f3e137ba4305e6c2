#include <algorithm>
#include <cstring>
#include <map>

#include "internal.hpp"

namespace simt::detail {

[[gnu::init_priority(200)]] Region shared_region(kSharedRegion);

namespace {

constexpr std::size_t kGap = 64;  // no variable within this of another: an index too far is seen

struct Slot {
  std::uint64_t block = 0;  // that the address is of
  void* address = nullptr;
};
std::vector<Slot> slots;
int slot_count = 0;

// Of the block that runs.
std::uint64_t block_number = 0;
std::size_t used = 0;
std::size_t static_bytes = 0;
void* dynamic_begin = nullptr;

void* allocate(std::size_t bytes, std::size_t alignment) {
  const std::size_t multiple = std::max<std::size_t>(alignment, 16);
  const std::size_t offset = (used + kGap + multiple - 1) / multiple * multiple;
  used = offset + bytes;
  char* begin = shared_region.base + offset;
  asan_unpoison(begin, bytes);
  if (options().poison) std::memset(begin, 0xff, bytes);
  if (hooks.allocated) hooks.allocated(begin, bytes);
  return begin;
}

std::map<const void*, std::size_t>& dynamic_limits() {
  static std::map<const void*, std::size_t> limits;
  return limits;
}

}  // namespace

int new_shared_slot() { return slot_count++; }

void reset_shared(std::size_t dynamic_bytes) {
  if (block_number++ == 0) {
    set_access(shared_region.base, shared_region.bytes, true);
    asan_poison(shared_region.base, shared_region.bytes);
  }
  if (used > 0) {
    asan_poison(shared_region.base, used);
    if (hooks.freed) hooks.freed(shared_region.base, used);
  }
  used = 0;
  static_bytes = 0;
  dynamic_begin = allocate(dynamic_bytes, 128);
}

void* shared_slot(int slot, std::size_t bytes, std::size_t alignment) {
  const RuntimeCall call;
  const auto index = static_cast<std::size_t>(slot);
  if (slots.size() <= index) slots.resize(static_cast<std::size_t>(slot_count));
  Slot& entry = slots[index];
  if (entry.block == block_number) return entry.address;
  static_bytes += bytes;
  if (static_bytes > kDefaultShared ||
      static_bytes + processor.dynamic_bytes > processor.most_shared) {
    report("shared-size",
           "a block has %zu bytes of static and %zu of dynamic shared memory: the most are 48 KiB "
           "of static and %zu in all (48 KiB until cudaFuncSetAttribute allows more)",
           static_bytes, processor.dynamic_bytes, processor.most_shared);
    abandon(cudaErrorLaunchOutOfResources);
  }
  entry = {block_number, allocate(bytes, alignment)};
  return entry.address;
}

void* dynamic_shared() { return dynamic_begin; }

std::size_t most_dynamic_shared(const void* kernel) {
  const auto found = dynamic_limits().find(kernel);
  if (found == dynamic_limits().end()) return kDefaultShared;
  return std::min(std::max(found->second, kDefaultShared), options().shared_memory);
}

std::size_t most_shared(const void* kernel) {
  return dynamic_limits().contains(kernel) ? options().shared_memory : kDefaultShared;
}

void set_most_dynamic_shared(const void* kernel, std::size_t bytes) {
  dynamic_limits()[kernel] = bytes;
}

// ---- cp.async ----------------------------------------------------------------------------------

void async_copy(void* shared, const void* global, std::size_t bytes, int valid, Where where) {
  const RuntimeCall call;
  const auto address =
      reinterpret_cast<std::uintptr_t>(shared) | reinterpret_cast<std::uintptr_t>(global);
  if (address % bytes != 0) {
    report("misaligned", "cp.async of %zu bytes at %s:%u: an address is not a multiple of that",
           bytes, where.file_name(), where.line());
  }
  if (valid < 0 || static_cast<std::size_t>(valid) > bytes || !shared_region.contains(shared)) {
    report("async-copy", "cp.async of %d of %zu bytes to %p at %s:%u: %s", valid, bytes, shared,
           where.file_name(), where.line(),
           shared_region.contains(shared) ? "count out of range" : "not shared memory");
    abandon(cudaErrorIllegalAddress);
  }
  const auto count = static_cast<std::size_t>(valid);
  if (count > 0) note_access(global, count, Access::kRead, where);
  note_access(shared, bytes, Access::kWrite, where);
  std::memset(shared, 0xff, bytes);
  if (hooks.pending) hooks.pending(shared, bytes);
  self->copies.push_back({static_cast<char*>(shared), static_cast<const char*>(global), bytes,
                          count, self->committed, where});
}

}  // namespace simt::detail

namespace simt {

void cp_async_commit() { ++detail::self->committed; }

void cp_async_wait(int pending) {
  using namespace detail;
  const RuntimeCall call;
  std::erase_if(self->copies, [&](const Copy& copy) {
    if (copy.group >= self->committed - pending) return false;
    note_access(copy.to, copy.bytes, Access::kWrite, copy.where);
    std::memcpy(copy.to, copy.from, copy.valid);
    std::memset(copy.to + copy.valid, 0, copy.bytes - copy.valid);
    return true;
  });
}

}  // namespace simt
