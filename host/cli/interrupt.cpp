#include "host/cli/interrupt.hpp"

#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "host/cli/exit_code.hpp"
#include "host/io/atomic_file.hpp"

namespace culatent::cli {
namespace {

std::atomic<bool> stop_first{false};
std::atomic<bool> stopping{false};
static_assert(std::atomic<bool>::is_always_lock_free, "signal handlers use these");

void interrupted(int) {
  if (stop_first && !stopping.exchange(true)) return;
  io::remove_unfinished_files();
  _exit(kStopped);
}

void terminated(int signal_number) {
  io::remove_unfinished_files();
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

void install(int signal_number, void (*handler)(int)) {
  struct sigaction action = {};
  // Whoever started this with the signal ignored (nohup, a background job) wants it ignored.
  if (sigaction(signal_number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) return;
  action = {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(signal_number, &action, nullptr);
}

}  // namespace

void handle_signals() {
  install(SIGINT, interrupted);
  install(SIGTERM, terminated);
  install(SIGHUP, terminated);
  install(SIGPIPE, SIG_IGN);
  install(SIGXFSZ, SIG_IGN);
}

void on_interrupt(OnInterrupt reaction) { stop_first = reaction == OnInterrupt::stop; }

bool stop_requested() { return stopping; }

}  // namespace culatent::cli
