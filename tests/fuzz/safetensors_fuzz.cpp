#include "tests/fuzz/targets.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  culatent::io::fuzz::safetensors(data, size);
  return 0;
}
