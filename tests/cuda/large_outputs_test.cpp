#include <cmath>
#include <cstdlib>
#include <limits>
#include <numbers>
#include <vector>

#include "tests/cuda/large_case.hpp"

namespace culatent {
namespace {

class ManyOutputs : public LargeTest {
 protected:
  // Every row of an output [n, width] is want(group, distance from its centre, column).
  template <class T, class Want>
  void expect_rows(const T* output, const PatternRows& rows, std::int64_t width, T tolerance,
                   Want&& want) {
    CudaDevice& device = backend().device;
    const std::int64_t part_rows =
        PatternRows::kPeriod * std::max<std::int64_t>((1 << 12) / width, 1);
    std::vector<T> expected, part;
    for (std::int64_t row = 0; row < std::min(part_rows, rows.n); ++row) {
      const std::int64_t group = rows.pattern_group(row);
      const std::int64_t z = rows.pattern(row, 0) - rows.centre(group);
      for (std::int64_t c = 0; c < width; ++c) expected.push_back(want(group, z, c));
    }
    std::vector<std::int64_t> wrong;
    for (std::int64_t first = 0; first < rows.n; first += part_rows) {
      const std::int64_t size = std::min(part_rows, rows.n - first) * width;
      part.resize(static_cast<std::size_t>(size));
      device.to_host(part.data(), output + first * width,
                     size * static_cast<std::int64_t>(sizeof(T)));
      std::int64_t n_wrong = 0;
      for (std::size_t i = 0; i < part.size(); ++i) {
        n_wrong += std::abs(part[i] - expected[i]) <= tolerance ? 0 : 1;
      }
      for (std::size_t i = 0; n_wrong > 0 && i < part.size(); ++i) {
        const std::int64_t row = first + static_cast<std::int64_t>(i) / width;
        if (!(std::abs(part[i] - expected[i]) <= tolerance) && !rows.is_marked(row)) {
          wrong.push_back(row);
        }
      }
      ASSERT_TRUE(wrong.empty()) << "row " << wrong.front() << " and " << wrong.size() - 1
                                 << " more of those from " << first;
    }
    part.resize(static_cast<std::size_t>(width));
    for (const std::int64_t row : rows.marked()) {
      device.to_host(part.data(), output + row * width,
                     width * static_cast<std::int64_t>(sizeof(T)));
      const std::int64_t group = rows.group(row);
      for (std::int64_t c = 0; c < width; ++c) {
        ASSERT_NEAR(part[static_cast<std::size_t>(c)],
                    want(group, rows.value(row, 0) - rows.centre(group), c), tolerance)
            << row;
      }
    }
  }
};

class ManyRows : public ManyOutputs {};

// N beyond 2³¹, labels and log-densities of more than 2³³ bytes each.
TEST_P(ManyRows, HaveTheirOwnOutputs) {
  const PatternRows rows(GetParam().n_rows, 1, 2);
  const std::int64_t n = rows.n;
  if (!has_memory(12 * n)) return;
  const DeviceArray<float> data = rows.on_device<float>(backend().device);
  const DeviceArray<std::int32_t> labels = unwritten<std::int32_t>(n);
  const DeviceArray<float> log_prob = unwritten<float>(n);
  const MatrixRows<float> source({data.data(), n, 1, 1, MemorySpace::device});
  const auto size = static_cast<std::size_t>(n);
  gm::Outputs<float> outputs;
  outputs.log_prob = {log_prob.data(), size};
  outputs.labels = {labels.data(), size};
  outputs.space = MemorySpace::device;
  const auto summary = gm::evaluate<float>(
      Context({.device = "cuda"}), model_of(rows, 3, Covariance::spherical), source, outputs);

  const auto density = [](std::int64_t, std::int64_t z, std::int64_t) {
    const double y = static_cast<double>(z) / kSigma;
    return static_cast<float>(-std::log(3 * kSigma) - 0.5 * std::log(2 * std::numbers::pi) -
                              0.5 * y * y);
  };
  double total = 0.0;
  rows.for_each([&](std::int64_t row, std::int64_t times) {
    const std::int64_t z = rows.value(row, 0) - rows.centre(rows.group(row));
    total += static_cast<double>(density(0, z, 0)) * static_cast<double>(times);
  });
  // y errs by epsilon of a row's distance from the frame's centre in sigmas.
  constexpr auto kUnit = std::numeric_limits<float>::epsilon();
  constexpr auto kError =
      static_cast<float>(2 * PatternRows::kSpread * kReach / kSigma / kSigma) * kUnit;
  EXPECT_NEAR(summary.log_likelihood, total / static_cast<double>(n), kError);
  expect_rows(log_prob.data(), rows, 1, kError, density);
  expect_rows(labels.data(), rows, 1, 0, [](std::int64_t group, std::int64_t, std::int64_t) {
    return static_cast<std::int32_t>(group);
  });
}

INSTANTIATE_TEST_SUITE_P(Small, ManyRows, testing::Values(Case{kSmall}));
INSTANTIATE_TEST_SUITE_P(Large, ManyRows, testing::Values(Case{(std::int64_t{1} << 31) + 5}));

class ManyResponsibilities : public ManyOutputs {};

// N K beyond 2³².
TEST_P(ManyResponsibilities, AreOfTheirRowAndComponent) {
  constexpr std::int64_t kComponents = 128;
  const PatternRows rows(GetParam().n_rows, 1, kComponents - 1);
  const std::int64_t n = rows.n;
  if (!has_memory(4 * n * (kComponents + 2))) return;
  const DeviceArray<float> data = rows.on_device<float>(backend().device);
  const DeviceArray<float> resp = unwritten<float>(n * kComponents);
  const DeviceArray<std::int32_t> labels = unwritten<std::int32_t>(n);
  const MatrixRows<float> source({data.data(), n, 1, 1, MemorySpace::device});
  gm::Outputs<float> outputs;
  outputs.responsibilities = {resp.data(), n, kComponents, kComponents, MemorySpace::device};
  outputs.labels = {labels.data(), static_cast<std::size_t>(n)};
  outputs.space = MemorySpace::device;
  gm::evaluate<float>(Context({.device = "cuda"}),
                      model_of(rows, kComponents, Covariance::diagonal), source, outputs);
  // Other components are 59 sigmas away.
  expect_rows(
      resp.data(), rows, kComponents, std::numeric_limits<float>::epsilon(),
      [](std::int64_t group, std::int64_t, std::int64_t k) { return group == k ? 1.0f : 0.0f; });
  expect_rows(labels.data(), rows, 1, 0, [](std::int64_t group, std::int64_t, std::int64_t) {
    return static_cast<std::int32_t>(group);
  });
}

INSTANTIATE_TEST_SUITE_P(Small, ManyResponsibilities, testing::Values(Case{kSmall}));
INSTANTIATE_TEST_SUITE_P(Large, ManyResponsibilities,
                         testing::Values(Case{(std::int64_t{1} << 25) + 1}));

}  // namespace
}  // namespace culatent
