#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "internal.hpp"

// Says what a segmentation fault was, where the stand-in can know: memory is protected so that
// wrong accesses end in one.

namespace simt::detail {
namespace {

constexpr std::size_t kSignalStack = std::size_t{64} << 10;

const char* reason_of(const void* address) {
  const auto* byte = static_cast<const char*>(address);
  if (self != nullptr && byte < self->stack && byte >= self->stack - kStackGuard) {
    return "a thread of a kernel has used up its stack";
  }
  if (!device_region.contains(address)) return nullptr;
  if (self != nullptr) return "a kernel goes to device memory outside every allocation";
  return "host code goes to device memory, which only kernels and copies may";
}

// The program dies of it: nothing here need be safe in a signal handler but the way out.
void handle(int signal_number, siginfo_t* info, void*) {
  if (const char* reason = reason_of(info->si_addr)) {
    char text[256];
    const int length = std::snprintf(text, sizeof text, "simt: illegal-address: %s (at %p)\n",
                                     reason, info->si_addr);
    if (write(STDERR_FILENO, text, static_cast<std::size_t>(length)) < 0) _exit(1);
  }
  signal(signal_number, SIG_DFL);  // returning repeats the access, now for good
}

}  // namespace

void explain_faults() {
  static bool done = false;
  if (done) return;
  done = true;
  struct sigaction current {};
  sigaction(SIGSEGV, nullptr, &current);
  // AddressSanitizer, or the program, has a handler of its own.
  if (current.sa_handler != SIG_DFL) return;
  static char stack[kSignalStack];
  stack_t alternative{};
  alternative.ss_sp = stack;
  alternative.ss_size = sizeof stack;
  sigaltstack(&alternative, nullptr);
  struct sigaction action {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &action, nullptr);
}

}  // namespace simt::detail
