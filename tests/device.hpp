#pragma once

#include <cstdlib>
#include <string>
#include <utility>

#include "culatent/context.hpp"

namespace culatent {

/// Options of a context where tests of whole fits run: the device that the environment variable
/// CULATENT_TEST_DEVICE names, the CPU when it is not set. The same tests so run on every backend.
inline Context::Options on_device(Context::Options options = {}) {
  const char* device = std::getenv("CULATENT_TEST_DEVICE");
  if (device != nullptr) options.device = device;
  return options;
}

inline bool on_cpu() { return on_device().device == "cpu"; }

}  // namespace culatent
