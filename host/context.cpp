#include "culatent/context.hpp"

#include <sched.h>

#include <algorithm>
#include <thread>

#include "culatent/error.hpp"
#include "host/parallel.hpp"
#ifdef CULATENT_HAS_CUDA
#include "kernels/cuda/cuda_device.hpp"
#endif

namespace culatent {
namespace {

// The processors that this process may run on: less than the machine's in a container or under
// taskset, where more threads than that only wait for each other.
int usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

void check_processor() {
#if defined(__x86_64__) && defined(__AVX2__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    throw device_error("this build needs a processor with AVX2 and FMA", "cpu",
                       "configure with -DCULATENT_CPU_ARCH=x86-64 for older ones");
  }
#endif
}

Context::Options checked(Context::Options options) {
  if (options.n_threads < 0 || options.n_threads > 4096) {
    throw invalid_argument("n_threads is " + std::to_string(options.n_threads), "Context",
                           "give 1 to 4096, or 0 for all processors");
  }
  if (options.memory_limit < 0) {
    throw invalid_argument("memory_limit is negative", "Context", "give bytes, or 0 for no limit");
  }
  if (options.chunk_rows < 0) {
    throw invalid_argument("chunk_rows is negative", "Context", "give rows, or 0 to let it choose");
  }
  if (options.n_threads == 0) options.n_threads = usable_processors();
  options.device = resolve_device(options.device);
  return options;
}

}  // namespace

Context::Context() : Context(Options{}) {}

Context::Context(Options options) : options_(checked(std::move(options))) {
  check_processor();
  threads_ = std::make_unique<ThreadPool>(options_.n_threads);
#ifdef CULATENT_HAS_CUDA
  if (options_.device != "cpu") {
    cuda_ = std::make_shared<CudaDevice>(std::stoi(options_.device.substr(5)), options_.stream,
                                         options_.memory_limit);
  }
#endif
}

Context::~Context() = default;

std::int64_t Context::peak_device_bytes() const {
#ifdef CULATENT_HAS_CUDA
  if (cuda_ != nullptr) return cuda_->peak_bytes();
#endif
  return 0;
}

int Context::n_threads() const { return options_.n_threads; }

}  // namespace culatent
