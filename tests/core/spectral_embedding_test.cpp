#include "host/spectral_embedding.hpp"

#include <gtest/gtest.h>

#include <Eigen/Eigenvalues>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <map>
#include <numbers>

#include "culatent/context.hpp"
#include "tests/core/oracle.hpp"

namespace culatent {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;
using oracle::at;

// A symmetric graph by its edges.
class Graph {
 public:
  explicit Graph(std::int64_t n) : rows_(at(n)) {}
  void add(std::int64_t i, std::int64_t j, float weight = 1.0f) {
    rows_[at(i)][static_cast<std::int32_t>(j)] = weight;
    rows_[at(j)][static_cast<std::int32_t>(i)] = weight;
  }
  std::int64_t n() const { return static_cast<std::int64_t>(rows_.size()); }
  double weight(std::int64_t i, std::int64_t j) const {
    const auto found = rows_[at(i)].find(static_cast<std::int32_t>(j));
    return found == rows_[at(i)].end() ? 0.0 : static_cast<double>(found->second);
  }
  double degree(std::int64_t i) const {
    double sum = 0.0;
    for (const auto& [column, weight] : rows_[at(i)]) sum += static_cast<double>(weight);
    return sum;
  }
  SpectralEmbedding embed(std::int64_t q, int n_threads = 1) const {
    std::vector<std::int64_t> starts = {0};
    std::vector<std::int32_t> columns;
    std::vector<float> values;
    for (const auto& row : rows_) {
      for (const auto& [column, weight] : row) {
        columns.push_back(column);
        values.push_back(weight);
      }
      starts.push_back(static_cast<std::int64_t>(columns.size()));
    }
    const Context context({.n_threads = n_threads});
    return spectral_embedding({context.threads(), n_threads}, {starts, columns, values}, q);
  }

 private:
  std::vector<std::map<std::int32_t, float>> rows_;
};

VectorXd column(const SpectralEmbedding& found, std::int64_t c) {
  VectorXd v(found.vectors.rows());
  for (std::int64_t i = 0; i < v.size(); ++i) v[i] = found.vectors(i, c);
  return v;
}

// What is promised of the residual: 1e-4, and a hundredth of 1 − λ (or 1e-7). Dense graphs are
// solved to rounding.
double residual_bound(double eigenvalue, std::int64_t n) {
  if (n <= 64) return 16.0 * DBL_EPSILON * static_cast<double>(n);
  return std::max(std::min(1e-4, 1e-2 * (1.0 - eigenvalue)), 1e-7);
}

// |A v − λ v| with v = D^1/2 f, of length 1; the length and the part along the constant as well.
void expect_eigenvectors(const Graph& graph, const SpectralEmbedding& found, std::int64_t q) {
  ASSERT_EQ(found.vectors.rows(), graph.n());
  ASSERT_EQ(found.vectors.cols(), q);
  EXPECT_TRUE(found.converged);
  EXPECT_LE(found.n_products, 300);
  const double sums = 16.0 * DBL_EPSILON * static_cast<double>(graph.n());
  std::vector<double> degree;
  double total = 0.0;
  for (std::int64_t i = 0; i < graph.n(); ++i) total += degree.emplace_back(graph.degree(i));
  for (std::int64_t c = 0; c < q; ++c) {
    const VectorXd f = column(found, c);
    const double eigenvalue = found.eigenvalues[at(c)];
    double residual = 0.0, length = 0.0, constant = 0.0;
    for (std::int64_t i = 0; i < graph.n(); ++i) {
      double image = 0.0;  // (P f)_i
      for (std::int64_t j = 0; j < graph.n(); ++j) image += graph.weight(i, j) * f[j];
      const double d = degree[at(i)];
      if (d > 0.0) residual += std::pow(image / std::sqrt(d) - eigenvalue * std::sqrt(d) * f[i], 2);
      length += d * f[i] * f[i];
      constant += d * f[i] / std::sqrt(total);
    }
    EXPECT_LE(std::sqrt(residual), residual_bound(eigenvalue, graph.n()) + sums) << c;
    EXPECT_NEAR(length, 1.0, sums) << c;
    EXPECT_NEAR(constant, 0.0, sums) << c;
    Eigen::Index largest;
    f.cwiseAbs().maxCoeff(&largest);
    EXPECT_GT(f[largest], 0.0);
    if (c > 0) {
      EXPECT_LE(eigenvalue, found.eigenvalues[at(c - 1)]);
    }
  }
}

Graph path(std::int64_t n) {
  Graph graph(n);
  for (std::int64_t i = 0; i + 1 < n; ++i) graph.add(i, i + 1);
  return graph;
}

VectorXd cosine(std::int64_t n, double angle) {
  VectorXd f(n);
  for (std::int64_t i = 0; i < n; ++i) f[i] = std::cos(angle * static_cast<double>(i));
  return f.normalized();
}

TEST(SpectralEmbedding, OfAPathAreCosines) {
  for (const std::int64_t n : {2, 3, 10, 64, 65, 400}) {
    const Graph graph = path(n);
    const std::int64_t q = std::min<std::int64_t>(3, n - 1);
    const SpectralEmbedding found = graph.embed(q);
    expect_eigenvectors(graph, found, q);
    const double step = std::numbers::pi / static_cast<double>(n - 1);
    for (std::int64_t c = 0; c < q; ++c) {
      const double angle = step * static_cast<double>(c + 1);
      const double bound = residual_bound(std::cos(angle), n), rounding = 64.0 * DBL_EPSILON;
      EXPECT_NEAR(found.eigenvalues[at(c)], std::cos(angle), bound);
      // The vector errs by residual / gap, D^-1/2 by sqrt(2) at the ends at most. The nearest
      // eigenvalue is that of a lower angle, or the constant's.
      const double gap = std::cos(angle - step) - std::cos(angle);
      const double loss = 2.0 * bound / gap;
      EXPECT_GE(std::abs(column(found, c).normalized().dot(cosine(n, angle))),
                1.0 - loss * loss - static_cast<double>(n) * rounding)
          << n << " " << c;
    }
  }
}

TEST(SpectralEmbedding, IsUsefulWhereTheBoundOfProductsEndsIt) {
  // Gaps of 5e-8: not to be told apart by 300 products, but the order along the path shows.
  const Graph graph = path(10'000);
  const SpectralEmbedding found = graph.embed(2);
  EXPECT_FALSE(found.converged);
  EXPECT_LE(found.n_products, 300);
  const VectorXd first = column(found, 0);
  EXPECT_GT(found.eigenvalues[1], 0.9999);
  for (std::int64_t i = 0; i < 10'000; ++i) {
    EXPECT_TRUE(std::isfinite(first[i]));
    if (i > 0) {
      EXPECT_LT(std::abs(first[i] - first[i - 1]), 0.05 * first.cwiseAbs().maxCoeff());
    }
  }
}

TEST(SpectralEmbedding, OfACycleTurnWithIt) {
  for (const std::int64_t n : {12, 301}) {
    Graph graph = path(n);
    graph.add(0, n - 1);
    const SpectralEmbedding found = graph.embed(4);
    expect_eigenvectors(graph, found, 4);
    for (std::int64_t c = 0; c < 4; ++c) {
      const double angle =
          2.0 * std::numbers::pi / static_cast<double>(n) * static_cast<double>(c / 2 + 1);
      EXPECT_NEAR(found.eigenvalues[at(c)], std::cos(angle), residual_bound(std::cos(angle), n));
    }
  }
}

Graph random_graph(std::int64_t n, double share, std::uint64_t seed, double across = 1.0) {
  oracle::Draws draws(seed);
  Graph graph(n);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < i; ++j) {
      const bool apart = (i < n / 3) != (j < n / 3);
      if (draws.uniform() < share * (apart ? across : 1.0)) {
        graph.add(i, j, static_cast<float>(draws.uniform()));
      }
    }
  }
  return graph;
}

