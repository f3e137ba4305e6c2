#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

struct CUstream_st;  // what a cudaStream_t points to

/// What a test says to the stand-in and asks of it. Kernels and launchers need none of this: they
/// see CUDA's own names, from cuda_runtime.h.
namespace simt {

/// In which order the threads of a block run, and, from barrier to barrier, run on.
enum class Order { kForward, kReverse, kRandom };

/// How the device behaves. The values at start come from the environment, so that one program is
/// run in several modes (README.md lists the variables); a test may change them between launches.
struct Options {
  Order order = Order::kForward;
  std::uint64_t seed = 1;      ///< of the random order; the same seed gives the same schedule
  bool random_blocks = false;  ///< blocks run in random order too
  bool poison = true;          ///< fresh memory holds NaN bits, not zeros
  bool strict_exit = true;     ///< a barrier that a returned thread misses is an error
  bool protect = true;         ///< host code that touches device memory dies
  bool deferred = false;       ///< work on streams runs as late as synchronisation allows
  double preempt = 0.0;        ///< check build: chance that a memory access lets other threads run

  std::size_t device_memory = std::size_t{4} << 30;  ///< bytes that cudaMalloc hands out in all
  /// Bytes of shared memory that a block can have when it asks: 227 KiB as compute 9.0 does, 99 as
  /// 8.6, 8.9 and 12.0, 64 as 7.5.
  std::size_t shared_memory = std::size_t{227} << 10;
  int device_count = 1;
  int multiprocessors = 4;
  int driver_version = 13000;  ///< below CUDART_VERSION: cudaErrorInsufficientDriver; 0: no driver
};
Options& options();

/// Something a kernel or a call did wrong. `kind` is a word of README.md's list ("race"), `text`
/// says where in the sources and which thread.
struct Diagnostic {
  std::string kind;
  std::string text;
};
const std::vector<Diagnostic>& diagnostics();  ///< in order, since the last clear
bool has_diagnostic(const std::string& kind);
void clear_diagnostics();

/// True where the checker is linked in, which alone finds races and uninitialised reads.
bool is_check_build();

struct Stats {
  std::uint64_t launches = 0;
  std::uint64_t blocks = 0;
  std::uint64_t barriers = 0;     ///< of blocks
  std::uint64_t collectives = 0;  ///< of warps
};
Stats& stats();

/// Makes the nth allocation from now (1: the next) of device or pinned memory return
/// cudaErrorMemoryAllocation, once. 0 turns it off.
void fail_allocation(std::uint64_t nth);
/// Makes the nth kernel launch from now return cudaErrorLaunchOutOfResources, once. 0: off.
void fail_launch(std::uint64_t nth);
/// 0: cudaGetDeviceCount returns cudaErrorNoDevice, as do calls that need a device.
void set_device_count(int count);

std::uint64_t allocations();       ///< asked for so far, device and pinned, failed ones included
std::uint64_t live_allocations();  ///< not freed yet, device and pinned
std::uint64_t live_handles();      ///< streams and events not destroyed yet
std::size_t live_bytes();          ///< of device memory, as asked for
std::size_t peak_bytes();          ///< highest live_bytes since reset_peak_bytes
void reset_peak_bytes();

/// Forgets diagnostics, errors (also those that no CUDA call can clear), statistics and planned
/// failures, and drops work that has not run. Memory, streams and events stay.
void reset();

/// Runs `operation` in stream order as if it were a library's kernel (cuBLAS, say): while it runs,
/// host code may read and write device memory. What it writes must be told with mark_written.
void enqueue(CUstream_st* stream, std::function<void()> operation);
/// These bytes of device memory hold values now: the checker allows reading them.
void mark_written(const void* begin, std::size_t bytes);

}  // namespace simt
