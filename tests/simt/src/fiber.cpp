#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <new>

#include "internal.hpp"
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

constinit uint3 threadIdx{};
constinit uint3 blockIdx{};
constinit dim3 blockDim{};
constinit dim3 gridDim{};

namespace simt::detail {

[[gnu::init_priority(200)]] Processor processor;
constinit thread_local Fiber* self = nullptr;
constinit thread_local bool in_kernel = false;

namespace {

// AddressSanitizer must be told of every change of stack.
struct SchedulerStack {
  void* fake = nullptr;
  const void* bottom = nullptr;
  std::size_t bytes = 0;
};
SchedulerStack scheduler_stack;

#if defined(__SANITIZE_ADDRESS__)
void leave_scheduler(const Fiber& fiber) {
  __sanitizer_start_switch_fiber(&scheduler_stack.fake, fiber.stack, kStackBytes);
}
void back_in_scheduler() {
  __sanitizer_finish_switch_fiber(scheduler_stack.fake, nullptr, nullptr);
}
void leave_fiber(void** fake) {
  __sanitizer_start_switch_fiber(fake, scheduler_stack.bottom, scheduler_stack.bytes);
}
void back_in_fiber(void* fake) {
  __sanitizer_finish_switch_fiber(fake, &scheduler_stack.bottom, &scheduler_stack.bytes);
}
#else
void leave_scheduler(const Fiber&) {}
void back_in_scheduler() {}
void leave_fiber(void**) {}
void back_in_fiber(void*) {}
#endif

// The stack is ours and outlives the fiber that runs on it.
struct KeepStack {
  void deallocate(boost::context::stack_context&) {}
};

// Not inline: `self` is thread-local, and its address must not be kept across a switch.
[[gnu::noinline]] void run_one_thread(Fiber& fiber) {
  in_kernel = true;
  processor.call(processor.arguments);
  in_kernel = false;
  thread_exit(fiber);
  switch_out();
}

}  // namespace

Fiber::Fiber() {
  void* memory = mmap(nullptr, kStackBytes + kStackGuard, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    std::perror("simt: the stack of a thread");
    std::abort();
  }
  stack = static_cast<char*>(memory) + kStackGuard;
  set_access(stack, kStackBytes, true);
  start();
}

Fiber::~Fiber() { munmap(stack - kStackGuard, kStackBytes + kStackGuard); }

void Fiber::start() {
  asan_unpoison(stack, kStackBytes);
  boost::context::stack_context memory;
  memory.sp = stack + kStackBytes;
  memory.size = kStackBytes;
  new (&scheduler) boost::context::fiber();
  new (&context) boost::context::fiber(
      std::allocator_arg, boost::context::preallocated(memory.sp, memory.size, memory), KeepStack{},
      [this](boost::context::fiber&& caller) -> boost::context::fiber {
        scheduler = std::move(caller);
        back_in_fiber(nullptr);
        for (;;) run_one_thread(*this);  // one round a block
      });
}

void switch_in(Fiber& fiber) {
  self = &fiber;
  threadIdx = fiber.index;
  leave_scheduler(fiber);
  fiber.context = std::move(fiber.context).resume();
  back_in_scheduler();
  self = nullptr;
  in_kernel = false;
}

void switch_out() {
  Fiber& fiber = *self;
  void* fake = nullptr;
  leave_fiber(&fake);
  fiber.scheduler = std::move(fiber.scheduler).resume();
  back_in_fiber(fake);
}

void make_ready(Fiber& fiber) {
  fiber.state = State::kReady;
  processor.queue.push_back(fiber.linear);
}

void yield_now() {
  make_ready(*self);
  switch_out();
}

void abandon(cudaError_t error) {
  processor.failure = error;
  switch_out();
  std::abort();  // an abandoned thread is never resumed
}

}  // namespace simt::detail
