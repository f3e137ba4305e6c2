#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "culatent/neighbors.hpp"
#include "host/affinities_cuda.hpp"
#include "tests/core/golden.hpp"
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

  // Those rows of a matrix that the case has.
  std::vector<double> rows_of(const Matrix<double>& all) const {
    std::vector<double> out;
    for (const double row : golden_.input_values("idx_")) {
      const double* values = all.view().row(static_cast<std::int64_t>(row));
      out.insert(out.end(), values, values + all.cols());
    }
    return out;
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
  const std::vector<double> beta = to_host(betas);
  expect_near(golden_, "beta", beta, true);
  std::vector<double> sigma;
  for (const double value : beta) sigma.push_back(std::sqrt(0.5 / value));
  expect_near(golden_, "sigma", sigma, true);
  const std::vector<float> p = to_host(conditional);
  Matrix<double> of_rows(n, n), symmetric(n, n);
  for (std::int64_t e = 0; e < n * k; ++e) {
    const auto at = static_cast<std::size_t>(e);
    of_rows(e / k, indices[at]) = static_cast<double>(p[at]);
  }
  expect_near(golden_, "pcond_rows", rows_of(of_rows), true);

  const Graph graph =
      download(affinities::symmetric(backend(), to_device(indices), std::move(conditional), k));
  double sum = 0.0, square = 0.0, largest = 0.0;
  for (std::int64_t i = 0; i < n; ++i) {
    for (auto e = static_cast<std::size_t>(graph.starts[static_cast<std::size_t>(i)]);
         e < static_cast<std::size_t>(graph.starts[static_cast<std::size_t>(i + 1)]); ++e) {
      const auto value = static_cast<double>(graph.values[e]);
      symmetric(i, graph.columns[e]) = value;
      sum += value;
      square += value * value;
      largest = std::max(largest, value);
    }
  }
  expect_near(golden_, "P_rows", rows_of(symmetric), true);
  expect_near(golden_, "P_sum", {sum}, true);
  expect_near(golden_, "P_sumsq", {square}, true);
  expect_near(golden_, "P_max", {largest}, true);
}

INSTANTIATE_TEST_SUITE_P(Cases, AffinitiesGolden,
                         testing::Values("digits300_p30", "iris_perturbed_p20"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace culatent::affinities
