#include "kernels/cuda/exact_sums.hpp"

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <random>

#include "host/exact_sums.hpp"
#include "tests/cuda/cuda_test.hpp"

namespace culatent {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Records of `size` values, `stride` apart; what lies between two records is NaN.
template <class T>
struct Records {
  Records(std::int64_t n_records, std::int64_t row, std::int64_t padding)
      : n_blocks(n_records), size(row), stride(row + padding) {
    values.assign(at(n_blocks * stride), std::numeric_limits<T>::quiet_NaN());
  }
  T& operator()(std::int64_t b, std::int64_t i) { return values[at(b * stride + i)]; }

  std::int64_t n_blocks, size, stride;
  std::vector<T> values;
};

template <class T>
class CudaExactSums : public CudaTest {
 protected:
  /// The sums over all records, `step` records a call.
  std::vector<double> sums_of(const Records<T>& records, std::int64_t step) {
    const DeviceArray<T> partials = to_device(records.values);
    DeviceArray<DeviceSum> sums = to_device(std::vector<DeviceSum>(at(records.size)));
    for (std::int64_t first = 0; first < records.n_blocks; first += step) {
      add_partials(backend(), partials.data() + first * records.stride,
                   std::min(step, records.n_blocks - first), records.stride, records.size,
                   sums.data());
    }
    DeviceArray<double> values = blank<double>(records.size + 1);
    round_sums(backend(), sums.data(), records.size, values.data());
    std::vector<double> result = to_host(values);
    EXPECT_TRUE(std::isnan(result.back()));
    result.pop_back();
    return result;
  }
  std::vector<double> sums_of(const Records<T>& records) {
    return sums_of(records, std::max<std::int64_t>(records.n_blocks, 1));
  }

  std::vector<double> on_host(const Records<T>& records) {
    ExactSums sums(records.size);
    for (std::int64_t b = 0; b < records.n_blocks; ++b) {
      const auto first = records.values.begin() + b * records.stride;
      const std::vector<double> row(first, first + records.size);
      sums.add(row);
    }
    std::vector<double> result(at(records.size));
    sums.round(result);
    return result;
  }

  /// Signs and magnitudes at random, 2^low … 2^high.
  void fill(Records<T>& records, int low, int high, unsigned seed) {
    std::mt19937_64 engine(seed);
    std::uniform_real_distribution<double> digits(-1.0, 1.0);
    std::uniform_int_distribution<int> exponents(low, high);
    for (std::int64_t b = 0; b < records.n_blocks; ++b) {
      for (std::int64_t i = 0; i < records.size; ++i) {
        records(b, i) = static_cast<T>(std::ldexp(digits(engine), exponents(engine)));
      }
    }
  }
};

std::vector<std::uint64_t> bits_of(const std::vector<double>& values) {
  std::vector<std::uint64_t> bits;
  for (const double value : values) bits.push_back(std::bit_cast<std::uint64_t>(value));
  return bits;
}

using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaExactSums, Types);

TYPED_TEST(CudaExactSums, HaveTheBitsOfTheHosts) {
  const int least = std::numeric_limits<TypeParam>::min_exponent - 30;  // subnormals and zeros
  const int most = std::numeric_limits<TypeParam>::max_exponent - 1;
  const struct {
    int low, high;
  } ranges[] = {{0, 1},        {-20, 20},           {-70, 70},
                {least, most}, {least, least + 40}, {most - 40, most}};
  const struct {
    std::int64_t n_blocks, size;
  } shapes[] = {{1, 1}, {2, 7}, {31, 8}, {32, 9}, {33, 31}, {257, 33}, {100, 1}};
  unsigned seed = 0;
  for (const auto& range : ranges) {
    for (const auto& shape : shapes) {
      Records<TypeParam> records(shape.n_blocks, shape.size, 3);
      this->fill(records, range.low, range.high, ++seed);
      EXPECT_EQ(bits_of(this->sums_of(records)), bits_of(this->on_host(records)))
          << "2^" << range.low << " to 2^" << range.high << ", " << shape.n_blocks << " records of "
          << shape.size;
    }
  }
}

TYPED_TEST(CudaExactSums, HaveTheBitsOfTheHostsWhenThereAreMany) {
  const std::int64_t size = 64 * this->backend().device.n_multiprocessors() + 5;
  Records<TypeParam> records(11, size, 0);
  this->fill(records, -40, 40, 99);
  EXPECT_EQ(bits_of(this->sums_of(records)), bits_of(this->on_host(records)));
}

