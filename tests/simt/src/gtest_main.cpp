#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include "simt/simt.hpp"

// The main program of tests on the stand-in: a test fails too when it leaves a diagnostic behind,
// memory that it did not free, or a stream or event that it did not destroy.

namespace {

class Listener : public testing::EmptyTestEventListener {
  void OnTestStart(const testing::TestInfo&) override {
    simt::reset();
    allocations_ = simt::live_allocations();
    handles_ = simt::live_handles();
  }

  void OnTestEnd(const testing::TestInfo&) override {
    cudaDeviceSynchronize();
    for (const simt::Diagnostic& diagnostic : simt::diagnostics()) {
      ADD_FAILURE() << "simt: " << diagnostic.kind << ": " << diagnostic.text;
    }
    simt::reset();
    EXPECT_EQ(simt::live_allocations(), allocations_) << "device or pinned memory is not freed";
    EXPECT_EQ(simt::live_handles(), handles_) << "streams or events are not destroyed";
  }

  std::uint64_t allocations_ = 0;
  std::uint64_t handles_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  testing::UnitTest::GetInstance()->listeners().Append(new Listener);
  return RUN_ALL_TESTS();
}
