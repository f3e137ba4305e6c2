#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "culatent/neighbors.hpp"
#include "culatent/tsne.hpp"
#include "host/affinities.hpp"
#include "host/tsne.hpp"
#include "kernels/tsne.hpp"
#include "tests/core/golden.hpp"

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

  // Rows `idx` of a matrix that is given by neighbours.
  template <class Value>
  std::vector<double> rows_of(Value&& value) const {
    std::vector<double> out;
    for (const double row : golden_.input_values("idx_")) {
      for (std::int64_t j = 0; j < rows_.rows(); ++j) {
        out.push_back(value(static_cast<std::int64_t>(row), j));
      }
    }
    return out;
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
  expect_near(golden_, "beta", beta, true);
  std::vector<double> sigma;
  for (const double value : beta) sigma.push_back(std::sqrt(0.5 / value));
  expect_near(golden_, "sigma", sigma, true);
  Matrix<double> all(n, n);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n - 1; ++j) {
      all(i, found.indices(i, j)) = static_cast<double>(conditional(i, j));
    }
  }
  expect_near(golden_, "pcond_rows",
              rows_of([&](std::int64_t i, std::int64_t j) { return all(i, j); }), true);

  const affinities::Graph graph =
      affinities::symmetric(backend_, found.indices.view(), conditional.view());
  Matrix<double> symmetric(n, n);
  double sum = 0.0, squares = 0.0, largest = 0.0;
  for (std::int64_t i = 0; i < n; ++i) {
    for (auto e = static_cast<std::size_t>(graph.starts[static_cast<std::size_t>(i)]);
         e < static_cast<std::size_t>(graph.starts[static_cast<std::size_t>(i + 1)]); ++e) {
      const auto value = static_cast<double>(graph.values[e]);
      symmetric(i, graph.columns[e]) = value;
      sum += value;
      squares += value * value;
      largest = std::max(largest, value);
    }
  }
  expect_near(golden_, "P_rows",
              rows_of([&](std::int64_t i, std::int64_t j) { return symmetric(i, j); }), true);
  expect_near(golden_, "P_sum", {sum}, true);
  expect_near(golden_, "P_sumsq", {squares}, true);
  expect_near(golden_, "P_max", {largest}, true);
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