// Whole numbers below 2^digits, whose sum 128 bits hold.
TYPED_TEST(CudaExactSums, LoseNothing) {
  Records<TypeParam> records(3000, 5, 1);
  std::mt19937_64 engine(5);
  std::vector<__int128> exact(5, 0);
  for (std::int64_t b = 0; b < records.n_blocks; ++b) {
    for (std::int64_t i = 0; i < records.size; ++i) {
      const int unused = 64 - std::numeric_limits<TypeParam>::digits;
      auto whole = static_cast<std::int64_t>(engine() >> unused) * (engine() % 2 == 0 ? 1 : -1);
      // The last record cancels all but a few digits of the first.
      if (b == records.n_blocks - 1) whole = -static_cast<std::int64_t>(records(0, i)) + 3;
      records(b, i) = static_cast<TypeParam>(whole);
      exact[at(i)] += whole;
    }
  }
  const std::vector<double> sums = this->sums_of(records);
  for (std::int64_t i = 0; i < records.size; ++i) {
    EXPECT_EQ(sums[at(i)], static_cast<double>(exact[at(i)]));
  }
}

TYPED_TEST(CudaExactSums, DoNotDependOnTheSplitOrTheOrder) {
  Records<TypeParam> records(130, 40, 2);
  this->fill(records, -50, 50, 17);
  const auto expected = bits_of(this->sums_of(records));
  for (const std::int64_t step : {1, 7, 64}) {
    EXPECT_EQ(bits_of(this->sums_of(records, step)), expected) << step;
  }
  Records<TypeParam> reversed = records;
  for (std::int64_t b = 0; b < records.n_blocks; ++b) {
    for (std::int64_t i = 0; i < records.size; ++i) {
      reversed(b, i) = records(records.n_blocks - 1 - b, i);
    }
  }
  EXPECT_EQ(bits_of(this->sums_of(reversed)), expected);
}

TYPED_TEST(CudaExactSums, CarryNaNAndInfinity) {
  constexpr auto kInfinity = std::numeric_limits<TypeParam>::infinity();
  constexpr auto kNaN = std::numeric_limits<TypeParam>::quiet_NaN();
  constexpr auto kMost = std::numeric_limits<TypeParam>::max();
  const std::vector<std::vector<TypeParam>> columns = {{kNaN, 1, 2},
                                                       {1, kNaN, -kInfinity},
                                                       {kInfinity, 1, -kMost},
                                                       {1, -kInfinity, 3},
                                                       {1, 2, kInfinity},
                                                       {kInfinity, 1, -kInfinity},
                                                       {-kInfinity, -1, -kNaN},
                                                       {-kInfinity, 1, -kInfinity}};
  Records<TypeParam> records(3, static_cast<std::int64_t>(columns.size()), 0);
  for (std::int64_t b = 0; b < 3; ++b) {
    for (std::int64_t i = 0; i < records.size; ++i) records(b, i) = columns[at(i)][at(b)];
  }
  for (const std::int64_t step : {1, 2, 3}) {
    const std::vector<double> sums = this->sums_of(records, step);
    for (std::int64_t i = 0; i < records.size; ++i) {
      double plain = 0.0;
      for (const TypeParam value : columns[at(i)]) plain += static_cast<double>(value);
      EXPECT_TRUE(sums[at(i)] == plain || (std::isnan(sums[at(i)]) && std::isnan(plain)))
          << i << ": " << sums[at(i)];
    }
  }
}

TYPED_TEST(CudaExactSums, AreZeroWithoutRecords) {
  EXPECT_EQ(this->sums_of(Records<TypeParam>(0, 3, 0)), (std::vector<double>{0.0, 0.0, 0.0}));
}

class CudaRoundSums : public CudaTest {};

TEST_F(CudaRoundSums, GoesToTheNearestAndToEven) {
  const std::vector<std::vector<double>> columns = {
      {1.0, DBL_EPSILON / 2, 0.0},                // a tie
      {1.0, DBL_EPSILON / 2, 0x1p-60},            // just above it
      {1.0 + DBL_EPSILON, DBL_EPSILON / 2, 0.0},  // a tie, the other way
      {-1.0, -DBL_EPSILON / 2, -0x1p-60},
      {0.1, 0.2, -0.3},  // their exact values leave 2^-55
      {DBL_MAX, DBL_MAX, -DBL_MAX},
      {DBL_MAX, DBL_MAX, 0.0},
      {0x1p-1074, 0x1p-1074, 0x1p-1074},
      {DBL_MIN, -0x1p-1074, 0.0},
      {-0.0, -0.0, 0.0}};
  const std::vector<double> expected = {
      1.0,     1.0 + DBL_EPSILON, 1.0 + 2 * DBL_EPSILON, -1.0 - DBL_EPSILON,  0x1p-55,
      DBL_MAX, HUGE_VAL,          3 * 0x1p-1074,         DBL_MIN - 0x1p-1074, 0.0};
  const auto size = static_cast<std::int64_t>(columns.size());
  std::vector<double> partials;
  for (std::size_t b = 0; b < 3; ++b) {
    for (const auto& column : columns) partials.push_back(column[b]);
  }
  const DeviceArray<double> records = to_device(partials);
  const DeviceArray<DeviceSum> sums = to_device(std::vector<DeviceSum>(columns.size()));
  const DeviceArray<double> values = blank<double>(size);
  add_partials(backend(), records.data(), 3, size, size, sums.data());
  round_sums(backend(), sums.data(), size, values.data());
  EXPECT_EQ(to_host(values), expected);
}

}  // namespace
}  // namespace culatent
