#pragma once

namespace culatent::cli {

/// What the shell is told.
enum ExitCode : int {
  kDone = 0,       ///< also when max-iter came first
  kFailed = 1,     ///< anything else
  kUsage = 2,      ///< the command line
  kBadData = 3,    ///< data or a file
  kNoMemory = 4,   ///< the plan does not fit, or an allocation failed
  kNoDevice = 5,   ///< the device is not there, or failed
  kStopped = 130,  ///< Ctrl-C, as a shell counts it
};

}  // namespace culatent::cli
