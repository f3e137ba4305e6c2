#include "kernels/cuda/gaussian_mixture_moments.hpp"

#include <string>

#include "tests/cuda/cuda_test.hpp"
#include "tests/cuda/mixture_rows.hpp"

namespace culatent::gaussian_mixture {
namespace {

template <class T>
class CudaMoments : public CudaTest {
 protected:
  struct Result {
    std::vector<double> counts;  // [n_blocks, K]
    std::vector<double> tails;   // [n_blocks, record]
    std::vector<T> narrow;       // the same as they were written, not for tied
    std::int64_t record = 0, squares = 0;
  };

  Result run(const MixtureRows<T>& c, Covariance covariance, bool weighted, bool scatter) {
    const Layout layout(covariance, c.n_components, c.d);
    const std::int64_t record = layout.size - layout.sums;
    const std::int64_t n_blocks = c.n_blocks();
    const auto x = this->to_device(c.x);
    const auto weights = this->to_device(c.weights);
    const auto scale = this->to_device(c.scale);
    const auto offset = this->to_device(c.offset);
    const auto shifts = this->to_device(c.shifts);
    const auto q = this->to_device(c.q);
    const auto heads = this->template blank<double>(n_blocks * layout.sums);
    const auto tails = this->template blank<T>(n_blocks * record + 1);
    const auto wide_tails = this->template blank<double>(n_blocks * record + 1);
    DeviceParameters<T> parameters;
    parameters.covariance = covariance;
    parameters.n_components = c.n_components;
    parameters.n_features = c.d;
    parameters.shifts = shifts.data();
    const DeviceRows<T> rows{x.data() + c.skip, weighted ? weights.data() : nullptr, c.n, c.d,
                             c.stride};
    const DeviceFrame<T> frame{scale.data(), offset.data()};
    const DevicePartials<T> partials{heads.data(), tails.data(), wide_tails.data()};
    if (covariance == Covariance::full) {  // by FMA, whatever the device has
      add_full_moments<T>(this->backend(), rows, frame, parameters, {q.data(), c.resp_stride},
                          partials);
    } else {
      add_moments<T>(this->backend(), rows, frame, parameters, {q.data(), c.resp_stride}, scatter,
                     partials);
    }
    Result result;
    result.record = record;
    result.squares = layout.squares - layout.sums;
    const std::vector<double> all_heads = this->to_host(heads);
    result.narrow = this->to_host(tails);
    const bool tied = covariance == Covariance::tied;
    for (std::int64_t b = 0; b < n_blocks; ++b) {
      for (std::int64_t i = 0; i < layout.sums; ++i) {
        const double value = all_heads[c.at(b * layout.sums + i)];
        if (i >= layout.counts && tied) {
          result.counts.push_back(value);
        } else {
          EXPECT_TRUE(std::isnan(value)) << "head " << i << " is not this step's";
        }
      }
    }
    const std::vector<double> wide = this->to_host(wide_tails);
    result.tails = tied ? wide : std::vector<double>(result.narrow.begin(), result.narrow.end());
    EXPECT_TRUE(std::isnan(wide.back()));
    EXPECT_TRUE(std::isnan(result.narrow.back()));
    EXPECT_TRUE(std::isnan(tied ? static_cast<double>(result.narrow.front()) : wide.front()));
    return result;
  }

  // A sum of n rounded products, added one by one in precision u, is off by at most (n + c) u times
  // the sum of magnitudes: here c = 8 for the product's own few roundings (√q twice).
  static Real bound(const MixtureRows<T>& c, std::int64_t block, Real magnitude, bool wide) {
    const Real u = wide ? static_cast<Real>(std::numeric_limits<double>::epsilon()) / 2
                        : static_cast<Real>(std::numeric_limits<T>::epsilon()) / 2;
    return (static_cast<Real>(c.end(block) - block * kBlockRows) + 8) * u * magnitude;
  }

  void expect_moments(const MixtureRows<T>& c, Covariance covariance, const Result& result) {
    for (std::int64_t b = 0; b < c.n_blocks(); ++b) {
      const double* record = result.tails.data() + b * result.record;
      for (std::int64_t k = 0; k < c.n_components; ++k) {
        for (std::int64_t i = 0; i < c.d; ++i) {
          Real sum = 0, magnitude = 0;
          for (std::int64_t row = b * kBlockRows; row < c.end(b); ++row) {
            const Real term = c.share(k, row) * (c.framed(row, i) - c.shift(k, i));
            sum += term;
            magnitude += std::abs(term);
          }
          ASSERT_LE(std::abs(record[k * c.d + i] - sum), bound(c, b, magnitude, false))
              << "sum of block " << b << ", component " << k << ", feature " << i;
          const bool full = covariance == Covariance::full;
          for (std::int64_t j = full ? 0 : i; j <= i; ++j) {
            Real square = 0, size = 0;
            for (std::int64_t row = b * kBlockRows; row < c.end(b); ++row) {
              const Real term = c.share(k, row) * (c.framed(row, i) - c.shift(k, i)) *
                                (c.framed(row, j) - c.shift(k, j));
              square += term;
              size += std::abs(term);
            }
            const std::int64_t at =
                full ? k * (c.d * (c.d + 1) / 2) + i * (i + 1) / 2 + j : k * c.d + i;
            ASSERT_LE(std::abs(record[result.squares + at] - square), bound(c, b, size, false))
                << "square of block " << b << ", component " << k << ", features " << i << ", "
                << j;
          }
        }
      }
    }
  }

