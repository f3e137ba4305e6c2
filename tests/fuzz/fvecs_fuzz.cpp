#include "tests/fuzz/targets.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  culatent::io::fuzz::fvecs(data, size);
  return 0;
}
