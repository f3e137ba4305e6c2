#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "culatent/error.hpp"
#include "culatent/tsne.hpp"
#include "host/random.hpp"
#include "tests/errors.hpp"

namespace culatent::tsne {
namespace {

Matrix<float> noise(std::int64_t n, std::int64_t d) {
  Matrix<float> rows(n, d);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < d; ++j) {
      rows(i, j) = static_cast<float>(random::normals(6, random::Stream::positions,
                                                      static_cast<std::uint64_t>(i),
                                                      static_cast<std::uint32_t>(j))[0]);
    }
  }
  return rows;
}

class TsneInput : public testing::Test {
 protected:
  Fit run(const Matrix<float>& rows) { return tsne::fit(context_, rows.view(), options_); }
  void expect_finite(const Matrix<float>& rows) {
    const Fit fit = run(rows);
    for (std::int64_t at = 0; at < fit.embedding.size(); ++at) {
      ASSERT_TRUE(std::isfinite(fit.embedding.data()[at]));
    }
    EXPECT_TRUE(std::isfinite(fit.kl));
  }

  Context context_{Context::Options{.n_threads = 2}};
  Options options_ = {.max_iter = 300, .seed = 1};
};

TEST_F(TsneInput, OptionsThatMakeNoSenseAreRefused) {
  const Matrix<float> rows = noise(100, 4);
  const std::function<void(Options&)> mistakes[] = {
      [](Options& o) { o.n_dimensions = 0; },
      [](Options& o) { o.n_dimensions = 4; },
      [](Options& o) { o.perplexity = {}; },
      [](Options& o) { o.perplexity = {1.0}; },
      [](Options& o) {
        o.perplexity = {30.0, 0.5};
      },
      [](Options& o) { o.perplexity = {std::nan("")}; },
      [](Options& o) { o.sigma = 0.0; },
      [](Options& o) { o.early_exaggeration = 0.0; },
      [](Options& o) { o.learning_rate = -1.0; },
      [](Options& o) { o.momentum = 1.0; },
      [](Options& o) { o.max_iter = -1; },
      [](Options& o) { o.exaggeration_iter = -1; },
      [](Options& o) { o.interval = 0; },
      [](Options& o) { o.min_gradient = std::nan(""); },
      [](Options& o) {
        o.n_dimensions = 3;
        o.repulsion = Repulsion::fft;
      },
  };
  for (const auto& mistake : mistakes) {
    Options options = options_;
    mistake(options);
    EXPECT_THROW(tsne::fit(context_, rows.view(), options), invalid_argument);
  }
}

TEST_F(TsneInput, DataThatCannotBeEmbeddedAreRefused) {
  EXPECT_THROW(run(noise(2, 3)), data_error);
  EXPECT_THROW(run(noise(0, 3)), data_error);
  EXPECT_THROW(run(Matrix<float>(50, 0)), data_error);
  EXPECT_THROW(run(noise(31, 3)), data_error) << "perplexity 30 of 30 others";
  options_.perplexity = {5.0};
  EXPECT_THROW(run(Matrix<float>(50, 3)), data_error) << "all rows are equal";
  Matrix<float> bad = noise(50, 3);
  bad(17, 2) = std::numeric_limits<float>::quiet_NaN();
  errors::expect_contains(errors::error_of<data_error>([&] { run(bad); }), "row 17, column 2");
  bad(17, 2) = std::numeric_limits<float>::infinity();
  errors::expect_contains(errors::error_of<data_error>([&] { run(bad); }), "row 17, column 2");
}

TEST_F(TsneInput, StartsThatDoNotFitAreRefused) {
  const Matrix<float> rows = noise(50, 3);
  options_.perplexity = {5.0};
  options_.start = Matrix<float>(49, 2);
  EXPECT_THROW(run(rows), data_error);
  options_.start = Matrix<float>(50, 3);
  EXPECT_THROW(run(rows), data_error);
  options_.start = Matrix<float>(50, 2);
  options_.start(3, 1) = std::numeric_limits<float>::infinity();
  errors::expect_contains(errors::error_of<data_error>([&] { run(rows); }), "row 3, column 1");
}

// Fewer rows than three perplexities: all others are neighbours.
TEST_F(TsneInput, EmbeddingsElsewhereAreRefused) {
  const Matrix<float> rows = noise(50, 3), embedding = noise(50, 2);
  const MatrixView<const float> elsewhere(embedding.data(), 50, 2, 2, MemorySpace::device);
  EXPECT_THROW(divergence(context_, MatrixRows<float>(rows.view()), elsewhere), invalid_argument);
  EXPECT_THROW(divergence(context_, MatrixRows<float>(rows.view()), embedding.view().slice(0, 49)),
               data_error);
}

TEST_F(TsneInput, FewRowsHaveAnEmbedding) {
  for (const std::int64_t n : {33, 60, 90, 91}) expect_finite(noise(n, 4));
  options_.perplexity = {1.5};
  expect_finite(noise(4, 2));
}

