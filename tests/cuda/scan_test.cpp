#include "kernels/cuda/scan.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "tests/core/oracle.hpp"
#include "tests/cuda/cuda_test.hpp"

namespace culatent {
namespace {

using oracle::at;
using oracle::Draws;
using oracle::Real;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kMargin = 5;

// Rows with margins of NaN: before and behind the features, and a row behind the last.
template <class T>
struct Rows {
  Rows(std::int64_t rows, std::int64_t features)
      : n(rows),
        d(features),
        stride(features + 3),
        values(at((rows + 1) * stride), std::numeric_limits<T>::quiet_NaN()) {}
  T& operator()(std::int64_t i, std::int64_t j) { return values[at(i * stride + j + 1)]; }
  T operator()(std::int64_t i, std::int64_t j) const { return values[at(i * stride + j + 1)]; }

  std::int64_t n, d, stride;
  std::vector<T> values;
};

template <class T>
Rows<T> make_rows(std::int64_t n, std::int64_t d) {
  Draws draws(static_cast<std::uint64_t>(1000 * n + d));
  Rows<T> rows(n, d);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < d; ++j) {
      const double scale = std::ldexp(1.0, static_cast<int>(j * 7 % 41) - 20);
      rows(i, j) = static_cast<T>((100.0 + draws.normal()) * scale);
    }
  }
  return rows;
}

template <class T>
std::vector<T> make_weights(std::int64_t n) {
  Draws draws(7);
  std::vector<T> weights;
  for (std::int64_t i = 0; i < n; ++i) {
    weights.push_back(i % 5 == 3 ? T{0} : static_cast<T>(draws.uniform(0.0, 2.0)));
  }
  return weights;
}

struct Scanned {
  std::vector<double> minimum, maximum, sums;
  std::vector<std::int64_t> bad_cell;
};

class Scan : public CudaTest {
 protected:
  template <class T>
  Scanned scan(const Rows<T>& rows, const std::vector<T>& weights, bool weightless = true,
               std::int64_t* n_missing = nullptr) {
    const std::int64_t blocks = (rows.n + kBlockRows - 1) / kBlockRows;
    const auto device_rows = to_device(rows.values);
    const auto device_weights = to_device(weights);
    auto minimum = blank<double>(blocks * rows.d + kMargin);
    auto maximum = blank<double>(blocks * rows.d + kMargin);
    auto sums = blank<double>(2 * blocks * rows.d + kMargin);
    auto bad_cell = to_device(std::vector<std::int64_t>(at(blocks + kMargin), 77));
    scan_columns(backend(), device_rows.data() + 1, rows.n, rows.d, rows.stride,
                 weights.empty() ? nullptr : device_weights.data(),
                 {minimum.data(), maximum.data(), sums.data(), bad_cell.data(), n_missing},
                 weightless);
    Scanned found{to_host(minimum), to_host(maximum), to_host(sums), to_host(bad_cell)};
    for (auto* values : {&found.minimum, &found.maximum, &found.sums}) {
      for (std::int64_t i = 0; i < kMargin; ++i) {
        EXPECT_TRUE(std::isnan(values->back()));
        values->pop_back();
      }
    }
    for (std::int64_t i = 0; i < kMargin; ++i) {
      EXPECT_EQ(found.bad_cell.back(), 77);
      found.bad_cell.pop_back();
    }
    return found;
  }

  // A block's record from loops over its cells.
  template <class T>
  static void expect_block(const Rows<T>& rows, const std::vector<T>& weights, std::int64_t block,
                           const Scanned& found, bool weightless) {
    const std::int64_t first = block * kBlockRows, d = rows.d;
    const std::int64_t end = std::min(first + kBlockRows, rows.n);
    std::int64_t bad_cell = -1;
    for (std::int64_t i = first; i < end && bad_cell < 0; ++i) {
      for (std::int64_t j = 0; j < d && bad_cell < 0; ++j) {
        if (!std::isfinite(rows(i, j))) bad_cell = (i - first) * d + j;
      }
    }
    EXPECT_EQ(found.bad_cell[at(block)], bad_cell);
    for (std::int64_t j = 0; j < d; ++j) {
      double low = kInfinity, high = -kInfinity;
      Real sum = 0, weight = 0, size = 0;
      for (std::int64_t i = first; i < end; ++i) {
        const auto value = static_cast<double>(rows(i, j));
        if (!std::isfinite(value)) continue;
        const Real share = weights.empty() ? Real{1} : static_cast<Real>(weights[at(i)]);
        if (weightless || share != 0) {
          low = std::min(low, value);
          high = std::max(high, value);
        }
        sum += share * value;
        size += std::abs(share * value);
        weight += share;
      }
      EXPECT_EQ(found.minimum[at(block * d + j)], low);
      EXPECT_EQ(found.maximum[at(block * d + j)], high);
      // At most kBlockRows additions one after another.
      const Real unit = static_cast<Real>(kBlockRows) * std::numeric_limits<double>::epsilon();
      EXPECT_LE(std::abs(found.sums[at(2 * block * d + j)] - sum), unit * size);
      EXPECT_LE(std::abs(found.sums[at(2 * block * d + d + j)] - weight), unit * weight);
    }
  }