TEST(SpectralEmbedding, AgreesWithADenseSolver) {
  for (const std::int64_t n : {30, 250}) {
    const Graph graph = random_graph(n, 0.3, 1);
    MatrixXd a(n, n);
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        a(i, j) = graph.weight(i, j) / std::sqrt(graph.degree(i) * graph.degree(j));
      }
    }
    const Eigen::SelfAdjointEigenSolver<MatrixXd> solver(a);
    const SpectralEmbedding found = graph.embed(3);
    expect_eigenvectors(graph, found, 3);
    for (std::int64_t c = 0; c < 3; ++c) {
      const Eigen::Index k = n - 2 - c;  // ascending; the last is the constant
      const double value = solver.eigenvalues()[k];
      const double gap =
          std::min(solver.eigenvalues()[k + 1] - value, value - solver.eigenvalues()[k - 1]);
      const double loss = residual_bound(value, n) / gap + 64.0 * DBL_EPSILON / gap;
      EXPECT_NEAR(found.eigenvalues[at(c)], value, residual_bound(value, n));
      VectorXd v(n);
      for (std::int64_t i = 0; i < n; ++i) v[i] = found.vectors(i, c) * std::sqrt(graph.degree(i));
      // Lengths and the product are sums of n terms themselves.
      const double sums = 16.0 * DBL_EPSILON * static_cast<double>(n);
      EXPECT_GE(std::abs(v.dot(solver.eigenvectors().col(k))), 1.0 - loss * loss - sums) << c;
    }
  }
}

TEST(SpectralEmbedding, SplitsTwoBlocksByTheSignOfTheFirst) {
  for (const std::int64_t n : {60, 600}) {
    const Graph graph = random_graph(n, 0.4, 2, 0.02);
    const SpectralEmbedding found = graph.embed(1);
    expect_eigenvectors(graph, found, 1);
    for (std::int64_t i = 0; i < n; ++i) {
      EXPECT_EQ(found.vectors(i, 0) > 0.0, (found.vectors(0, 0) > 0.0) == (i < n / 3)) << i;
    }
  }
}

