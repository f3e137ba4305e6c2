#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "culatent/embedding_quality.hpp"
#include "host/tsne.hpp"
#include "tests/core/tsne_case.hpp"
#include "tests/cuda/tsne_fit_case.hpp"

// What a descent on a device comes to.
namespace culatent::tsne {
namespace {

// One update is a step along the slope of the objective, by finite differences.
TEST_F(TsneFitOnDevice, StepsDownTheSlopeOfTheDivergence) {
  for (const int q : {1, 2, 3}) {
    const std::int64_t n = 30;
    const Matrix<float> rows = planted(n, 5, 3, 4.0);
    Options options = quick(q);
    options.exaggeration_iter = 0;
    options.max_iter = 1;
    options.learning_rate = 10.0;
    options.start = scattered(n, q, 3.0);
    const std::vector<double> y = in_double(options.start);
    const Context context = Context({.n_threads = 1});
    const Prepared prepared =
        prepare(context, {context.threads(), 1}, MatrixRows<float>(rows.view()), options,
                choose_neighbors(n, options), 0);
    const std::vector<double> slope = slopes(prepared.view(), y, q);
    std::vector<double> moved(y.size());
    double norm = 0.0;
    for (const double value : slope) norm += value * value;
    norm = std::sqrt(norm);
    // The first step's gain is 0.8; then the mean is 0.
    for (std::size_t at = 0; at < y.size(); ++at) moved[at] = y[at] - 10.0 * 0.8 * slope[at];
    const Fit fit = tsne::fit(cuda(), rows.view(), options);
    ASSERT_EQ(fit.n_iter, 1);
    // Central differences are within h² of the slope, relative to a length of 1; the rest is float.
    constexpr double kFloat = 64 * std::numeric_limits<float>::epsilon();
    EXPECT_NEAR(fit.trace[0].gradient_norm, norm, (1e-6 + kFloat) * norm);
    EXPECT_NEAR(fit.trace[0].kl, objective(prepared.view(), y, q), kFloat * fit.trace[0].kl);
    double widest = 0.0, error = 0.0;
    for (int k = 0; k < q; ++k) {
      double mean = 0.0;
      for (std::int64_t i = 0; i < n; ++i) {
        mean += moved[static_cast<std::size_t>(i * q + k)] / static_cast<double>(n);
      }
      for (std::int64_t i = 0; i < n; ++i) {
        const double expected = moved[static_cast<std::size_t>(i * q + k)] - mean;
        widest = std::max(widest, std::abs(expected));
        error = std::max(error, std::abs(static_cast<double>(fit.embedding(i, k)) - expected));
      }
    }
    EXPECT_LT(error, 8.0 * (1e-6 + kFloat) * norm + kFloat * widest);
    // And what is told of the end is of the end.
    EXPECT_NEAR(fit.kl, objective(prepared.view(), in_double(fit.embedding), q), kFloat * fit.kl);
  }
}

TEST_F(TsneFitOnDevice, FindsPlantedGroupsWithTheDivergenceOfTheCpu) {
  for (const int q : {1, 2, 3}) {
    const std::int64_t n = 120;
    const Matrix<float> rows = planted(n, 8, 3, 4.0);
    std::vector<std::int64_t> labels;
    for (std::int64_t i = 0; i < n; ++i) labels.push_back(i % 3);
    const Context context = cuda();
    // Steps small enough that so few points end where the objective is least.
    Options options = quick(q);
    options.learning_rate = static_cast<double>(n) / options.early_exaggeration;
    options.max_iter = 200;
    const Fit fit = tsne::fit(context, rows.view(), options);
    EXPECT_EQ(fit.n_iter, 200);
    EXPECT_EQ(fit.repulsion, Repulsion::exact);
    EXPECT_TRUE(fit.exact_kl);
    EXPECT_GT(embedding_quality::knn_accuracy(Context({.n_threads = 1}),
                                              MatrixRows<float>(fit.embedding.view()), labels,
                                              {.n_neighbors = 5}),
              0.99);
    // Rounding parts two descents in time: they agree while they are near, and end among those
    // that begin elsewhere.
    double least = std::numeric_limits<double>::infinity(), most = 0.0;
    for (const std::uint64_t seed : {1, 2, 3, 4, 5}) {
      options.seed = seed;
      options.init = seed == 1 ? Init::pca : Init::random;
      const Fit cpu = tsne::fit(Context({.n_threads = 2}), rows.view(), options);
      if (seed == 1) {
        EXPECT_NEAR(fit.trace[0].kl, cpu.trace[0].kl, 1e-6 * cpu.trace[0].kl);
        EXPECT_NEAR(fit.trace[50].kl, cpu.trace[50].kl, 0.02 * cpu.trace[50].kl);
      }
      least = std::min(least, cpu.kl);
      most = std::max(most, cpu.kl);
    }
    EXPECT_GT(fit.kl, 0.98 * least);
    EXPECT_LT(fit.kl, 1.02 * most);
    EXPECT_LE(context.peak_device_bytes(), fit.plan.device_bytes);
    EXPECT_GT(context.peak_device_bytes(), fit.plan.device_bytes / 2);
  }
}

// Duplicates beyond the perplexity among the rows.
TEST_F(TsneFitOnDevice, HasTheAffinitiesOfTheCpu) {
  const std::int64_t n = 90;
  Matrix<float> rows = planted(n, 5, 3, 4.0);
  for (std::int64_t i = 1; i < 20; ++i) std::copy_n(&rows(0, 0), 5, &rows(i, 0));
  const auto apart = [&](std::int64_t i, std::int64_t j) {
    double square = 0.0;
    for (std::int64_t d = 0; d < 5; ++d) {
      square += std::pow(static_cast<double>(rows(i, d)) - static_cast<double>(rows(j, d)), 2);
    }
    return square;
  };
  // These, and others whose nearest they are.
  std::int64_t n_shared = 20;
  for (std::int64_t i = 20; i < n; ++i) {
    bool shared = true;
    for (std::int64_t j = 20; j < n; ++j) shared = shared && (j == i || apart(i, j) > apart(i, 0));
    n_shared += shared ? 1 : 0;
  }
  Options options = quick();
  options.max_iter = 0;
  options.start = scattered(n, 2, 3.0);
  const Context context = cuda();
  for (const bool dense : {false, true}) {
    for (const std::vector<double>& perplexity : {std::vector<double>{8.0}, {3.0, 12.0}}) {
      options.affinities = dense ? Affinities::dense : Affinities::sparse;
      options.perplexity = perplexity;
      const Fit fit = tsne::fit(context, rows.view(), options);
      const Fit cpu = tsne::fit(Context({.n_threads = 1}), rows.view(), options);
      EXPECT_EQ(fit.n_affinities, cpu.n_affinities);
      EXPECT_EQ(fit.n_unreached, n_shared);
      EXPECT_EQ(cpu.n_unreached, n_shared);
      ASSERT_EQ(fit.warnings.size(), cpu.warnings.size());
      for (std::size_t i = 0; i < fit.warnings.size(); ++i) {
        EXPECT_EQ(fit.warnings[i].text, cpu.warnings[i].text);
      }
      EXPECT_NEAR(fit.kl, cpu.kl, 64 * std::numeric_limits<float>::epsilon() * cpu.kl);
      EXPECT_LE(context.peak_device_bytes(), fit.plan.device_bytes);
    }
  }
}

TEST_F(TsneFitOnDevice, BeginsAtTheEigenvectorsOfItsGraph) {
  const Matrix<float> rows = planted(100, 6, 3, 2.0);
  Options options = quick();
  options.max_iter = 0;
  options.init = Init::spectral;
  const Fit fit = tsne::fit(cuda(), rows.view(), options);
  const Fit cpu = tsne::fit(Context({.n_threads = 1}), rows.view(), options);
  // Graphs agree to rounding, and so do vectors whose eigenvalues are apart.
  for (std::int64_t at = 0; at < fit.embedding.size(); ++at) {
    EXPECT_NEAR(fit.embedding.data()[at], cpu.embedding.data()[at], 1e-3f * 1e-4f);
  }
}

TEST_F(TsneFitOnDevice, MovesThroughAGridAsAllPairsMoveIt) {
  for (const int q : {1, 2}) {
    const std::int64_t n = 100;
    const Matrix<float> rows = planted(n, 6, 3, 4.0);
    Options options = quick(q);
    options.exaggeration_iter = 0;
    options.learning_rate = 20.0;
    options.max_iter = 5;
    options.start = scattered(n, q, 4.0);
    const Context context = cuda();
    const Fit exact = tsne::fit(context, rows.view(), options);
    options.repulsion = Repulsion::fft;
    const Fit fit = tsne::fit(context, rows.view(), options);
    EXPECT_EQ(fit.repulsion, Repulsion::fft);
    EXPECT_LE(context.peak_device_bytes(), fit.plan.device_bytes);
    EXPECT_NEAR(fit.kl, exact.kl, 1e-3 * exact.kl);
    // The last one is over all pairs.
    EXPECT_TRUE(fit.exact_kl);
    const CpuBackend backend{context.threads(), 1};
    const Prepared prepared = prepare(context, backend, MatrixRows<float>(rows.view()), options,
                                      choose_neighbors(n, options), 0);
    const double kl = objective(prepared.view(), in_double(fit.embedding), q);
    constexpr double kFloat = 64 * std::numeric_limits<float>::epsilon();
    EXPECT_NEAR(fit.kl, kl, kFloat * kl);
    Matrix<float> wide(n, q + 2);  // a view of whose columns is as good
    for (std::int64_t i = 0; i < n; ++i) std::copy_n(&fit.embedding(i, 0), q, &wide(i, 0));
    for (const std::int64_t stride : {q + 0, q + 2}) {
      const float* at = stride == q ? fit.embedding.data() : wide.data();
      const MatrixView<const float> embedding(at, n, q, stride);
      EXPECT_NEAR(divergence(context, MatrixRows<float>(rows.view()), embedding, options).kl, kl,
                  kFloat * kl);
    }
    double error = 0.0, moved = 0.0;
    for (std::int64_t at = 0; at < n * q; ++at) {
      const auto end = static_cast<double>(exact.embedding.data()[at]);
      error += std::pow(static_cast<double>(fit.embedding.data()[at]) - end, 2);
      moved += std::pow(static_cast<double>(options.start.data()[at]) - end, 2);
    }
    EXPECT_LT(std::sqrt(error / moved), 2e-3);  // each force is within 1e-3
  }
}

// From a start of 1e-4 the embedding outgrows its first grids: intervals are done again.
TEST_F(TsneFitOnDevice, OutgrowsGridsAndHasTheSameBitsAgain) {
  const Matrix<float> rows = planted(60, 6, 3, 4.0);
  Options options = quick();
  options.repulsion = Repulsion::fft;
  options.learning_rate = 300.0;
  options.max_iter = 25;
  const Context context = cuda();
  const Fit fit = tsne::fit(context, rows.view(), options);
  EXPECT_EQ(fit.n_iter, 25);
  EXPECT_LT(fit.kl, fit.trace[0].kl);
  double widest = 0.0;
  for (std::int64_t at = 0; at < fit.embedding.size(); ++at) {
    widest = std::max(widest, std::abs(static_cast<double>(fit.embedding.data()[at])));
  }
  EXPECT_GT(widest, 1.0);
  EXPECT_TRUE(same_bits(tsne::fit(context, rows.view(), options).embedding, fit.embedding));
}

}  // namespace
}  // namespace culatent::tsne