  template <class T>
  void expect_records(const Rows<T>& rows, const std::vector<T>& weights) {
    SCOPED_TRACE(std::to_string(rows.n) + " x " + std::to_string(rows.d));
    for (const bool weightless : {true, false}) {
      const Scanned found = scan(rows, weights, weightless);
      for (std::int64_t block = 0; block * kBlockRows < rows.n; ++block) {
        expect_block(rows, weights, block, found, weightless);
      }
    }
  }
};

// NaN is left out and counted; an infinity stays bad.
TEST_F(Scan, MissingValuesAreCountedAndNotBad) {
  for (const std::int64_t d : {1, 3, 40}) {
    constexpr std::int64_t n = 2100;
    Rows<float> rows = make_rows<float>(n, d);
    std::int64_t expected = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = i % 3; j < d; j += 4) {
        rows(i, j) = std::numeric_limits<float>::quiet_NaN();
        ++expected;
      }
    }
    rows(1500, d - 1) = std::numeric_limits<float>::infinity();
    expected -= (d - 1) % 4 == 0 ? 1 : 0;  // 1500 % 3 is 0
    const auto n_missing = to_device(std::vector<std::int64_t>{10});
    const Scanned found = scan(rows, {}, true, n_missing.data());
    EXPECT_EQ(to_host(n_missing).front(), 10 + expected);
    EXPECT_EQ(found.bad_cell, (std::vector<std::int64_t>{-1, (1500 - kBlockRows) * d + d - 1, -1}));
    // The rest is that of the values that are there.
    Scanned plain = scan(rows, {});
    EXPECT_EQ(found.minimum, plain.minimum);
    EXPECT_EQ(found.maximum, plain.maximum);
    EXPECT_EQ(found.sums, plain.sums);
    for (std::int64_t block = 0; block < 3; ++block) expect_block(rows, {}, block, plain, true);
  }
}

TEST_F(Scan, IsRangeAndSumsOfEveryBlock) {
  for (const std::int64_t n : {1, 7, 8, 9, 255, 256, 257, 1023, 1024, 1025, 2500}) {
    expect_records(make_rows<float>(n, 3), {});
    expect_records(make_rows<double>(n, 1), make_weights<double>(n));
    expect_records(make_rows<float>(n, 33), make_weights<float>(n));
  }
  for (const std::int64_t d : {2, 4, 5, 16, 17, 31, 32, 63, 64, 65, 100}) {
    expect_records(make_rows<double>(70, d), make_weights<double>(70));
  }
}

TEST_F(Scan, NamesTheFirstBadCellInRowMajorOrder) {
  for (const std::int64_t d : {1, 3, 40, 70}) {
    for (const double bad : {std::nan(""), kInfinity, -kInfinity}) {
      Rows<float> rows = make_rows<float>(2100, d);
      // Block 0: the first row counts, then the column. Block 1: none. Block 2: the last cell.
      rows(900, 0) = static_cast<float>(bad);
      rows(300, d - 1) = static_cast<float>(bad);
      rows(300, d / 2) = static_cast<float>(bad);
      rows(301, 0) = static_cast<float>(bad);
      rows(2099, d - 1) = static_cast<float>(bad);
      expect_records(rows, {});
    }
  }
}

TEST_F(Scan, KnowsAFeatureWithoutValues) {
  Rows<float> rows = make_rows<float>(1030, 2);
  for (std::int64_t i = 0; i < rows.n; ++i) rows(i, 1) = std::nanf("");
  const Scanned found = scan(rows, {});
  EXPECT_EQ(found.minimum[1], kInfinity);
  EXPECT_EQ(found.maximum[1], -kInfinity);
  EXPECT_EQ(found.sums[1], 0.0);
  EXPECT_EQ(found.sums[3], 0.0);
  expect_records(rows, {});
}

TEST_F(Scan, DoesNotOverflowInDouble) {
  Rows<float> rows = make_rows<float>(1024, 2);
  for (std::int64_t i = 0; i < rows.n; ++i) rows(i, 0) = std::numeric_limits<float>::max();
  EXPECT_EQ(scan(rows, {}).sums[0], 1024.0 * std::numeric_limits<float>::max());
}

TEST_F(Scan, TakesNoRows) { EXPECT_TRUE(scan(Rows<float>(0, 3), {}).bad_cell.empty()); }

TEST_F(Scan, IsTheSameBitsTwice) {
  const Rows<float> rows = make_rows<float>(1500, 33);
  const std::vector<float> weights = make_weights<float>(1500);
  EXPECT_EQ(scan(rows, weights).sums, scan(rows, weights).sums);
}

