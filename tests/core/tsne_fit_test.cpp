#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "culatent/embedding_quality.hpp"
#include "culatent/tsne.hpp"
#include "host/tsne.hpp"
#include "tests/core/golden.hpp"
#include "tests/core/tsne_case.hpp"

namespace culatent::tsne {
namespace {

Matrix<float> digits() {
  const Matrix<double> wide = golden::read_matrix(CULATENT_TEST_DATA "/data/digits.npy");
  Matrix<float> rows(wide.rows(), wide.cols());
  std::copy(wide.data(), wide.data() + wide.size(), rows.data());
  return rows;
}

class TsneDimensions : public testing::TestWithParam<int> {};

TEST_P(TsneDimensions, GradientIsThatOfTheDivergence) {
  const int q = GetParam();
  const std::int64_t n = 40;
  const Matrix<float> rows = planted(n, 5, 3, 2.0);
  const Context context(Context::Options{.n_threads = 1});
  const CpuBackend backend{context.threads(), 1};
  Options options;
  options.perplexity = {6.0};
  const Prepared prepared =
      prepare(context, backend, MatrixRows<float>(rows.view()), options, 18, 0);
  const Matrix<float> positions = scattered(n, q, 3.0);
  Matrix<float> attraction(n, q), repulsion(n, q);
  attract(backend, prepared.view(), positions.view(), attraction.view());
  const double z = ExactRepulsion(n, q).repel(backend, positions.view(), repulsion.view());
  const std::vector<double> expected = slopes(prepared.view(), in_double(positions), q);
  double error = 0.0, norm = 0.0;
  for (std::size_t at = 0; at < expected.size(); ++at) {
    const double gradient = 4.0 * (static_cast<double>(attraction.data()[at]) -
                                   static_cast<double>(repulsion.data()[at]) / z);
    error += (gradient - expected[at]) * (gradient - expected[at]);
    norm += expected[at] * expected[at];
  }
  // Central differences are within h² of the slope, relative to a length of 1; forces are float.
  EXPECT_LT(std::sqrt(error / norm), 1e-6 + 64 * std::numeric_limits<float>::epsilon());
}

TEST_P(TsneDimensions, FindsPlantedGroups) {
  const int q = GetParam();
  const std::int64_t n = 900;
  const Matrix<float> rows = planted(n, 12, 6, 3.0);
  const Context context(Context::Options{.n_threads = 2});
  Options options;
  options.n_dimensions = q;
  options.affinities = Affinities::sparse;
  options.max_iter = 500;
  options.seed = 1;
  const Fit fit = tsne::fit(context, rows.view(), options);
  EXPECT_EQ(fit.n_iter, 500);
  EXPECT_EQ(fit.trace.size(), 501u);
  EXPECT_EQ(fit.affinities, Affinities::sparse);
  EXPECT_LT(fit.kl, fit.trace[0].kl);
  EXPECT_GT(embedding_quality::knn_accuracy(context, MatrixRows<float>(fit.embedding.view()),
                                            labels_of(n, 6), {.n_neighbors = 5}),
            0.99);
  // What is told of the embedding is so.
  EXPECT_NEAR(divergence(context, MatrixRows<float>(rows.view()), fit.embedding.view(), options).kl,
              fit.kl, 1e-6 * fit.kl);
  const CpuBackend backend{context.threads(), 2};
  const Prepared prepared =
      prepare(context, backend, MatrixRows<float>(rows.view()), options, 90, 0);
  EXPECT_NEAR(objective(prepared.view(), in_double(fit.embedding), q), fit.kl, 1e-5 * fit.kl);
}

INSTANTIATE_TEST_SUITE_P(Dimensions, TsneDimensions, testing::Values(1, 2, 3));

class TsneRepulsion : public testing::TestWithParam<Repulsion> {};

TEST_P(TsneRepulsion, HasTheSameBitsForAnyThreads) {
  const Matrix<float> rows = planted(1500, 10, 5, 3.0);
  std::vector<Fit> fits;
  for (const int n_threads : {1, 2, 3}) {
    const Context context(Context::Options{.n_threads = n_threads});
    Options options;
    options.repulsion = GetParam();
    options.max_iter = 300;
    options.seed = 5;
    fits.push_back(tsne::fit(context, rows.view(), options));
  }
  for (std::size_t i = 1; i < fits.size(); ++i) {
    EXPECT_TRUE(same_bits(fits[i].embedding, fits[0].embedding));
    EXPECT_EQ(fits[i].kl, fits[0].kl);
  }
}

TEST_P(TsneRepulsion, TakesTheUpdateOfItsFormula) {
  const std::int64_t n = 600;
  const Matrix<float> rows = planted(n, 8, 4, 2.0);
  const Context context(Context::Options{.n_threads = 2});
  Options options;
  options.repulsion = GetParam();
  options.early_exaggeration = 4.0;
  options.learning_rate = 100.0;
  options.start = scattered(n, 2, 5.0);
  options.max_iter = 1;
  const Fit fit = tsne::fit(context, rows.view(), options);
  const CpuBackend backend{context.threads(), 2};
  const Prepared prepared =
      prepare(context, backend, MatrixRows<float>(rows.view()), options, n - 1, 0);
  Matrix<float> attraction(n, 2), repulsion(n, 2);
  attract(backend, prepared.view(), options.start.view(), attraction.view());
  const double z = ExactRepulsion(n, 2).repel(backend, options.start.view(), repulsion.view());
  double mean[2] = {}, error = 0.0, length = 0.0;
  Matrix<double> moved(n, 2);
  for (std::int64_t at = 0; at < 2 * n; ++at) {
    const double gradient = 4.0 * (4.0 * static_cast<double>(attraction.data()[at]) -
                                   static_cast<double>(repulsion.data()[at]) / z);
    // The first gain is 0.8: there is no velocity yet that the gradient could turn.
    moved.data()[at] = static_cast<double>(options.start.data()[at]) - 100.0 * 0.8 * gradient;
    mean[at % 2] += moved.data()[at] / static_cast<double>(n);
    length += std::pow(80.0 * gradient, 2);
  }
  for (std::int64_t at = 0; at < 2 * n; ++at) {
    error += std::pow(
        moved.data()[at] - mean[at % 2] - static_cast<double>(fit.embedding.data()[at]), 2);
  }
  EXPECT_LT(std::sqrt(error / length), GetParam() == Repulsion::exact ? 1e-5 : 1e-3);
}

INSTANTIATE_TEST_SUITE_P(Kinds, TsneRepulsion, testing::Values(Repulsion::exact, Repulsion::fft),
                         [](const auto& test) { return std::string(name(test.param)); });

TEST(Tsne, OfDigitsIsAsGoodAsOtherPackages) {
  // scikit-learn 1.2.1 and Rtsne 0.16, thirteen runs: divergence over all pairs up to 0.7776 with
  // scikit-learn, trustworthiness (5 neighbours) and leave-one-out accuracy of the nearest
  // neighbour at least those below.
  const golden::Case runs("tsne/run_digits");
  const Matrix<float> rows = digits();
  const Context context(Context::Options{.n_threads = 2});
  const MatrixRows<float> source(rows.view());
  const std::vector<double> known = golden::Case("tsne/run_digits").input_values("labels");
  const std::vector<std::int64_t> labels(known.begin(), known.end());
  for (const Repulsion repulsion : {Repulsion::exact, Repulsion::fft}) {
    Options options;
    options.repulsion = repulsion;
    options.seed = 3;
    const Fit fit = tsne::fit(context, source, options);
    Options all = options;
    all.affinities = Affinities::dense;
    EXPECT_LE(divergence(context, source, fit.embedding.view(), all).kl,
              1.05 * runs.expected("kl_exact_range")[1]);
    const MatrixRows<float> embedding(fit.embedding.view());
    EXPECT_GE(embedding_quality::quality(context, source, embedding).trustworthiness,
              runs.expected("trust5_range")[0] - 0.01);
    EXPECT_GE(embedding_quality::knn_accuracy(context, embedding, labels, {.n_neighbors = 1}),
              runs.expected("knn1_acc_range")[0] - 0.02);
  }
}

TEST(Tsne, IsAFunctionOfItsSeed) {
  const Matrix<float> rows = planted(300, 6, 3, 2.0);
  const Context context(Context::Options{.n_threads = 2});
  Options options;
  options.init = Init::random;
  options.max_iter = 60;
  options.seed = 8;
  const Fit first = tsne::fit(context, rows.view(), options);
  EXPECT_EQ(first.seed, 8u);
  EXPECT_TRUE(same_bits(first.embedding, tsne::fit(context, rows.view(), options).embedding));
  options.seed = 9;
  EXPECT_FALSE(same_bits(first.embedding, tsne::fit(context, rows.view(), options).embedding));
}

TEST(Tsne, StartsWhereItIsTold) {
  const std::int64_t n = 400;
  const Matrix<float> rows = planted(n, 6, 3, 3.0);
  const Context context(Context::Options{.n_threads = 1});
  Options options;
  options.max_iter = 0;
  options.seed = 1;
  for (const Init init : {Init::pca, Init::random, Init::spectral}) {
    options.init = init;
    const Fit fit = tsne::fit(context, rows.view(), options);
    double square = 0.0;
    for (std::int64_t i = 0; i < n; ++i) square += std::pow(fit.embedding(i, 0), 2);
    EXPECT_NEAR(std::sqrt(square / static_cast<double>(n)), 1e-4, 1e-5) << name(init);
  }
  // Equal rows have equal first components: the start is not noise.
  options.init = Init::pca;
  Matrix<float> twice(2 * n, 6);
  std::copy_n(rows.data(), rows.size(), twice.data());
  std::copy_n(rows.data(), rows.size(), twice.data() + rows.size());
  const Fit fit = tsne::fit(context, twice.view(), options);
  for (std::int64_t i = 0; i < n; ++i) EXPECT_EQ(fit.embedding(i, 0), fit.embedding(n + i, 0));
}

TEST(Tsne, TellsObserverAndSnapshotAndStops) {
  const Matrix<float> rows = planted(300, 6, 3, 2.0);
  std::vector<int> seen, told;
  Context::Options machine{.n_threads = 1};
  machine.observer = [&](const Progress& progress) {
    if (std::string(progress.phase) == "fit") {
      told.push_back(progress.iteration);
      EXPECT_EQ(progress.max_iter, 200);
      EXPECT_TRUE(std::isfinite(progress.objective));
    }
    return true;
  };
  const Context context(machine);
  Options options;
  options.max_iter = 200;
  options.exaggeration_iter = 70;
  options.interval = 25;
  options.snapshot = [&](const Snapshot& snapshot) {
    seen.push_back(snapshot.iteration);
    EXPECT_EQ(snapshot.embedding.rows, 300);
    return snapshot.iteration < 150;
  };
  const Fit fit = tsne::fit(context, rows.view(), options);
  EXPECT_TRUE(fit.interrupted);
  EXPECT_FALSE(fit.converged);
  EXPECT_EQ(fit.n_iter, 150);
  EXPECT_EQ(seen, (std::vector<int>{0, 25, 50, 70, 75, 100, 125, 150}));
  EXPECT_EQ(told, seen);
  EXPECT_EQ(fit.warnings.back().code, "interrupted");
  ASSERT_EQ(fit.trace.size(), 151u);
  for (std::size_t t = 0; t < fit.trace.size(); ++t) {
    const bool at_interval = std::find(seen.begin(), seen.end(), static_cast<int>(t)) != seen.end();
    EXPECT_EQ(std::isfinite(fit.trace[t].kl), at_interval) << t;
    EXPECT_GT(fit.trace[t].gradient_norm, 0.0);
  }
}

TEST(Tsne, ConvergesWhenTheGradientIsSmall) {
  const Matrix<float> rows = planted(100, 4, 2, 2.0);
  const Context context(Context::Options{.n_threads = 1});
  Options options;
  options.min_gradient = 1e-2;
  options.perplexity = {10.0};
  const Fit fit = tsne::fit(context, rows.view(), options);
  EXPECT_TRUE(fit.converged);
  EXPECT_LT(fit.n_iter, 1000);
  EXPECT_GT(fit.n_iter, options.exaggeration_iter);
  EXPECT_LT(fit.trace[static_cast<std::size_t>(fit.n_iter) - 1].gradient_norm, 1e-2);
}

TEST(Tsne, TakesBandwidthsAndSeveralPerplexities) {
  const Matrix<float> rows = planted(500, 6, 4, 4.0);
  const Context context(Context::Options{.n_threads = 2});
  Options options;
  options.max_iter = 400;
  const std::vector<std::int64_t> labels = labels_of(500, 4);
  for (int kind = 0; kind < 3; ++kind) {
    options.sigma = kind == 0 ? std::optional<double>(1.5) : std::nullopt;
    options.perplexity = kind == 1 ? std::vector<double>{5.0, 50.0} : std::vector<double>{30.0};
    options.affinities = kind == 2 ? Affinities::dense : Affinities::sparse;
    const Fit fit = tsne::fit(context, rows.view(), options);
    if (kind == 2) {
      EXPECT_EQ(fit.n_affinities, 500 * 499);
    }
    EXPECT_GT(embedding_quality::knn_accuracy(context, MatrixRows<float>(fit.embedding.view()),
                                              labels, {.n_neighbors = 5}),
              0.99)
        << kind;
  }
}

TEST(TsneTransform, PutsNewRowsWithTheirLike) {
  const Matrix<float> rows = planted(1200, 10, 5, 3.0);
  const Context context(Context::Options{.n_threads = 2});
  const MatrixView<const float> old = rows.view().slice(0, 1000),
                                fresh = rows.view().slice(1000, 200);
  for (const int q : {1, 2, 3}) {
    Options options;
    options.n_dimensions = q;
    options.max_iter = 400;
    options.affinities = Affinities::sparse;
    const Fit fit = tsne::fit(context, old, options);
    const Matrix<float> placed =
        transform(context, MatrixRows<float>(old), fit.embedding.view(), MatrixRows<float>(fresh));
    ASSERT_EQ(placed.rows(), 200);
    std::int64_t right = 0;
    for (std::int64_t i = 0; i < 200; ++i) {
      std::int64_t nearest = 0;
      double least = 1e30;
      for (std::int64_t j = 0; j < 1000; ++j) {
        double square = 0.0;
        for (int k = 0; k < q; ++k) square += std::pow(placed(i, k) - fit.embedding(j, k), 2);
        if (square < least) {
          least = square;
          nearest = j;
        }
      }
      right += nearest % 5 == (1000 + i) % 5;
    }
    EXPECT_GE(right, 196) << q;
    // Positions may lie apart.
    Matrix<float> wide(1000, q + 3);
    for (std::int64_t i = 0; i < 1000; ++i) std::copy_n(&fit.embedding(i, 0), q, &wide(i, 2));
    const MatrixView<const float> apart(wide.data() + 2, 1000, q, q + 3);
    EXPECT_TRUE(same_bits(
        transform(context, MatrixRows<float>(old), apart, MatrixRows<float>(fresh)), placed));
    EXPECT_EQ(divergence(context, MatrixRows<float>(old), apart, options).kl,
              divergence(context, MatrixRows<float>(old), fit.embedding.view(), options).kl);
    // A row's place is its own affair.
    const Matrix<float> alone = transform(context, MatrixRows<float>(old), fit.embedding.view(),
                                          MatrixRows<float>(fresh.slice(17, 1)));
    for (int k = 0; k < q; ++k) EXPECT_EQ(alone(0, k), placed(17, k));
  }
}

}  // namespace
}  // namespace culatent::tsne
