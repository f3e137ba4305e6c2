#include "kernels/cuda/gaussian_mixture_moments.hpp"
#include "tests/cuda/cuda_test.hpp"
#include "tests/cuda/mixture_rows.hpp"

namespace culatent::gaussian_mixture {
namespace {

enum class Arm { tensor, fma, chosen };
constexpr Precision kPrecisions[] = {Precision::fp32, Precision::fast};

class CudaMomentsTensor : public CudaTest {
 protected:
  /// The tails, or nothing where there are no tensor cores.
  std::vector<float> run(const MixtureRows<float>& c, Precision precision, Arm arm = Arm::tensor) {
    const Layout layout(Covariance::full, c.n_components, c.d);
    const std::int64_t record = layout.size - layout.sums;
    const auto x = to_device(c.x);
    const auto scale = to_device(c.scale);
    const auto offset = to_device(c.offset);
    const auto shifts = to_device(c.shifts);
    const auto q = to_device(c.q);
    const auto tails = blank<float>(c.n_blocks() * record + 1);
    DeviceParameters<float> parameters;
    parameters.n_components = c.n_components;
    parameters.n_features = c.d;
    parameters.shifts = shifts.data();
    const DeviceRows<float> rows{x.data() + c.skip, nullptr, c.n, c.d, c.stride};
    const DeviceFrame<float> frame{scale.data(), offset.data()};
    const DeviceResponsibilities<float> resp{q.data(), c.resp_stride};
    const DevicePartials<float> partials{nullptr, tails.data(), nullptr};
    if (arm == Arm::fma) {
      add_full_moments(backend(), rows, frame, parameters, resp, partials);
    } else if (arm == Arm::chosen) {
      add_moments(backend(), rows, frame, parameters, resp, false, partials, precision);
    } else if (!add_moments_tensor(backend(), rows, frame, parameters, resp, precision, partials)) {
      return {};
    }
    std::vector<float> result = to_host(tails);
    EXPECT_TRUE(std::isnan(result.back()));
    result.pop_back();
    return result;
  }

  // Beside the rounding of √q z: what splitting loses of every product, what tensor cores cut off
  // sums (2^-23 each time, of partial sums that are no larger than the sum of magnitudes), and the
  // roundings of additions.
  static Real square_bound(Real n_rows, Precision precision, Real magnitude) {
    const Real split = precision == Precision::fast ? 3 * 0x1p-16L : 5 * 0x1p-22L;
    const Real cuts = precision == Precision::fast ? 3 * (n_rows / 16 + 1) : 3;
    const Real additions = precision == Precision::fast ? 0 : n_rows / 8 + 1;
    return (split + cuts * 0x1p-23L + (additions + 8) * 0x1p-24L) * magnitude;
  }

  void expect_moments(const MixtureRows<float>& c, Precision precision,
                      const std::vector<float>& tails) {
    const Layout layout(Covariance::full, c.n_components, c.d);
    for (std::int64_t b = 0; b < c.n_blocks(); ++b) {
      const float* record = tails.data() + b * (layout.size - layout.sums);
      const auto n_rows = static_cast<Real>(c.end(b) - b * kBlockRows);
      for (std::int64_t k = 0; k < c.n_components; ++k) {
        const float* square = record + (layout.squares - layout.sums) + k * (c.d * (c.d + 1) / 2);
        for (std::int64_t i = 0; i < c.d; ++i) {
          Real sum = 0, size = 0;
          for (std::int64_t row = b * kBlockRows; row < c.end(b); ++row) {
            const Real term = c.share(k, row) * (c.framed(row, i) - c.shift(k, i));
            sum += term;
            size += std::abs(term);
          }
          ASSERT_LE(std::abs(record[k * c.d + i] - sum), (n_rows + 8) * 0x1p-24L * size)
              << "sum of block " << b << ", component " << k << ", feature " << i;
          for (std::int64_t j = 0; j <= i; ++j) {
            Real expected = 0, magnitude = 0;
            for (std::int64_t row = b * kBlockRows; row < c.end(b); ++row) {
              const Real term = c.share(k, row) * (c.framed(row, i) - c.shift(k, i)) *
                                (c.framed(row, j) - c.shift(k, j));
              expected += term;
              magnitude += std::abs(term);
            }
            ASSERT_LE(std::abs(square[i * (i + 1) / 2 + j] - expected),
                      square_bound(n_rows, precision, magnitude))
                << "square of block " << b << ", component " << k << ", features " << i << ", "
                << j;
          }
        }
      }
    }
  }

