#include "kernels/cuda/gaussian_mixture_log_joint.hpp"

#include <algorithm>
#include <cstring>

#include "tests/cuda/estep_case.hpp"

namespace culatent::gaussian_mixture {
namespace {

template <class T>
class GaussianMixtureLogJoint : public CudaTest {
 protected:
  // log_joint of the case on the device, NaN where nothing was written. Without a precision full
  // covariances take the arm that does without tensor cores.
  std::vector<T> compute(const EStepCase<T>& c, std::optional<Precision> precision = {},
                         Whitening whitening = Whitening::expanded) {
    const EStepOnDevice<T> on_device(c, [&](const std::vector<T>& v) { return to_device(v); });
    auto out = blank<T>(c.shape.n_components * c.out_stride);
    const DeviceResponsibilities<T> resp{out.data(), c.out_stride};
    if (c.shape.covariance == Covariance::full && !precision && c.shape.n_rows > 0) {
      log_joint_full(backend(), on_device.device_rows, on_device.frame, on_device.parameters, resp,
                     whitening);
    } else {
      log_joint(backend(), on_device.device_rows, on_device.frame, on_device.parameters, resp,
                precision.value_or(Precision::fp32), whitening);
    }
    return to_host(out);
  }

  // Every cell within its own bound, every margin untouched.
  void expect_exact(const EStepCase<T>& c, std::optional<Precision> precision = {},
                    Whitening whitening = Whitening::expanded) {
    SCOPED_TRACE(testing::Message() << c.shape);
    const std::vector<T> out = compute(c, precision, whitening);
    const long double unit =
        unit_of(c.shape.n_features, whitening == Whitening::centred ? std::nullopt : precision);
    int failures = 0;
    for (std::int64_t k = 0; k < c.shape.n_components; ++k) {
      for (std::int64_t row = 0; row < c.out_stride && failures < 5; ++row) {
        const T got = out[at(k * c.out_stride + row)];
        if (row >= c.shape.n_rows) {
          if (std::isnan(got)) continue;
          ++failures;
          ADD_FAILURE() << "wrote row " << row << " of component " << k << ": " << got;
          continue;
        }
        const LogJoint exact = exact_log_joint(c, row, k, unit, whitening == Whitening::centred);
        if (std::abs(static_cast<long double>(got) - exact.value) <= exact.bound) continue;
        ++failures;
        ADD_FAILURE() << "row " << row << " component " << k << ": " << got << ", exactly "
                      << exact.value << ", bound " << exact.bound;
      }
    }
  }

