#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

#include "simt/qualifiers.hpp"
#include "simt/vector_types.hpp"

/// What kernels stand on: the built-in variables, shared memory, and the one primitive that all
/// warp-wide functions are made of.

// Of the thread that runs. Variables, not macros: cudaLaunchConfig_t has members of these names.
extern constinit uint3 threadIdx, blockIdx;
extern constinit dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

namespace simt {

using Where = std::source_location;  ///< of a call in a kernel, for diagnostics

namespace detail {

inline constexpr unsigned kAllLanes = 0xffffffffu;
inline constexpr std::size_t kLargestContribution = 64;

/// One warp-wide operation in flight: what each lane that has arrived gave to it.
struct Group {
  std::uint32_t mask = 0;
  std::uint32_t arrived = 0;
  std::uint32_t bytes = 0;  ///< of one lane's contribution
  int readers = 0;          ///< lanes that have yet to read the others'
  bool orders_memory = false;
  const char* name = nullptr;
  Where where{};
  alignas(16) unsigned char data[32][kLargestContribution];
};

/// Waits until all live lanes of `mask` called with the same name, mask and size.
Group& gather(const char* name, std::uint32_t mask, const void* contribution, std::uint32_t bytes,
              bool orders_memory, Where where);
void release(Group& group);
unsigned lane();

enum class Vote { kNone, kCount, kAnd, kOr };
int block_barrier(const char* name, int predicate, Vote vote, Where where);

int new_shared_slot();
void* shared_slot(int slot, std::size_t bytes, std::size_t alignment);
void* dynamic_shared();

enum class Access { kRead, kWrite, kAtomic };
/// Tells the checker of an access that the stand-in makes on the running thread's behalf.
void note_access(const void* begin, std::size_t bytes, Access access, Where where);

/// Records a diagnostic and says it on stderr; the same text once only, with the first thread.
[[gnu::format(printf, 2, 3)]] void report(const char* kind, const char* format, ...);
[[noreturn]] void trap(Where where);

/// The lanes' contributions to one warp-wide operation, for as long as this lives.
template <class T>
class Gathered {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= kLargestContribution);

 public:
  Gathered(const char* name, std::uint32_t mask, const T& contribution, bool orders_memory,
           Where where)
      : group_(gather(name, mask, &contribution, sizeof(T), orders_memory, where)) {}
  ~Gathered() { release(group_); }
  Gathered(const Gathered&) = delete;
  Gathered& operator=(const Gathered&) = delete;

  bool has(unsigned lane) const { return (group_.arrived >> lane & 1u) != 0; }

  T operator[](unsigned lane) const {
    if (!has(lane)) {
      report("inactive-lane", "%s at %s:%u reads a lane that does not take part (mask %08x)",
             group_.name, group_.where.file_name(), group_.where.line(), group_.mask);
    }
    T value;
    std::memcpy(&value, group_.data[lane], sizeof(T));
    return value;
  }

 private:
  Group& group_;
};

}  // namespace detail

template <class Tag>
inline const int shared_slot_of = detail::new_shared_slot();

/// A variable of static shared memory. Each lambda has a type of its own, so each declaration (and
/// each instantiation of a template that holds it) is one object a block:
///     auto& tile = simt::shared_var<float[16][17]>([] {});
template <class T, class Tag>
T& shared_var(Tag) {
  return *static_cast<T*>(detail::shared_slot(shared_slot_of<Tag>, sizeof(T), alignof(T)));
}

/// The launch's dynamic shared memory, aligned to 128 bytes; every call gives the same address.
template <class T>
T* dynamic_shared() {
  return static_cast<T*>(detail::dynamic_shared());
}

}  // namespace simt
