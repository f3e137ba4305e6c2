#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>
#include <cstdint>
#include <vector>

#include "culatent/clustering_quality.hpp"
#include "culatent/error.hpp"
#include "host/clustering_quality.hpp"
#include "tests/errors.hpp"

namespace culatent {
namespace {

namespace cq = clustering_quality;
using errors::error_of;
using errors::expect_contains;
using Labels = std::vector<std::int64_t>;

TEST(ClusteringQualityLabels, CompareByClosedForms) {
  const struct {
    Labels a, b;
    double adjusted_rand, information;
  } cases[] = {
      {{0}, {5}, 1.0, 1.0},
      {{0, 0, 0}, {1, 1, 1}, 1.0, 1.0},
      {{0, 1, 2}, {2, 0, 1}, 1.0, 1.0},
      {{7, 7, -1, 3}, {0, 0, 9, 2}, 1.0, 1.0},
      {{0, 0, 0, 0}, {0, 1, 2, 3}, 0.0, 0.0},
      {{0, 0, 0, 1}, {0, 0, 0, 0}, 0.0, 0.0},
      {{0, 0, 1, 1}, {0, 1, 0, 1}, -0.5, 0.0},
      {{0, 0, 1, 2}, {0, 0, 1, 1}, 4.0 / 7.0, 0.8},  // 1 bit in common, of 1.5 and 1
      {{INT64_MIN, INT64_MIN, INT64_MAX}, {0, 0, 1}, 1.0, 1.0},
  };
  for (const auto& c : cases) {
    EXPECT_NEAR(cq::adjusted_rand(c.a, c.b), c.adjusted_rand, DBL_EPSILON);
    EXPECT_EQ(cq::adjusted_rand(c.a, c.b), cq::adjusted_rand(c.b, c.a));
    EXPECT_NEAR(cq::normalized_mutual_information(c.a, c.b), c.information, DBL_EPSILON);
    EXPECT_EQ(cq::normalized_mutual_information(c.a, c.b),
              cq::normalized_mutual_information(c.b, c.a));
  }
}

TEST(ClusteringQualityLabels, PairsAreCountedBeyondSixtyFourBits) {
  constexpr std::int64_t t = std::int64_t{1} << 38;
  const auto table = [](std::vector<Labels> counts) {
    cq::Contingency result{.a = Labels(counts.size()), .b = Labels(counts[0].size())};
    for (std::size_t i = 0; i < counts.size(); ++i) {
      for (std::size_t j = 0; j < counts[i].size(); ++j) {
        const std::int64_t count = counts[i][j];
        result.n += count;
        result.a[i] += count;
        result.b[j] += count;
        if (count == 0) continue;
        result.cells.push_back({static_cast<std::int64_t>(i), static_cast<std::int64_t>(j), count});
      }
    }
    return result;
  };
  // Fractions and 60-digit decimals of Python.
  const struct {
    std::vector<Labels> counts;
    double adjusted_rand, information;
  } cases[] = {
      {{{t, t}, {t, t}}, -9.094947017745826e-13, 0.0},
      {{{t, 0}, {0, 3 * t}}, 1.0, 1.0},
      {{{t + 1, t - 1}, {t - 1, t + 1}}, -9.094947017613477e-13, 9.546954941197984e-24},
      {{{t, 5, 7}, {3, 2 * t + 1, 1}}, 0.999999999945976, 0.9999999994007372},
      {{{t, t / 3}, {t / 5, t / 7 + 1}}, 0.0717967158117578, 0.01910014926090275},
  };
  for (const auto& c : cases) {
    constexpr double kLoss = 0x1p-57;  // 64 roundings of long double
    // The quotients are of long double; the values of the first and third are what is left of terms
    // of size 1.
    EXPECT_NEAR(cq::adjusted_rand(table(c.counts)), c.adjusted_rand,
                kLoss + DBL_EPSILON * std::abs(c.adjusted_rand));
    EXPECT_NEAR(cq::normalized_mutual_information(table(c.counts)), c.information,
                kLoss + DBL_EPSILON * c.information);
  }
}

TEST(ClusteringQualityLabels, OfDifferentNumberOrNoneAreRefused) {
  const Labels none, nine(9, 0), ten(10, 7);
  expect_contains(error_of<data_error>([&] { cq::adjusted_rand(none, none); }), "no labels");
  expect_contains(error_of<data_error>([&] { cq::adjusted_rand(nine, ten); }), "9 labels");
  expect_contains(error_of<data_error>([&] { cq::normalized_mutual_information(ten, nine); }),
                  "10 labels");
  EXPECT_THROW(cq::normalized_mutual_information(none, none), data_error);
}

}  // namespace
}  // namespace culatent
