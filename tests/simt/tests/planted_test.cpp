#include "planted.hpp"

#include <gtest/gtest.h>

#include "simt/simt.hpp"

// Defined where AddressSanitizer is linked in.
extern "C" [[gnu::weak]] void __asan_init();

namespace {

std::vector<Planted> all_bugs() {
  std::vector<Planted> all;
  for (const auto& some : {tile_bugs(), reduce_bugs(), pipeline_bugs(), memory_bugs()}) {
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

std::string name_of(const testing::TestParamInfo<Planted>& info) { return info.param.name; }

class Corrected : public testing::TestWithParam<Planted> {};

// The listener of the program fails a test that leaves diagnostics.
TEST_P(Corrected, IsRightAndFindsNothing) { EXPECT_TRUE(GetParam().run(false)); }

INSTANTIATE_TEST_SUITE_P(Kernels, Corrected, testing::ValuesIn(all_bugs()), name_of);

// Where the checker is linked in, whatever the schedule.
class PlantedBug : public testing::TestWithParam<Planted> {
 protected:
  ~PlantedBug() override { simt::options() = before_; }
  void expect_found() {
    const Planted& planted = GetParam();
    const bool right = planted.run(true);
    if (planted.kind == nullptr) {
      EXPECT_FALSE(right);
    } else {
      EXPECT_TRUE(simt::has_diagnostic(planted.kind)) << "no " << planted.kind;
    }
    simt::reset();
  }
  simt::Options before_ = simt::options();
};

TEST_P(PlantedBug, IsReportedInForwardOrder) {
  simt::options().order = simt::Order::kForward;
  expect_found();
}
TEST_P(PlantedBug, IsReportedInReverseOrder) {
  simt::options().order = simt::Order::kReverse;
  expect_found();
}
TEST_P(PlantedBug, IsReportedInRandomOrder) {
  simt::options().order = simt::Order::kRandom;
  expect_found();
}

std::vector<Planted> bugs_to_report() {
  return simt::is_check_build() ? all_bugs() : std::vector<Planted>();
}
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(PlantedBug);
INSTANTIATE_TEST_SUITE_P(Kernels, PlantedBug, testing::ValuesIn(bugs_to_report()), name_of);

// AddressSanitizer sees the gaps between shared variables and after allocations.
class PlantedOverrun : public testing::TestWithParam<Planted> {};

TEST_P(PlantedOverrun, KillsTheProgram) {
  EXPECT_DEATH(GetParam().run(true), "AddressSanitizer|runtime error");
}

std::vector<Planted> overruns() {
  std::vector<Planted> chosen;
  for (const Planted& planted : all_bugs()) {
    const bool overrun = planted.kind != nullptr && std::string(planted.kind) == "out-of-bounds";
    if (__asan_init != nullptr && overrun) chosen.push_back(planted);
  }
  return chosen;
}
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(PlantedOverrun);
INSTANTIATE_TEST_SUITE_P(Kernels, PlantedOverrun, testing::ValuesIn(overruns()), name_of);

}  // namespace