  void expect_tied(const MixtureRows<T>& c, bool scatter, const Result& result) {
    for (std::int64_t b = 0; b < c.n_blocks(); ++b) {
      const double* record = result.tails.data() + b * result.record;
      const auto first = b * kBlockRows;
      std::vector<Real> factor;
      for (std::int64_t row = first; row < c.end(b); ++row) {
        Real total = 0;
        for (std::int64_t k = 0; k < c.n_components; ++k) total += c.share(k, row);
        factor.push_back(total > 0 ? static_cast<Real>(c.weights[c.at(row)]) / total : 0);
      }
      for (std::int64_t k = 0; k < c.n_components; ++k) {
        Real count = 0;
        for (std::int64_t row = first; row < c.end(b); ++row) {
          count += c.share(k, row) * factor[c.at(row - first)];
        }
        ASSERT_LE(std::abs(result.counts[c.at(b * c.n_components + k)] - count),
                  bound(c, b, count, true) + static_cast<Real>(c.n_components) * 0x1p-53L * count);
        for (std::int64_t i = 0; i < c.d; ++i) {
          Real sum = 0, size = 0;
          for (std::int64_t row = first; row < c.end(b); ++row) {
            const Real term = c.share(k, row) * factor[c.at(row - first)] * c.framed(row, i);
            sum += term;
            size += std::abs(term);
          }
          // The factor is a quotient by a sum of K.
          ASSERT_LE(std::abs(record[k * c.d + i] - sum),
                    bound(c, b, size, true) + static_cast<Real>(c.n_components) * 0x1p-53L * size)
              << "sum of block " << b << ", component " << k << ", feature " << i;
        }
      }
      for (std::int64_t i = 0; i < c.d; ++i) {
        for (std::int64_t j = 0; j <= i; ++j) {
          const double actual = record[result.squares + i * (i + 1) / 2 + j];
          if (!scatter) {
            ASSERT_TRUE(std::isnan(actual)) << "nobody asked for the scatter";
            continue;
          }
          Real square = 0, size = 0;
          for (std::int64_t row = first; row < c.end(b); ++row) {
            const Real term =
                static_cast<Real>(c.weights[c.at(row)]) * c.framed(row, i) * c.framed(row, j);
            square += term;
            size += std::abs(term);
          }
          ASSERT_LE(std::abs(actual - square), bound(c, b, size, true))
              << "scatter of block " << b << ", features " << i << ", " << j;
        }
      }
    }
  }

