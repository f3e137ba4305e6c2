#include <gtest/gtest.h>

#include <map>

#include "tests/fuzz/targets.hpp"
#include "tests/io/files.hpp"

// The fuzzers' seeds, and every input that one of them ever failed on, as ordinary tests: their
// names say whether the reader must accept ("good-…") or refuse ("bad-…") them.
namespace culatent::io::testing {
namespace {

TEST(FuzzSeeds, AreAcceptedOrRefusedAsTheirNamesSay) {
  const std::map<std::string, bool (*)(const std::uint8_t*, std::size_t)> targets = {
      {"npy", fuzz::npy},     {"npz", fuzz::npz},
      {"csv", fuzz::csv},     {"idx", fuzz::idx},
      {"fvecs", fuzz::fvecs}, {"raw", fuzz::raw},
      {"gzip", fuzz::gzip},   {"safetensors", fuzz::safetensors}};
  for (const auto& [reader, target] : targets) {
    int n_good = 0, n_bad = 0;
    const std::filesystem::path folder =
        std::filesystem::path(CULATENT_TEST_DATA) / "fuzz" / "seeds" / reader;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      SCOPED_TRACE(entry.path().string());
      const std::string content = read_file(entry.path().string());
      const bool good = entry.path().filename().string().starts_with("good-");
      ++(good ? n_good : n_bad);
      EXPECT_EQ(target(reinterpret_cast<const std::uint8_t*>(content.data()), content.size()),
                good);
    }
    EXPECT_GT(n_good, 0) << reader;
    EXPECT_GT(n_bad, 0) << reader;
  }
}

}  // namespace
}  // namespace culatent::io::testing
