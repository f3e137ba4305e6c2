#pragma once

#include <array>
#include <boost/context/fiber.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "simt/api.hpp"
#include "simt/kernel.hpp"
#include "simt/simt.hpp"

/// Shared by the stand-in's sources, seen by no one else.
namespace simt::detail {

inline constexpr std::size_t kPage = 4096;
inline constexpr unsigned kLanes = 32;
inline constexpr unsigned kMostThreads = 1024;
inline constexpr std::size_t kDefaultShared = std::size_t{48} << 10;
inline constexpr std::size_t kStackBytes = std::size_t{256} << 10;  // touched pages alone cost
inline constexpr std::size_t kStackGuard = std::size_t{1} << 20;    // below it, never accessible

// ---- threads -----------------------------------------------------------------------------------

enum class State : std::uint8_t { kReady, kAtBarrier, kInWarp, kDone };

/// A cp.async under way.
struct Copy {
  char* to;
  const char* from;
  std::size_t bytes;
  std::size_t valid;
  int group;
  Where where;
};

/// A CUDA thread: a fiber that runs one thread of each block in turn.
struct Fiber {
  // Never destroyed: that would unwind a kernel that was abandoned half-way. A union says so.
  union {
    boost::context::fiber context;
  };
  union {
    boost::context::fiber scheduler;
  };
  char* stack = nullptr;
  uint3 index{};
  unsigned linear = 0;
  unsigned lane = 0;
  unsigned warp = 0;
  State state = State::kReady;
  const char* waits_in = nullptr;  ///< the function of the barrier or warp operation
  Where waits_at{};
  Group* group = nullptr;
  std::vector<Copy> copies;
  int committed = 0;

  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  void start();  ///< also starts anew a fiber whose kernel was abandoned
};

struct Warp {
  std::uint32_t exited = 0;
  std::vector<Group*> pending;
};

/// The one multiprocessor: it runs the blocks of a launch one after another.
struct Processor {
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<Warp> warps;
  std::vector<unsigned> queue;  ///< runnable threads; those before `next` have had their turn
  std::size_t next = 0;
  std::mt19937_64 random;
  const void* arguments = nullptr;
  std::size_t argument_bytes = 0;
  void (*call)(const void*) = nullptr;
  std::size_t dynamic_bytes = 0;
  std::size_t most_shared = 0;  ///< static and dynamic, of a block
  unsigned threads = 0;
  unsigned alive = 0;
  unsigned waiting = 0;  ///< at the block's barrier
  int votes = 0;
  int vote_result = 0;  ///< of the last barrier, and how many threads met there
  int vote_threads = 0;
  cudaError_t failure = cudaSuccess;  ///< of the launch that runs: it is abandoned
};
extern Processor processor;
extern constinit thread_local Fiber* self;  ///< the CUDA thread that runs; null in host code

/// True while a kernel's own code runs: what the checker looks at. The linker may give the runtime
/// a function of the standard library that was compiled, and instrumented, for a kernel.
extern constinit thread_local bool in_kernel;
/// Stands in every function of the runtime that kernels call.
class RuntimeCall {
 public:
  RuntimeCall() { in_kernel = false; }
  ~RuntimeCall() { in_kernel = before_; }
  RuntimeCall(const RuntimeCall&) = delete;
  RuntimeCall& operator=(const RuntimeCall&) = delete;

 private:
  const bool before_ = in_kernel;
};

void switch_in(Fiber& fiber);
void switch_out();
void yield_now();  ///< the running thread goes to the end of the queue
/// Ends the launch from one of its threads, as an illegal address does on a GPU.
[[noreturn]] void abandon(cudaError_t error);
void make_ready(Fiber& fiber);
void thread_exit(Fiber& fiber);
void warp_exit(Fiber& fiber);
void reset_warps();  ///< at the start of a block

void run_grid(dim3 grid, dim3 block, std::size_t dynamic_bytes, std::size_t most_shared,
              void (*call)(const void*), const void* arguments, std::size_t argument_bytes);

// ---- memory ------------------------------------------------------------------------------------

/// A part of the address space, reserved whole and made accessible piece by piece.
struct Region {
  char* base;
  std::size_t bytes;
  explicit Region(std::size_t size);
  bool contains(const void* pointer) const {
    return static_cast<std::size_t>(static_cast<const char*>(pointer) - base) < bytes;
  }
};
extern Region device_region;
extern Region shared_region;
inline constexpr std::size_t kDeviceRegion = std::size_t{256} << 30;
inline constexpr std::size_t kSharedRegion = std::size_t{1} << 20;

void set_access(char* begin, std::size_t bytes, bool accessible);
void asan_poison(const void* begin, std::size_t bytes);
void asan_unpoison(const void* begin, std::size_t bytes);

void explain_faults();                     ///< from the first call on
void* device_allocate(std::size_t bytes);  ///< null where there is no more
bool device_free(void* pointer);
/// The bytes of the allocation from `pointer` to its end; 0 where it is not in one.
std::size_t device_bytes_from(const void* pointer);
int device_of(const void* pointer);
bool is_pinned(const void* pointer);
std::size_t device_allocations_live();

/// Device memory is accessible while one of these lives.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

void reset_shared(std::size_t dynamic_bytes);  ///< at the start of a block
std::size_t most_dynamic_shared(const void* kernel);
void set_most_dynamic_shared(const void* kernel, std::size_t bytes);
/// Static and dynamic bytes that a block of the kernel can have: 48 KiB until it was given leave.
std::size_t most_shared(const void* kernel);

// ---- streams, errors ---------------------------------------------------------------------------

/// Held by every API function: one host thread at a time.
std::unique_lock<std::recursive_mutex> lock();
cudaError_t finish(cudaError_t status);  ///< keeps an error for cudaGetLastError and returns it
/// What a call that needs a device returns before it does anything else: no device, no driver, or
/// an earlier kernel's failure, which stays.
cudaError_t device_status();
void fail_for_good(cudaError_t error);
int current_device();
cudaError_t push(cudaStream_t stream, std::function<void()> work);
/// The same for a kernel, which a stream that captures keeps, and a test may have fail.
cudaError_t push_kernel(cudaStream_t stream, std::function<void()> work);
cudaError_t synchronize(cudaStream_t stream);
void synchronize_device();
void drop_pending_work();
bool planned_failure(std::uint64_t& countdown);
bool planned_launch_failure();
bool allocation_must_fail();
void reset_memory_plans();

// ---- the checker -------------------------------------------------------------------------------

/// Called at what the checker must know of; all null but in a check build.
struct Hooks {
  void (*launch_begin)() = nullptr;
  void (*block_begin)() = nullptr;
  void (*barrier)() = nullptr;
  void (*warp_synced)(unsigned warp, std::uint32_t mask) = nullptr;
  void (*allocated)(const void* begin, std::size_t bytes) = nullptr;
  void (*freed)(const void* begin, std::size_t bytes) = nullptr;
  void (*written)(const void* begin, std::size_t bytes) = nullptr;  ///< by the host or a copy
  void (*copied)(const void* to, const void* from, std::size_t bytes) = nullptr;  ///< off a device
  void (*pending)(const void* begin, std::size_t bytes) = nullptr;  ///< cp.async under way
  void (*fence)() = nullptr;
  void (*access)(const void* begin, std::size_t bytes, Access access, Where where) = nullptr;
};
extern constinit Hooks hooks;

}  // namespace simt::detail