 private:
  static long double unit_of(std::int64_t d, std::optional<Precision> precision);
};

// What one term of y may lose, by the bound of log_joint() over the D + 3 terms that
// exact_log_joint() counts. A cut is allowed twice its last bit.
template <class T>
long double GaussianMixtureLogJoint<T>::unit_of(std::int64_t d,
                                                std::optional<Precision> precision) {
  const long double fma = std::numeric_limits<T>::epsilon() / 2.0L;
  if (!precision || d < 16 || (*precision == Precision::fp32 && d > 512)) return fma;
  const bool fast = *precision == Precision::fast;
  const std::int64_t depth = fast ? 16 : 8;
  const long double split = fast ? 3.0L * 0x1p-16L : 5.0L * 0x1p-22L;
  const long double cuts = static_cast<long double>(3 * ((d + depth - 1) / depth) + 2) * 0x1p-22L;
  return (split + cuts) / static_cast<long double>(d + 3);
}

using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(GaussianMixtureLogJoint, Types);

constexpr Covariance kAll[] = {Covariance::full, Covariance::tied, Covariance::diagonal,
                               Covariance::spherical};

TYPED_TEST(GaussianMixtureLogJoint, IsTheFormulaAtEveryEdgeOfTheRowTile) {
  for (const Covariance covariance : kAll) {
    for (const std::int64_t n : {1, 2, 3, 31, 127, 128, 129, 255, 257}) {
      this->expect_exact(EStepCase<TypeParam>({covariance, n, 5, 3}));
    }
  }
}

TYPED_TEST(GaussianMixtureLogJoint, IsTheFormulaAtEveryEdgeOfThePanels) {
  for (const Covariance covariance : kAll) {
    for (const std::int64_t d : {1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40, 63, 64, 65, 100}) {
      this->expect_exact(EStepCase<TypeParam>({covariance, 5, d, 2}));
    }
  }
}

TYPED_TEST(GaussianMixtureLogJoint, IsTheFormulaForAnyNumberOfComponents) {
  for (const Covariance covariance : kAll) {
    for (const std::int64_t k : {1, 2, 4, 5, 7, 8, 9, 13, 33, 70}) {
      this->expect_exact(EStepCase<TypeParam>({covariance, 130, 6, k}));
    }
  }
}

// With this many rows a block takes all components, several rounds of them.
TYPED_TEST(GaussianMixtureLogJoint, IsTheFormulaInEveryRoundOfABlock) {
  for (const Covariance covariance : {Covariance::full, Covariance::tied, Covariance::diagonal}) {
    this->expect_exact(EStepCase<TypeParam>({covariance, 2100, 3, 70}));
  }
}

// Features that do not fit shared memory at once: 128 rows take 227 KiB at D = 440 (double: 220).
TYPED_TEST(GaussianMixtureLogJoint, IsTheFormulaForManyFeatures) {
  const std::int64_t d = sizeof(TypeParam) == 4 ? 461 : 233;
  this->expect_exact(EStepCase<TypeParam>({Covariance::full, 3, d, 13}));
  this->expect_exact(EStepCase<TypeParam>({Covariance::diagonal, 3, d, 21}));
  this->expect_exact(EStepCase<TypeParam>({Covariance::tied, 3, 150, 21}));  // panels of 64
}

TYPED_TEST(GaussianMixtureLogJoint, IsTheFormulaForBlocksOfRows) {
  for (const Covariance covariance : kAll) {
    for (const std::int64_t n : {kBlockRows, kBlockRows + 1, 2 * kBlockRows + 77}) {
      this->expect_exact(EStepCase<TypeParam>({covariance, n, 3, 2}));
    }
  }
}

// Rows 1e4 deviations from the origin: x' is what the frame leaves of them.
TYPED_TEST(GaussianMixtureLogJoint, LosesNothingFarFromTheOrigin) {
  for (const Covariance covariance : kAll) {
    this->expect_exact(EStepCase<TypeParam>({covariance, 140, 17, 4}, 2, 1e4));
  }
}

// Deviations from 1e-3 to 1e3 within one component.
TYPED_TEST(GaussianMixtureLogJoint, HoldsItsBoundOnBadlyScaledParameters) {
  for (const Covariance covariance : kAll) {
    EStepCase<TypeParam> c({covariance, 140, 18, 3}, 3);
    for (std::size_t i = 0; i < c.whitening.size(); ++i) {
      c.whitening[i] *= static_cast<TypeParam>(std::pow(10.0, static_cast<double>(i % 7) - 3.0));
    }
    this->expect_exact(c);
  }
}

TYPED_TEST(GaussianMixtureLogJoint, GivesAComponentWithoutWeightNoDensity) {
  for (const Covariance covariance : kAll) {
    EStepCase<TypeParam> c({covariance, 3, 4, 3});
    c.log_constants[1] = -std::numeric_limits<TypeParam>::infinity();
    const std::vector<TypeParam> out = this->compute(c);
    for (std::int64_t row = 0; row < 3; ++row) {
      EXPECT_EQ(out[at(c.out_stride + row)], -std::numeric_limits<TypeParam>::infinity());
      EXPECT_TRUE(std::isfinite(out[at(row)]));
    }
  }
}

TYPED_TEST(GaussianMixtureLogJoint, DoesNothingWithoutRows) {
  for (const Covariance covariance : kAll) {
    const std::vector<TypeParam> out = this->compute(EStepCase<TypeParam>({covariance, 0, 4, 3}));
    EXPECT_TRUE(std::all_of(out.begin(), out.end(), [](TypeParam x) { return std::isnan(x); }));
  }
}

// The same rows alone, in another wave, give the same bits, and so does the same call again.
TYPED_TEST(GaussianMixtureLogJoint, GivesARowTheSameBitsInAnyWave) {
  for (const Covariance covariance : kAll) {
    const EStepCase<TypeParam> all({covariance, kBlockRows + 9, 21, 6});
    const std::vector<TypeParam> out = this->compute(all);
    const std::vector<TypeParam> again = this->compute(all);
    EXPECT_EQ(std::memcmp(out.data(), again.data(), out.size() * sizeof(TypeParam)), 0);
    EStepCase<TypeParam> last = all;
    last.shape.n_rows = 9;
    last.rows.erase(last.rows.begin(), last.rows.begin() + kBlockRows * all.row_stride);
    const std::vector<TypeParam> tail = this->compute(last);
    for (std::int64_t k = 0; k < 6; ++k) {
      for (std::int64_t row = 0; row < 9; ++row) {
        EXPECT_EQ(tail[at(k * last.out_stride + row)],
                  out[at(k * all.out_stride + kBlockRows + row)]);
      }
    }
  }
}

// ---- centred ------------------------------------------------------------------------------------

// Whatever precision is asked for: centred is FMA.
TYPED_TEST(GaussianMixtureLogJoint, IsTheFormulaCentredAtEveryEdge) {
  for (const Covariance covariance : {Covariance::full, Covariance::tied}) {
    for (const std::int64_t d : {1, 3, 8, 9, 16, 17, 31, 32, 33, 47, 64, 65, 100}) {
      this->expect_exact(EStepCase<TypeParam>({covariance, 5, d, 2}), Precision::fast,
                         Whitening::centred);
    }
    for (const std::int64_t n : {127, 129, 2100}) {
      this->expect_exact(EStepCase<TypeParam>({covariance, n, 3, 70}), {}, Whitening::centred);
    }
    this->expect_exact(EStepCase<TypeParam>({covariance, 3, sizeof(TypeParam) == 4 ? 461 : 233, 3}),
                       {}, Whitening::centred);
  }
}

// At 1e4 deviations these bounds are a thousandth of the other form's.
TYPED_TEST(GaussianMixtureLogJoint, LosesNothingCentredFarFromTheCentre) {
  for (const Covariance covariance : {Covariance::full, Covariance::tied}) {
    EStepCase<TypeParam> c({covariance, 140, 33, 2}, 4);
    for (TypeParam& offset : c.offset) offset += TypeParam{1e4};
    for (TypeParam& shift : c.shifts) shift += TypeParam{1e4};
    this->expect_exact(c, {}, Whitening::centred);
  }
}

// ---- tensor cores -------------------------------------------------------------------------------

class GaussianMixtureLogJointTensor : public GaussianMixtureLogJoint<float> {};

constexpr Precision kSplit[] = {Precision::fp32, Precision::fast};

TEST_F(GaussianMixtureLogJointTensor, HoldsItsBoundAtEveryEdgeOfTheRows) {
  for (const Precision precision : kSplit) {
    for (const std::int64_t n : {1, 7, 8, 9, 16, 17, 31, 33, 255, 256, 257}) {
      expect_exact(EStepCase<float>({Covariance::full, n, 16, 2}), precision);
    }
    expect_exact(EStepCase<float>({Covariance::full, kBlockRows + 1, 16, 1}), precision);
  }
}

TEST_F(GaussianMixtureLogJointTensor, HoldsItsBoundAtEveryEdgeOfThePanels) {
  for (const Precision precision : kSplit) {
    for (const std::int64_t d : {15, 16, 17, 24, 25, 32, 33, 48, 63, 64, 65, 72, 79, 128, 129}) {
      expect_exact(EStepCase<float>({Covariance::full, 40, d, 2}), precision);
    }
  }
}

TEST_F(GaussianMixtureLogJointTensor, HoldsItsBoundForAnyNumberOfComponents) {
  for (const Precision precision : kSplit) {
    for (const std::int64_t k : {1, 3, 17, 40}) {
      expect_exact(EStepCase<float>({Covariance::full, 300, 18, k}), precision);
    }
  }
}

// 256 rows of more than 192 features do not fit shared memory: they are staged panel by panel.
TEST_F(GaussianMixtureLogJointTensor, HoldsItsBoundForManyFeatures) {
  for (const Precision precision : kSplit) {
    expect_exact(EStepCase<float>({Covariance::full, 3, 205, 2}), precision);
    expect_exact(EStepCase<float>({Covariance::full, 2, 515, 1}), precision);
  }
}

TEST_F(GaussianMixtureLogJointTensor, HoldsItsBoundOnBadlyScaledAndFarData) {
  for (const Precision precision : kSplit) {
    EStepCase<float> c({Covariance::full, 140, 20, 3}, 3, 1e4);
    for (std::size_t i = 0; i < c.whitening.size(); ++i) {
      c.whitening[i] *= static_cast<float>(std::pow(10.0, static_cast<double>(i % 7) - 3.0));
    }
    expect_exact(c, precision);
  }
}

// Or the split is not there: bf16 without low parts loses 2⁻⁹ of a term, TF32 2⁻¹², and `fast` is
// not fp32. Seen over many cells, not only bounded.
TEST_F(GaussianMixtureLogJointTensor, LosesAsMuchAsItsKindOfSplit) {
  const EStepCase<float> c({Covariance::full, 256, 32, 4}, 8);
  for (const Precision precision : kSplit) {
    const std::vector<float> out = compute(c, precision);
    long double greatest = 0.0L;
    for (std::int64_t k = 0; k < 4; ++k) {
      for (std::int64_t row = 0; row < 256; ++row) {
        // With a unit of 1 / (D + 3) the bound is what a relative loss of 1 of every term gives.
        const LogJoint exact = exact_log_joint(c, row, k, 1.0L / 35.0L);
        const long double lost =
            std::abs(static_cast<long double>(out[at(k * c.out_stride + row)]) - exact.value);
        greatest = std::max(greatest, lost / exact.bound);
      }
    }
    if (precision == Precision::fast) {
      EXPECT_LT(greatest, 0x1p-18L);
      EXPECT_GT(greatest, 0x1p-27L);
    } else {
      EXPECT_LT(greatest, 0x1p-21L);
    }
  }
}

TEST_F(GaussianMixtureLogJointTensor, GivesARowTheSameBitsInAnyWave) {
  for (const Precision precision : kSplit) {
    const EStepCase<float> all({Covariance::full, kBlockRows + 9, 21, 3});
    const std::vector<float> out = compute(all, precision);
    const std::vector<float> again = compute(all, precision);
    EXPECT_EQ(std::memcmp(out.data(), again.data(), out.size() * sizeof(float)), 0);
    EStepCase<float> last = all;
    last.shape.n_rows = 9;
    last.rows.erase(last.rows.begin(), last.rows.begin() + kBlockRows * all.row_stride);
    const std::vector<float> tail = compute(last, precision);
    for (std::int64_t k = 0; k < 3; ++k) {
      for (std::int64_t row = 0; row < 9; ++row) {
        EXPECT_EQ(tail[at(k * last.out_stride + row)],
                  out[at(k * all.out_stride + kBlockRows + row)]);
      }
    }
  }
}

}  // namespace
}  // namespace culatent::gaussian_mixture
