#include <gtest/gtest.h>

#include <simt/simt.hpp>
#include <string>

// In the stand-in's builds a test also fails when the stand-in reports something: a race, an
// uninitialised read, a write out of bounds, a barrier that not every thread reaches.
namespace {

class SimtListener final : public testing::EmptyTestEventListener {
  void OnTestStart(const testing::TestInfo&) override { simt::diagnostics().clear(); }
  void OnTestEnd(const testing::TestInfo&) override {
    for (const simt::Diagnostic& found : simt::diagnostics()) {
      ADD_FAILURE() << "simt: " << found.kind << ": " << found.text;
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  testing::UnitTest::GetInstance()->listeners().Append(new SimtListener);
  return RUN_ALL_TESTS();
}
