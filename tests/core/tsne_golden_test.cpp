#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "culatent/neighbors.hpp"
#include "culatent/tsne.hpp"
#include "host/affinities.hpp"
#include "host/tsne.hpp"
#include "kernels/tsne.hpp"
#include "tests/core/golden_affinities.hpp"

namespace culatent::tsne {
namespace {

// Pieces of t-SNE by scipy (affinities) and scikit-learn (divergence and gradient).
class TsneGolden : public testing::TestWithParam<std::string> {
 protected:
  TsneGolden() : golden_("tsne/" + GetParam()) {
    const Matrix<double> wide = golden_.input("X");
    rows_ = Matrix<float>(wide.rows(), wide.cols());
    std::copy(wide.data(), wide.data() + wide.size(), rows_.data());
  }

  double perplexity() const { return golden_.params().at("perplexity").get<double>(); }

  Matrix<float> positions(const std::string& name) const {
    const Matrix<double> wide = golden_.input(name);
    Matrix<float> positions(wide.rows(), wide.cols());
    std::copy(wide.data(), wide.data() + wide.size(), positions.data());
    return positions;
  }

  golden::Case golden_;
  Matrix<float> rows_;
  Context context_{Context::Options{.n_threads = 2}};
  CpuBackend backend_{context_.threads(), 2};
};

TEST_P(TsneGolden, BandwidthsAndAffinitiesAgree) {
  const std::int64_t n = rows_.rows();
  const neighbors::Neighbors found =
      neighbors::search(context_, rows_.view(), {.n_neighbors = static_cast<int>(n - 1)});
  Matrix<float> conditional(n, n - 1);
  std::vector<double> beta;
  EXPECT_EQ(affinities::conditional(backend_, found.squared_distances.view(), {{perplexity()}, {}},
                                    conditional.view(), &beta),
            0);
  expect_affinities(golden_, beta,
                    {found.indices.data(), static_cast<std::size_t>(found.indices.size())},
                    {conditional.data(), static_cast<std::size_t>(conditional.size())},
                    affinities::symmetric(backend_, found.indices.view(), conditional.view()));
}

TEST_P(TsneGolden, DivergenceAndGradientAgree) {
  const MatrixRows<float> rows(rows_.view());
  Options options;
  options.perplexity = {perplexity()};
  options.affinities = Affinities::dense;
  const std::int64_t n = rows_.rows();
  const Prepared prepared = prepare(context_, backend_, rows, options, n - 1, 0);
  struct Gradient {
    const char* name;
    const char* positions;
    double exaggeration;
  };
  for (const Gradient g :
       {Gradient{"grad_small", "Y_small", 1.0}, Gradient{"grad_wide", "Y_wide", 1.0},
        Gradient{"grad_exag_small", "Y_small", 12.0}}) {
    const Matrix<float> at = positions(g.positions);
    Matrix<float> attraction(n, 2), repulsion(n, 2);
    attract(backend_, prepared.view(), at.view(), attraction.view());
    const double z = ExactRepulsion(n, 2).repel(backend_, at.view(), repulsion.view());
    std::vector<double> gradient;
    for (std::int64_t i = 0; i < 2 * n; ++i) {
      gradient.push_back(4.0 * (g.exaggeration * static_cast<double>(attraction.data()[i]) -
                                static_cast<double>(repulsion.data()[i]) / z));
    }
    expect_near(golden_, g.name, gradient, true);
    const double norm = std::sqrt(
        squared_gradient(backend_, {g.exaggeration, z}, attraction.view(), repulsion.view()));
    double expected = 0.0;
    for (const double value : golden_.expected(g.name)) expected += value * value;
    EXPECT_NEAR(norm / std::sqrt(expected), 1.0, 1e-4);
  }
  for (const char* which : {"small", "wide"}) {
    const Matrix<float> at = positions(std::string("Y_") + which);
    const std::string name = std::string("kl_") + which;
    expect_near(golden_, name, {divergence(context_, rows, at.view(), options).kl}, true);
    options.start = at;
    options.max_iter = 0;
    const Fit fit = tsne::fit(context_, rows, options);
    expect_near(golden_, name, {fit.kl}, true);
    EXPECT_TRUE(fit.exact_kl);
    EXPECT_EQ(fit.n_iter, 0);
    EXPECT_EQ(fit.trace.size(), 1u);
    EXPECT_TRUE(std::equal(at.data(), at.data() + at.size(), fit.embedding.data()));
    options.start = {};
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, TsneGolden, testing::Values("digits300_p30", "iris_perturbed_p20"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace culatent::tsne
