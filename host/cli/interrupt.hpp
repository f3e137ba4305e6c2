#pragma once

namespace culatent::cli {

/// Ctrl-C (SIGINT) while a command runs.
enum class OnInterrupt {
  end,   ///< the first one ends the process: unfinished files are removed, exit status 130
  stop,  ///< the first one asks the fit to stop after the running iteration, the second one ends
};

/// Installs the handlers, also for SIGTERM and SIGHUP (unfinished files are removed, then the
/// signal does what it does). A closed pipe or a file size limit becomes an error of the write.
void handle_signals();
void on_interrupt(OnInterrupt reaction);

/// True after the first SIGINT under OnInterrupt::stop.
bool stop_requested();

}  // namespace culatent::cli
