#include "kernels/cuda/gaussian_mixture_log_joint.hpp"
#include "kernels/cuda/gaussian_mixture_moments.hpp"
#include "simt/simt.hpp"
#include "tests/cuda/estep_case.hpp"
#include "tests/cuda/mixture_rows.hpp"

// Steps whose shared memory grows with the number of features, on devices that have little of it:
// compute 7.5 has 64 KiB for a block, where 9.0 has 227. Only the stand-in can be told how much it
// has, and it refuses what does not fit.
namespace culatent::gaussian_mixture {
namespace {

template <class T>
class SmallShared : public CudaTest {
 protected:
  void SetUp() override {
    simt::options().shared_memory = std::size_t{64} << 10;
    CudaTest::SetUp();
    ASSERT_EQ(this->backend().device.shared_bytes(), 64 << 10);
  }
  ~SmallShared() override { simt::options() = before_; }

  void expect_log_joint(const EStepShape& shape) {
    SCOPED_TRACE(testing::Message() << shape);
    const EStepCase<T> c(shape);
    const EStepOnDevice<T> on_device(c,
                                     [&](const std::vector<T>& v) { return this->to_device(v); });
    const auto out = this->template blank<T>(shape.n_components * c.out_stride);
    log_joint(this->backend(), on_device.device_rows, on_device.frame, on_device.parameters,
              {out.data(), c.out_stride}, Precision::fp32);
    const std::vector<T> found = this->to_host(out);
    for (std::int64_t k = 0; k < shape.n_components; ++k) {
      for (std::int64_t row = 0; row < shape.n_rows; ++row) {
        const LogJoint exact = exact_log_joint(c, row, k);
        ASSERT_LE(std::abs(static_cast<Real>(found[at(k * c.out_stride + row)]) - exact.value),
                  exact.bound)
            << "row " << row << ", component " << k;
      }
    }
  }

  // The squares of full moments, or the scatter of a tied covariance: sums of n products of three
  // factors, which are rounded eight times at most.
  void expect_squares(const Shape& shape, Covariance covariance) {
    SCOPED_TRACE(testing::Message() << shape);
    const bool tied = covariance == Covariance::tied;
    const MixtureRows<T> c(shape, true, 0.0, 1);
    const Layout layout(covariance, c.n_components, c.d);
    const std::int64_t record = layout.size - layout.sums;
    const auto x = this->to_device(c.x), scale = this->to_device(c.scale),
               offset = this->to_device(c.offset), shifts = this->to_device(c.shifts),
               q = this->to_device(c.q), weights = this->to_device(c.weights);
    const auto heads = this->template blank<double>(layout.sums);
    const auto tails = this->template blank<T>(tied ? 1 : record);
    const auto wide_tails = this->template blank<double>(tied ? record : 1);
    DeviceParameters<T> parameters;
    parameters.covariance = covariance;
    parameters.n_components = c.n_components;
    parameters.n_features = c.d;
    parameters.shifts = shifts.data();
    const DeviceRows<T> rows{x.data() + c.skip, weights.data(), c.n, c.d, c.stride};
    const DeviceFrame<T> frame{scale.data(), offset.data()};
    const DeviceResponsibilities<T> resp{q.data(), c.resp_stride};
    const DevicePartials<T> partials{heads.data(), tails.data(), wide_tails.data()};
    if (tied) {
      add_moments<T>(this->backend(), rows, frame, parameters, resp, true, partials,
                     Precision::fp32);
    } else {
      add_full_moments<T>(this->backend(), rows, frame, parameters, resp, partials);
    }
    const auto narrow = this->to_host(tails);
    const auto wide = this->to_host(wide_tails);
    const std::int64_t squares = layout.squares - layout.sums;
    const Real unit = tied ? 0x1p-53L : static_cast<Real>(std::numeric_limits<T>::epsilon()) / 2;
    for (std::int64_t k = 0; k < (tied ? 1 : c.n_components); ++k) {
      std::vector<Real> z;  // [n, D]
      for (std::int64_t row = 0; row < c.n; ++row) {
        for (std::int64_t j = 0; j < c.d; ++j) {
          z.push_back(c.framed(row, j) - (tied ? Real{0} : c.shift(k, j)));
        }
      }
      std::int64_t at = squares + k * (c.d * (c.d + 1) / 2);
      for (std::int64_t i = 0; i < c.d; ++i) {
        for (std::int64_t j = 0; j <= i; ++j, ++at) {
          Real sum = 0, size = 0;
          for (std::int64_t row = 0; row < c.n; ++row) {
            const Real share = tied ? static_cast<Real>(c.weights[c.at(row)]) : c.share(k, row);
            const Real term = share * z[c.at(row * c.d + i)] * z[c.at(row * c.d + j)];
            sum += term;
            size += std::abs(term);
          }
          const Real found = tied ? Real{wide[c.at(at)]} : static_cast<Real>(narrow[c.at(at)]);
          ASSERT_LE(std::abs(found - sum), static_cast<Real>(c.n + 8) * unit * size)
              << "component " << k << ", features " << i << ", " << j;
        }
      }
    }
  }

 private:
  simt::Options before_ = simt::options();
};

using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(SmallShared, Types);

TYPED_TEST(SmallShared, HoldsDensitiesOfManyFeatures) {
  this->expect_log_joint({Covariance::full, 1, 3001, 1});
  this->expect_log_joint({Covariance::tied, 2, 1030, 3});
  this->expect_log_joint({Covariance::diagonal, 3, 3001, 9});
}

TYPED_TEST(SmallShared, HoldsMomentsOfManyFeatures) {
  this->expect_squares({2, 3001, 2}, Covariance::full);
  this->expect_squares({2, 3001, 1}, Covariance::tied);
}

// Many components of few features share a block.
TYPED_TEST(SmallShared, HoldsMomentsOfManyComponents) {
  for (const std::int64_t d : {1, 4, 8, 12, 40}) {
    this->expect_squares({9, d, 260}, Covariance::full);
  }
}

}  // namespace
}  // namespace culatent::gaussian_mixture
