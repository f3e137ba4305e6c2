#include "tests/cuda/estep_case.hpp"

namespace culatent::gaussian_mixture {
namespace {

using Types = testing::Types<float, double>;

template <class T>
class GaussianMixtureOutputs : public CudaTest {};
TYPED_TEST_SUITE(GaussianMixtureOutputs, Types);

TYPED_TEST(GaussianMixtureOutputs, AreTheResultsRowByRow) {
  using T = TypeParam;
  for (const std::int64_t n : {0, 1, 31, 32, 33, 255, 257}) {
    for (const std::int64_t k : {1, 31, 32, 33, 70}) {
      SCOPED_TRACE(testing::Message() << "N " << n << " K " << k);
      const std::int64_t stride = n + 3, out_stride = k + 2;
      std::mt19937 engine(5);
      std::vector<T> q(at(k * stride), kNaN<T>);
      std::vector<double> log_prob;
      for (std::int64_t row = 0; row < n; ++row) {
        for (std::int64_t c = 0; c < k; ++c) {
          q[at(c * stride + row)] = static_cast<T>(engine() % 8) / 8;  // with ties
        }
        log_prob.push_back(-static_cast<double>(row) / 3.0);
      }
      log_prob.push_back(0.0);
      const auto device_q = this->to_device(q);
      const auto device_log_prob = this->to_device(log_prob);
      auto out = this->template blank<T>((n + 1) * out_stride);
      auto log_prob_out = this->template blank<T>(n + 1);
      auto labels = this->template blank<std::int32_t>(n + 1);
      DeviceOutputs<T> outputs{log_prob_out.data(), out.data(), out_stride, labels.data()};
      write_outputs(this->backend(), n, k, DeviceResponsibilities<T>{device_q.data(), stride},
                    device_log_prob.data(), outputs);
      const auto got = this->to_host(out);
      const auto got_log_prob = this->to_host(log_prob_out);
      const auto got_labels = this->to_host(labels);
      for (std::int64_t row = 0; row < n; ++row) {
        std::int32_t best = 0;
        for (std::int64_t c = 0; c < k; ++c) {
          ASSERT_EQ(got[at(row * out_stride + c)], q[at(c * stride + row)]);
          if (q[at(c * stride + row)] > q[at(best * stride + row)]) {
            best = static_cast<std::int32_t>(c);
          }
        }
        ASSERT_EQ(got_labels[at(row)], best);
        ASSERT_EQ(got_log_prob[at(row)], static_cast<T>(log_prob[at(row)]));
      }
      for (std::int64_t row = 0; row <= n; ++row) {
        for (std::int64_t c = row < n ? k : 0; c < out_stride; ++c) {
          ASSERT_TRUE(std::isnan(got[at(row * out_stride + c)])) << "wrote a margin";
        }
      }
      EXPECT_TRUE(std::isnan(got_log_prob.back()));
      EXPECT_EQ(got_labels.back(), -1);
    }
  }
}

TYPED_TEST(GaussianMixtureOutputs, AreOnlyThoseAskedFor) {
  using T = TypeParam;
  const auto q = this->to_device(std::vector<T>{T{1}, T{0}});
  const auto log_prob = this->to_device(std::vector<double>{-2.5});
  auto labels = this->template blank<std::int32_t>(1);
  DeviceOutputs<T> outputs;
  write_outputs(this->backend(), 1, 2, DeviceResponsibilities<T>{q.data(), 1}, log_prob.data(),
                outputs);
  outputs.labels = labels.data();
  write_outputs(this->backend(), 1, 2, DeviceResponsibilities<T>{q.data(), 1}, nullptr, outputs);
  EXPECT_EQ(this->to_host(labels)[0], 0);
}

}  // namespace
}  // namespace culatent::gaussian_mixture