TEST_F(TsneInput, OneColumnHasAnEmbeddingInTheWholePlane) {
  const Matrix<float> rows = noise(300, 1);
  const Fit fit = run(rows);
  double square = 0.0;
  for (std::int64_t i = 0; i < 300; ++i) square += std::pow(fit.embedding(i, 1), 2);
  EXPECT_GT(square, 1.0) << "the second dimension is used";
}

TEST_F(TsneInput, DuplicatesAndOneHotRowsHaveAnEmbedding) {
  Matrix<float> rows = noise(400, 3);
  for (std::int64_t i = 0; i < 200; ++i) {
    for (std::int64_t j = 0; j < 3; ++j) rows(i, j) = 1.0f;  // more equal rows than the perplexity
  }
  expect_finite(rows);
  const Fit fit = run(rows);
  // The equal rows, and those that are nearer to them than to any other.
  std::int64_t n_unreached = 200;
  for (std::int64_t i = 200; i < 400; ++i) {
    const auto square = [&](std::int64_t other) {
      double sum = 0.0;
      for (std::int64_t j = 0; j < 3; ++j) {
        sum += std::pow(static_cast<double>(rows(i, j)) - static_cast<double>(rows(other, j)), 2);
      }
      return sum;
    };
    bool nearest = true;
    for (std::int64_t j = 200; j < 400; ++j) nearest = nearest && (j == i || square(0) < square(j));
    n_unreached += nearest ? 1 : 0;
  }
  EXPECT_EQ(fit.n_unreached, n_unreached);
  EXPECT_EQ(fit.warnings.front().code, "perplexity");
  Matrix<float> one_hot(600, 30);
  for (std::int64_t i = 0; i < 600; ++i) {
    one_hot(i, i % 17) = 1.0f;
    one_hot(i, 17 + i % 13) = 1000.0f;
  }
  expect_finite(one_hot);
}

TEST_F(TsneInput, ScalesAndOutliersDoNoHarm) {
  for (const int power : {-100, -30, 30, 100}) {  // of two: values keep their digits
    Matrix<float> rows = noise(300, 5);
    const Fit plain = run(rows);
    for (std::int64_t at = 0; at < rows.size(); ++at) {
      rows.data()[at] = std::ldexp(rows.data()[at], power);
    }
    EXPECT_NEAR(run(rows).kl, plain.kl, 1e-6 * plain.kl) << power;
  }
  for (const float far : {1e6f, 1e30f}) {
    Matrix<float> rows = noise(300, 5);
    rows(7, 2) = far;
    expect_finite(rows);
  }
}

TEST_F(TsneInput, AWildLearningRateDoesNotThrowPointsAway) {
  options_.learning_rate = 1e6;
  expect_finite(noise(300, 5));
  options_.repulsion = Repulsion::fft;
  expect_finite(noise(300, 5));
}

TEST_F(TsneInput, MemoryIsPlannedAndHeld) {
  const Matrix<float> rows = noise(2000, 10);
  const MatrixRows<float> source(rows.view());
  const Plan free = plan(context_, source, options_);
  EXPECT_EQ(free.rows, 2000);
  EXPECT_GT(free.host_bytes, 2000 * 90 * 2 * 8);
  Context::Options machine{.n_threads = 2};
  machine.memory_limit = free.host_bytes / 2;
  const Context small(machine);
  EXPECT_THROW(plan(small, source, options_), out_of_memory);
  EXPECT_THROW(tsne::fit(small, source, options_), out_of_memory);
}

TEST_F(TsneInput, AStopBeforeTheDescentGivesTheStart) {
  Context::Options machine{.n_threads = 1};
  machine.observer = [](const Progress&) { return false; };
  const Context context(machine);
  const Matrix<float> rows = noise(3000, 40);
  const Fit fit = tsne::fit(context, rows.view(), options_);
  EXPECT_TRUE(fit.interrupted);
  EXPECT_EQ(fit.n_iter, 0);
  EXPECT_EQ(fit.embedding.rows(), 3000);
  EXPECT_EQ(fit.trace.size(), 1u);
}

TEST_F(TsneInput, TransformRefusesWhatDoesNotFit) {
  const Matrix<float> rows = noise(100, 4);
  const MatrixRows<float> source(rows.view());
  const Matrix<float> embedding = noise(100, 2);
  const Matrix<float> wrong = noise(99, 2), narrow = noise(10, 3), four = noise(100, 4);
  EXPECT_THROW(transform(context_, source, wrong.view(), source), data_error);
  EXPECT_THROW(transform(context_, source, four.view(), source), data_error);
  EXPECT_THROW(transform(context_, source, embedding.view(), MatrixRows<float>(narrow.view())),
               data_error);
  EXPECT_THROW(transform(context_, source, embedding.view(), source, {.perplexity = 1.0}),
               invalid_argument);
  EXPECT_THROW(transform(context_, source, embedding.view(), source, {.perplexity = 200.0}),
               data_error);
  EXPECT_EQ(
      transform(context_, source, embedding.view(), MatrixRows<float>({nullptr, 0, 4})).rows(), 0);
}

}  // namespace
}  // namespace culatent::tsne
