#include <vector>

#include "culatent/error.hpp"
#include "culatent/gaussian_mixture.hpp"
#include "tests/core/planted.hpp"
#include "tests/cuda/cuda_test.hpp"

// Rows and outputs in the memory that a caller says, and in another one.
namespace culatent {
namespace {

namespace gm = gaussian_mixture;

constexpr std::int64_t n = 1100, d = 2, k = 3;

class GaussianMixturePlaces : public CudaTest {
 protected:
  GaussianMixturePlaces() { gm::sample<float>(Context(), model_, 5, 0, rows_.view()); }

  DeviceArray<float> rows_on_device() {
    return to_device(std::vector<float>(rows_.data(), rows_.data() + rows_.size()));
  }
  static MatrixView<float> view(float* data, std::int64_t cols, MemorySpace space) {
    return {data, n, cols, cols, space};
  }
  // What a fit and an evaluation say to such rows.
  void expect_refused(const Context& context, MatrixView<const float> rows) const {
    EXPECT_THROW(gm::fit<float>(context, rows, {.n_components = 2}), invalid_argument);
    EXPECT_THROW(gm::plan<float>(context, MatrixRows<float>(rows), {}), invalid_argument);
    EXPECT_THROW(gm::score<float>(context, model_, rows), invalid_argument);
  }

  const gm::Model model_ = planted::model(gm::Covariance::diagonal, k, d, 3.0, 11);
  Matrix<float> rows_ = Matrix<float>(n, d);
};

TEST_F(GaussianMixturePlaces, EachOutputGoesToTheMemoryItLiesIn) {
  const Context context({.device = "cuda"});
  const auto log_prob = blank<float>(n);
  const auto resp = blank<float>(n * k);
  const auto labels = blank<std::int32_t>(n);
  const MatrixView<float> resp_view = view(resp.data(), k, MemorySpace::device);
  gm::log_prob<float>(context, model_, rows_.view(), {log_prob.data(), n}, MemorySpace::device);
  gm::responsibilities<float>(context, model_, rows_.view(), resp_view);
  gm::predict<float>(context, model_, rows_.view(), {labels.data(), n}, MemorySpace::device);

  std::vector<float> host_log_prob(n);
  std::vector<std::int32_t> host_labels(n);
  Matrix<float> host_resp(n, k);
  gm::log_prob<float>(context, model_, rows_.view(), host_log_prob);
  gm::responsibilities<float>(context, model_, rows_.view(), host_resp.view());
  gm::predict<float>(context, model_, rows_.view(), host_labels);
  EXPECT_EQ(to_host(log_prob), host_log_prob);
  EXPECT_EQ(to_host(resp), std::vector<float>(host_resp.data(), host_resp.data() + n * k));
  EXPECT_EQ(to_host(labels), host_labels);

  const MatrixRows<float> source(rows_.view());
  gm::Outputs<float> outputs;
  outputs.responsibilities = resp_view;  // and `space` says host
  EXPECT_THROW(gm::evaluate<float>(context, model_, source, outputs), invalid_argument);
  outputs.responsibilities = host_resp.view();
  outputs.space = MemorySpace::device;
  EXPECT_THROW(gm::evaluate<float>(context, model_, source, outputs), invalid_argument);
  EXPECT_THROW(gm::responsibilities<float>(Context(), model_, rows_.view(), resp_view),
               invalid_argument);
}

TEST_F(GaussianMixturePlaces, RowsThatLieElsewhereAreRefusedBeforeTheyAreTouched) {
  const Context context({.device = "cuda"});
  const auto on_device = rows_on_device();
  expect_refused(context, view(rows_.data(), d, MemorySpace::device));
  expect_refused(context, view(on_device.data(), d, MemorySpace::host));
  expect_refused(Context(), view(on_device.data(), d, MemorySpace::device));
  EXPECT_LT(gm::score<float>(context, model_, view(on_device.data(), d, MemorySpace::device)), 0.0);
}

TEST_F(GaussianMixturePlaces, OutputsThatLieElsewhereAreRefusedBeforeTheyAreTouched) {
  const Context context({.device = "cuda"});
  const auto device_values = blank<float>(n * k);
  const auto device_labels = blank<std::int32_t>(n);
  std::vector<float> values(n * k);
  std::vector<std::int32_t> labels(n);
  for (const auto& [numbers, words, space] :
       {std::tuple(values.data(), labels.data(), MemorySpace::device),
        std::tuple(device_values.data(), device_labels.data(), MemorySpace::host)}) {
    EXPECT_THROW(gm::log_prob<float>(context, model_, rows_.view(), {numbers, n}, space),
                 invalid_argument);
    EXPECT_THROW(
        gm::responsibilities<float>(context, model_, rows_.view(), view(numbers, k, space)),
        invalid_argument);
    EXPECT_THROW(gm::predict<float>(context, model_, rows_.view(), {words, n}, space),
                 invalid_argument);
  }
  const auto weights = blank<double>(n);
  EXPECT_THROW(gm::fit<float>(context, rows_.view(), {.weights = {weights.data(), n}}),
               invalid_argument);
}

}  // namespace
}  // namespace culatent