  void check(const Shape& shape, Covariance covariance, bool weighted, double distance = 0.0) {
    SCOPED_TRACE(testing::Message() << shape << (weighted ? ", weighted" : ""));
    const MixtureRows<T> c(shape, weighted, distance,
                           static_cast<unsigned>(shape.n_rows * 31 + shape.n_features));
    const Result result = run(c, covariance, weighted, weighted);
    if (covariance == Covariance::tied) {
      expect_tied(c, weighted, result);
    } else {
      expect_moments(c, covariance, result);
    }
  }
};

using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaMoments, Types);

// One tile, one more, several components in a block of threads, a block in several components,
// corners of 16 x 16 tiles; rows that do and do not fill stages and blocks.
const Shape kFull[] = {{1, 1, 1},       {2, 1, 300},        {17, 2, 131, 1},   {33, 7, 5},
                       {16, 8, 3},      {15, 9, 4, 3},      {100, 16, 90},     {1023, 4, 2},
                       {1024, 5, 3, 2}, {1025, 8, 2, 0, 1}, {2050, 12, 3, 4},  {40, 33, 3},
                       {9, 64, 9},      {5, 130, 2, 2},     {3, 137, 1, 0, 3}, {2, 264, 1}};

TYPED_TEST(CudaMoments, OfFullComponentsAreTheSums) {
  for (const Shape& shape : kFull) this->check(shape, Covariance::full, shape.n_rows % 2 == 0);
}

const Shape kDiagonal[] = {{1, 1, 1},          {31, 1, 4},       {32, 2, 5},     {33, 3, 17, 1},
                           {100, 4, 129},      {65, 8, 130, 4},  {1023, 16, 32}, {1024, 17, 7, 3},
                           {1025, 5, 3, 0, 1}, {2500, 12, 2, 4}, {40, 64, 9},    {40, 65, 33, 3},
                           {7, 300, 2, 0, 2}};

TYPED_TEST(CudaMoments, OfDiagonalComponentsAreTheSums) {
  for (const Shape& shape : kDiagonal) {
    this->check(shape, Covariance::diagonal, shape.n_rows % 2 == 0);
  }
}

TYPED_TEST(CudaMoments, OfSphericalComponentsAreTheSums) {
  this->check({77, 6, 3}, Covariance::spherical, true);
  this->check({1025, 3, 5}, Covariance::spherical, false);
}

TYPED_TEST(CudaMoments, OfTiedComponentsAreTheSumsInDouble) {
  for (const Shape& shape : kDiagonal) {
    this->check(shape, Covariance::tied, shape.n_rows % 2 == 0);
  }
}

// Squares of the distances to the centre would lose all digits of a float here.
TYPED_TEST(CudaMoments, KeepTheirDigitsFarFromTheCentre) {
  for (const Covariance covariance : {Covariance::full, Covariance::diagonal}) {
    this->check({900, 7, 3}, covariance, false, 1e4);
  }
}

// What tied covariances are made of: responsibilities that are off by a rounding must not show.
TYPED_TEST(CudaMoments, OfTiedComponentsCancelDownToTheSpread) {
  const MixtureRows<TypeParam> c({700, 1, 6}, true, 1e3, 8);
  const auto result = this->run(c, Covariance::tied, true, true);
  Real within = result.tails[c.at(result.squares)];
  for (std::int64_t k = 0; k < c.n_components; ++k) {
    const Real count = result.counts[c.at(k)];
    within -= result.tails[c.at(k)] * (result.tails[c.at(k)] / count);
  }
  Real weight = 0, expected = 0;
  std::vector<Real> mean(6, 0), count(6, 0);
  for (int pass = 0; pass < 2; ++pass) {
    for (std::int64_t row = 0; row < c.n; ++row) {
      Real total = 0;
      for (std::int64_t k = 0; k < 6; ++k) total += c.share(k, row);
      if (!(total > 0)) continue;
      for (std::int64_t k = 0; k < 6; ++k) {
        const Real q = c.share(k, row) / total * static_cast<Real>(c.weights[c.at(row)]);
        if (pass == 0) {
          count[c.at(k)] += q;
          mean[c.at(k)] += q * c.framed(row, 0);
          weight += q;
        } else {
          const Real z = c.framed(row, 0) - mean[c.at(k)] / count[c.at(k)];
          expected += q * z * z;
        }
      }
    }
  }
  // Both halves are about weight 1e6; each is a sum of 700 products in double.
  EXPECT_NEAR(static_cast<double>(within / expected), 1.0,
              static_cast<double>(4 * 708 * 0x1p-53L * weight * 1e6L / expected));
}

TYPED_TEST(CudaMoments, HaveTheSameBitsTwice) {
  const MixtureRows<TypeParam> c({1100, 9, 5}, true, 0.0, 4);
  for (const Covariance covariance : {Covariance::full, Covariance::diagonal, Covariance::tied}) {
    const auto first = this->run(c, covariance, true, true);
    const auto second = this->run(c, covariance, true, true);
    for (std::size_t i = 0; i + 1 < first.tails.size(); ++i) {
      ASSERT_EQ(first.tails[i], second.tails[i]) << i;
    }
    EXPECT_EQ(first.counts, second.counts);
  }
}

// A record tells of its own rows only: the second block alone has the same bits.
TYPED_TEST(CudaMoments, OfABlockDoNotDependOnTheWave) {
  const MixtureRows<TypeParam> whole({1500, 9, 5}, true, 0.0, 4);
  MixtureRows<TypeParam> part = whole;
  part.n -= kBlockRows;
  part.x.erase(part.x.begin(), part.x.begin() + kBlockRows * part.stride);
  part.weights.erase(part.weights.begin(), part.weights.begin() + kBlockRows);
  part.q.erase(part.q.begin(), part.q.begin() + kBlockRows);
  for (const Covariance covariance : {Covariance::full, Covariance::diagonal, Covariance::tied}) {
    const auto all = this->run(whole, covariance, true, true);
    const auto second = this->run(part, covariance, true, true);
    for (std::int64_t i = 0; i < all.record; ++i) {
      ASSERT_EQ(all.tails[whole.at(all.record + i)], second.tails[whole.at(i)]) << i;
    }
  }
}

TYPED_TEST(CudaMoments, OfNoRowsWriteNothing) {
  for (const Covariance covariance : {Covariance::full, Covariance::diagonal, Covariance::tied}) {
    this->run(MixtureRows<TypeParam>({0, 3, 2}, false, 0.0, 1), covariance, false, true);
  }
}

}  // namespace
}  // namespace culatent::gaussian_mixture