  void check(const Shape& shape, double distance = 0.0) {
    for (const Precision precision : kPrecisions) {
      SCOPED_TRACE(testing::Message()
                   << shape << (precision == Precision::fast ? ", fast" : ", fp32"));
      const MixtureRows<float> c(shape, shape.n_rows % 2 == 0, distance,
                                 static_cast<unsigned>(shape.n_rows * 37 + shape.n_features));
      const std::vector<float> tails = run(c, precision);
      if (tails.empty()) GTEST_SKIP() << "no tensor cores";
      expect_moments(c, precision, tails);
    }
  }
};

// Edges of groups of 8 and 16 features, of squares, of halves below the diagonal; of chunks of 8
// and 16 rows, tiles of 32, blocks; and of the four components of a block of threads.
TEST_F(CudaMomentsTensor, AreTheSums) {
  for (const Shape& shape :
       {Shape{1, 1, 1},      Shape{2, 8, 5},      Shape{7, 16, 4, 4},   Shape{8, 17, 3},
        Shape{15, 31, 2, 1}, Shape{16, 32, 9},    Shape{17, 33, 4, 3},  Shape{31, 40, 3},
        Shape{32, 63, 2},    Shape{33, 64, 5, 4}, Shape{64, 65, 3},     Shape{65, 72, 2, 0, 1},
        Shape{20, 100, 3},   Shape{9, 128, 1},    Shape{12, 130, 5, 2}, Shape{5, 200, 2},
        Shape{1023, 20, 2},  Shape{1024, 36, 1},  Shape{1025, 12, 3},   Shape{2100, 9, 2, 3}}) {
    check(shape);
  }
}

TEST_F(CudaMomentsTensor, KeepTheirDigitsFarFromTheCentre) { check({600, 40, 2}, 1e4); }

// Rows that a component has no share in are skipped, many at a time or few.
TEST_F(CudaMomentsTensor, OfFewRowsAreTheSums) {
  for (const Precision precision : kPrecisions) {
    MixtureRows<float> c({500, 33, 4}, false, 0.0, 3);
    for (std::int64_t row = 0; row < c.n; ++row) {
      for (std::int64_t k = 0; k < 4; ++k) {
        const bool keep = k == 0   ? row == 499
                          : k == 1 ? row % 47 == 0
                                   : k == 2 && row / 16 % 3 == 1;
        c.q[c.at(k * c.resp_stride + row)] = keep ? 0.75f : 0.0f;
      }
    }
    const std::vector<float> tails = run(c, precision);
    if (tails.empty()) GTEST_SKIP() << "no tensor cores";
    expect_moments(c, precision, tails);
  }
}

TEST_F(CudaMomentsTensor, DependOnTheirRowsAloneAndHaveTheSameBitsTwice) {
  const MixtureRows<float> whole({1300, 36, 3}, true, 0.0, 4);
  MixtureRows<float> part = whole;
  part.n -= kBlockRows;
  part.x.erase(part.x.begin(), part.x.begin() + kBlockRows * part.stride);
  part.q.erase(part.q.begin(), part.q.begin() + kBlockRows);
  for (const Precision precision : kPrecisions) {
    const std::vector<float> all = run(whole, precision);
    if (all.empty()) GTEST_SKIP() << "no tensor cores";
    EXPECT_EQ(run(whole, precision), all);
    const std::vector<float> second = run(part, precision);
    EXPECT_TRUE(std::equal(second.begin(), second.end(), all.begin() + all.size() / 2));
  }
}

TEST_F(CudaMomentsTensor, AreChosenForManyFeatures) {
  for (const Precision precision : kPrecisions) {
    for (const std::int64_t d : {16, 24, 25, 64}) {
      const MixtureRows<float> c({50, d, 2}, false, 0.0, 7);
      const std::vector<float> tensor = run(c, precision);
      if (tensor.empty()) GTEST_SKIP() << "no tensor cores";
      const std::vector<float> fma = run(c, precision, Arm::fma);
      EXPECT_NE(tensor, fma) << d;
      const bool pays = d > (precision == Precision::fast ? 16 : 24);
      EXPECT_EQ(run(c, precision, Arm::chosen), pays ? tensor : fma) << d;
    }
  }
}

TEST_F(CudaMomentsTensor, OfNoRowsWriteNothing) {
  for (const Precision precision : kPrecisions) {
    EXPECT_TRUE(run(MixtureRows<float>({0, 20, 2}, false, 0.0, 1), precision).empty());
  }
}

}  // namespace
}  // namespace culatent::gaussian_mixture
