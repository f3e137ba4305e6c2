#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#include "internal.hpp"
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace simt {
namespace detail {

Region::Region(std::size_t size) : base(nullptr), bytes(size) {
  void* memory = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    std::perror("simt: reserving address space for a device");
    std::abort();
  }
  base = static_cast<char*>(memory);
}
[[gnu::init_priority(200)]] Region device_region(kDeviceRegion);

void set_access(char* begin, std::size_t bytes, bool accessible) {
  if (mprotect(begin, bytes, accessible ? PROT_READ | PROT_WRITE : PROT_NONE) != 0) {
    std::perror("simt: mprotect");
    std::abort();
  }
}

#if defined(__SANITIZE_ADDRESS__)
void asan_poison(const void* begin, std::size_t bytes) { ASAN_POISON_MEMORY_REGION(begin, bytes); }
void asan_unpoison(const void* begin, std::size_t bytes) {
  ASAN_UNPOISON_MEMORY_REGION(begin, bytes);
}
#else
void asan_poison(const void*, std::size_t) {}
void asan_unpoison(const void*, std::size_t) {}
#endif

namespace {

constexpr std::size_t kAlignment = 256;  // what cudaMalloc promises

constexpr std::size_t kGap = std::size_t{64} << 10;

// An allocation ends as near to its last page's end as its alignment lets it, and what follows is
// never accessible. Address space is not used twice, so a freed pointer stays wrong.
struct Allocation {
  std::size_t bytes;
  char* first_page;
  std::size_t page_bytes;
  int device;
};
[[gnu::init_priority(200)]] std::map<const char*, Allocation> allocations_by_address;
std::size_t region_used = 0;
std::size_t bytes_live = 0;
std::size_t bytes_peak = 0;
int accessors = 0;

std::size_t round_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Mapped anew: pages that were merely protected would stay a mapping each, and these are limited.
void give_back(char* begin, std::size_t bytes) {
  if (mmap(begin, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
           0) == MAP_FAILED) {
    std::perror("simt: giving back device memory");
    std::abort();
  }
}

void set_access_of_all(bool accessible) {
  if (!options().protect) return;
  for (const auto& [begin, allocation] : allocations_by_address) {
    set_access(allocation.first_page, allocation.page_bytes, accessible);
  }
}

auto allocation_of(const void* pointer) {
  auto found = allocations_by_address.upper_bound(static_cast<const char*>(pointer));
  if (found == allocations_by_address.begin()) return allocations_by_address.end();
  --found;
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(pointer) - found->first);
  return offset < found->second.bytes ? found : allocations_by_address.end();
}

}  // namespace

void* device_allocate(std::size_t bytes) {
  explain_faults();
  if (bytes > options().device_memory - std::min(bytes_live, options().device_memory)) {
    return nullptr;
  }
  const std::size_t rounded = round_up(bytes, kAlignment);
  const std::size_t page_bytes = round_up(rounded, kPage);
  if (page_bytes + kGap > kDeviceRegion - region_used) return nullptr;
  char* first_page = device_region.base + region_used;
  region_used += page_bytes + kGap;
  bytes_live += bytes;
  bytes_peak = std::max(bytes_peak, bytes_live);

  char* begin = first_page + page_bytes - rounded;
  set_access(first_page, page_bytes, true);
  if (options().poison) std::memset(begin, 0xff, bytes);
  asan_poison(first_page, page_bytes);
  asan_unpoison(begin, bytes);
  if (accessors == 0 && options().protect) set_access(first_page, page_bytes, false);
  allocations_by_address[begin] = {bytes, first_page, page_bytes, current_device()};
  if (hooks.allocated) hooks.allocated(begin, bytes);
  return begin;
}

bool device_free(void* pointer) {
  const auto found = allocations_by_address.find(static_cast<const char*>(pointer));
  if (found == allocations_by_address.end()) return false;
  const Allocation allocation = found->second;
  if (hooks.freed) hooks.freed(pointer, allocation.bytes);
  asan_poison(allocation.first_page, allocation.page_bytes);
  give_back(allocation.first_page, allocation.page_bytes);
  bytes_live -= allocation.bytes;
  allocations_by_address.erase(found);
  return true;
}

std::size_t device_bytes_from(const void* pointer) {
  const auto found = allocation_of(pointer);
  if (found == allocations_by_address.end()) return 0;
  return found->second.bytes -
         static_cast<std::size_t>(static_cast<const char*>(pointer) - found->first);
}

int device_of(const void* pointer) {
  const auto found = allocation_of(pointer);
  return found == allocations_by_address.end() ? -1 : found->second.device;
}

std::size_t device_allocations_live() { return allocations_by_address.size(); }

DeviceAccess::DeviceAccess() {
  if (accessors++ == 0) set_access_of_all(true);
}
DeviceAccess::~DeviceAccess() {
  if (--accessors == 0) set_access_of_all(false);
}

}  // namespace detail

std::size_t live_bytes() { return detail::bytes_live; }
std::size_t peak_bytes() { return detail::bytes_peak; }
void reset_peak_bytes() { detail::bytes_peak = detail::bytes_live; }

void mark_written(const void* begin, std::size_t bytes) {
  if (detail::hooks.written) detail::hooks.written(begin, bytes);
}

}  // namespace simt