TEST(SpectralEmbedding, OfAGraphInPartsIsConstantOnEach) {
  for (const std::int64_t n : {30, 360}) {
    Graph graph(n);
    oracle::Draws draws(3);
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < i; ++j) {
        if (i % 3 == j % 3 && draws.uniform() < 0.5) graph.add(i, j, 0.5f);
      }
    }
    const SpectralEmbedding found = graph.embed(3);
    expect_eigenvectors(graph, found, 3);
    EXPECT_LT(found.eigenvalues[2], 0.9);
    for (std::int64_t c = 0; c < 2; ++c) {
      // An eigenvalue errs by the square of the residual; what is not constant on a part has
      // eigenvalues below 0.9, so weighs 10 residuals at most; sqrt(10) is the least D^1/2.
      EXPECT_NEAR(found.eigenvalues[at(c)], 1.0, 1e-13);
      for (std::int64_t i = 3; i < n; ++i) {
        EXPECT_NEAR(found.vectors(i, c), found.vectors(i - 3, c), 1e-6 / std::sqrt(0.5)) << i;
      }
    }
  }
}

TEST(SpectralEmbedding, TakesMorePartsThanItHasColumns) {
  // 40 rings of 10: eigenvalues 1 (40 times), then 0.81.
  Graph graph(400);
  for (std::int64_t i = 0; i < 400; ++i) graph.add(i, i % 10 < 9 ? i + 1 : i - 9);
  const SpectralEmbedding found = graph.embed(3);
  expect_eigenvectors(graph, found, 3);
  for (std::int64_t c = 0; c < 3; ++c) {
    EXPECT_NEAR(found.eigenvalues[at(c)], 1.0, 1e-13);
    for (std::int64_t i = 0; i < 400; ++i) {
      EXPECT_NEAR(found.vectors(i, c), found.vectors(i / 10 * 10, c), 1e-6);
    }
  }
}

TEST(SpectralEmbedding, LeavesVerticesWithoutEdgesAtZero) {
  for (const std::int64_t n : {20, 200}) {
    Graph graph(n);
    for (std::int64_t i = 0; i + 1 < n / 2; ++i) graph.add(i, i + 1);
    const SpectralEmbedding found = graph.embed(2);
    expect_eigenvectors(graph, found, 2);
    for (std::int64_t i = n / 2; i < n; ++i) EXPECT_EQ(found.vectors(i, 1), 0.0);
    const SpectralEmbedding empty = Graph(n).embed(2);
    for (std::int64_t i = 0; i < 2 * n; ++i) EXPECT_EQ(empty.vectors.data()[i], 0.0);
  }
}

TEST(SpectralEmbedding, SurvivesGraphsWithoutDirection) {
  for (const std::int64_t n : {9, 120}) {
    Graph complete(n), star(n);
    for (std::int64_t i = 0; i < n; ++i) {
      if (i > 0) star.add(0, i, 1e-30f);
      for (std::int64_t j = 0; j < i; ++j) complete.add(i, j, 1e30f);
    }
    const SpectralEmbedding all = complete.embed(2), rays = star.embed(2);
    expect_eigenvectors(complete, all, 2);
    EXPECT_NEAR(all.eigenvalues[1], -1.0 / static_cast<double>(n - 1), 1e-12);
    expect_eigenvectors(star, rays, 2);
    EXPECT_NEAR(rays.eigenvalues[0], 0.0, 1e-12);
  }
}

TEST(SpectralEmbedding, GivesNoMoreVectorsThanThereAre) {
  EXPECT_EQ(Graph(0).embed(2).vectors.size(), 0);
  EXPECT_EQ(Graph(1).embed(2).vectors.cols(), 0);
  const Graph pair = path(2);
  expect_eigenvectors(pair, pair.embed(5), 1);
  EXPECT_NEAR(pair.embed(5).eigenvalues[0], -1.0, 4 * DBL_EPSILON);
  const Graph longer = path(40);
  expect_eigenvectors(longer, longer.embed(39), 39);
  expect_eigenvectors(random_graph(300, 0.2, 6, 0.01), random_graph(300, 0.2, 6, 0.01).embed(1), 1);
}

TEST(SpectralEmbedding, BitsDoNotDependOnThreads) {
  const Graph graph = random_graph(2500, 0.01, 4, 0.3);
  const SpectralEmbedding expected = graph.embed(2, 1);
  for (const int threads : {2, 5}) {
    const SpectralEmbedding found = graph.embed(2, threads);
    EXPECT_EQ(found.eigenvalues, expected.eigenvalues);
    EXPECT_EQ(found.n_products, expected.n_products);
    EXPECT_EQ(std::memcmp(found.vectors.data(), expected.vectors.data(),
                          at(found.vectors.size()) * sizeof(double)),
              0);
  }
}

}  // namespace
}  // namespace culatent