TEST_F(Scan, GathersRows) {
  const Rows<float> rows = make_rows<float>(300, 5);
  const std::vector<std::int64_t> index = {299, 0, 17, 17, 256};
  const auto device_rows = to_device(rows.values);
  const auto device_index = to_device(index);
  auto out = blank<float>(25 + kMargin);
  gather_rows(backend(), device_rows.data() + 1, rows.stride, 5, device_index.data(), 5,
              out.data());
  const std::vector<float> found = to_host(out);
  for (std::int64_t i = 0; i < 5; ++i) {
    for (std::int64_t j = 0; j < 5; ++j) {
      EXPECT_EQ(found[at(i * 5 + j)], rows(index[at(i)], j)) << i << ' ' << j;
    }
  }
  for (std::int64_t i = 0; i < kMargin; ++i) EXPECT_TRUE(std::isnan(found[at(25 + i)]));
  gather_rows(backend(), device_rows.data() + 1, rows.stride, 5, device_index.data(), 0,
              static_cast<float*>(nullptr));
}

// Records as a scan leaves them, merged in two calls. Sums are of integers, so exact.
TEST_F(Scan, MergesRecordsOfAnyBlocksAndColumns) {
  for (const std::int64_t d : {1, 31, 32, 33, 70}) {
    for (const std::int64_t n_blocks : {1, 7, 8, 9, 300}) {
      for (const std::int64_t bad_block : {std::int64_t{-1}, std::int64_t{0}, n_blocks - 1}) {
        const std::string what =
            std::to_string(d) + " " + std::to_string(n_blocks) + " " + std::to_string(bad_block);
        Draws draws(static_cast<std::uint64_t>(d * 1000 + n_blocks));
        std::vector<double> minimum, maximum, sums;
        std::vector<std::int64_t> bad_cell(at(n_blocks), -1);
        for (std::int64_t i = 0; i < n_blocks * d; ++i) {
          const double value = draws.normal();
          minimum.push_back(i % 11 == 3 ? kInfinity : value);
          maximum.push_back(i % 11 == 3 ? -kInfinity : value + 1.0);
        }
        for (std::int64_t i = 0; i < 2 * n_blocks * d; ++i) {
          sums.push_back(std::floor(1e9 * draws.normal()));
        }
        for (std::int64_t b = std::max<std::int64_t>(bad_block, 0); b < n_blocks && bad_block >= 0;
             ++b) {
          bad_cell[at(b)] = 5 * d + b % d;
        }
        const auto minima = to_device(minimum), maxima = to_device(maximum),
                   partials = to_device(sums);
        const auto bad = to_device(bad_cell);
        const auto least = to_device(std::vector<double>(at(d), kInfinity));
        const auto greatest = to_device(std::vector<double>(at(d), -kInfinity));
        const auto first = to_device(std::vector<std::int64_t>{-1});
        DeviceArray<DeviceSum> total(backend().device, 2 * d, "test");
        total.fill_zero();
        const auto rounded = blank<double>(2 * d);
        const DeviceScanTotals totals{least.data(), greatest.data(), total.data(), first.data()};
        const std::int64_t half = n_blocks / 2;
        for (const auto& [begin, end] :
             {std::pair(half, n_blocks), std::pair(std::int64_t{0}, half)}) {
          merge_scans(backend(),
                      {minima.data() + begin * d, maxima.data() + begin * d,
                       partials.data() + begin * 2 * d, bad.data() + begin},
                      end - begin, d, begin * kBlockRows, totals);
        }
        round_sums(backend(), total.data(), 2 * d, rounded.data());

        const auto found_least = to_host(least), found_greatest = to_host(greatest);
        const auto found_sums = to_host(rounded);
        for (std::int64_t j = 0; j < d; ++j) {
          double low = kInfinity, high = -kInfinity;
          for (std::int64_t b = 0; b < n_blocks; ++b) {
            low = std::min(low, minimum[at(b * d + j)]);
            high = std::max(high, maximum[at(b * d + j)]);
          }
          ASSERT_EQ(found_least[at(j)], low) << what;
          ASSERT_EQ(found_greatest[at(j)], high) << what;
        }
        for (std::int64_t j = 0; j < 2 * d; ++j) {
          double sum = 0.0;
          for (std::int64_t b = 0; b < n_blocks; ++b) sum += sums[at(b * 2 * d + j)];
          ASSERT_EQ(found_sums[at(j)], sum) << what;
        }
        const std::int64_t expected =
            bad_block < 0 ? -1 : (bad_block * kBlockRows + 5) * d + bad_block % d;
        ASSERT_EQ(to_host(first).front(), expected) << what;
      }
    }
  }
}

}  // namespace
}  // namespace culatent
