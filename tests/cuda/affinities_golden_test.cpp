#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "culatent/neighbors.hpp"
#include "host/affinities_cuda.hpp"
#include "tests/core/golden_affinities.hpp"
#include "tests/cuda/cuda_test.hpp"

namespace culatent::affinities {
namespace {

// Bandwidths and affinities of all pairs by scipy.
class AffinitiesGolden : public CudaTest, public testing::WithParamInterface<std::string> {
 protected:
  AffinitiesGolden() : golden_("tsne/" + GetParam()) {
    const Matrix<double> wide = golden_.input("X");
    rows_ = Matrix<float>(wide.rows(), wide.cols());
    std::copy(wide.data(), wide.data() + wide.size(), rows_.data());
  }

  golden::Case golden_;
  Matrix<float> rows_;
};

TEST_P(AffinitiesGolden, AgreeWithAnotherPackage) {
  const std::int64_t n = rows_.rows(), k = n - 1;
  const neighbors::Neighbors found =
      neighbors::search(Context(), rows_.view(), {.n_neighbors = static_cast<int>(k)});
  const std::vector<std::int32_t> indices(found.indices.data(), found.indices.data() + n * k);
  const double* squares = found.squared_distances.data();
  DeviceArray<float> conditional = blank<float>(n * k);
  const DeviceArray<double> betas = blank<double>(n);
  const double perplexity = golden_.params().at("perplexity").get<double>();
  const RowCounts counts =
      affinities::conditional(backend(), to_device(std::vector<double>(squares, squares + n * k)),
                              k, {{perplexity}, {}}, conditional, betas.data());
  EXPECT_EQ(counts.n_unreached, 0u);
  EXPECT_EQ(counts.n_equal, 0u);
  const std::vector<float> p = to_host(conditional);
  expect_affinities(
      golden_, to_host(betas), indices, p,
      download(affinities::symmetric(backend(), to_device(indices), std::move(conditional), k)));
}

INSTANTIATE_TEST_SUITE_P(Cases, AffinitiesGolden,
                         testing::Values("digits300_p30", "iris_perturbed_p20"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace culatent::affinities
