#include "culatent/embedding_quality.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <map>
#include <numeric>
#include <vector>

#include "culatent/error.hpp"
#include "tests/core/golden.hpp"
#include "tests/core/oracle.hpp"
#include "tests/device.hpp"
#include "tests/errors.hpp"

namespace culatent {
namespace {

namespace eq = embedding_quality;
using errors::error_of;
using errors::expect_contains;
using oracle::at;
using oracle::Real;
using Labels = std::vector<std::int64_t>;

eq::Quality quality(const Matrix<float>& rows, const Matrix<float>& embedding,
                    const eq::Options& options, const Context& context = Context(on_device())) {
  return eq::quality(context, MatrixRows<float>(rows.view()), MatrixRows<float>(embedding.view()),
                     options);
}

double knn_accuracy(const Matrix<float>& embedding, const Labels& labels,
                    const eq::Options& options, const Context& context = Context(on_device())) {
  return eq::knn_accuracy(context, MatrixRows<float>(embedding.view()), labels, options);
}

Matrix<float> matrix(std::int64_t rows, std::int64_t cols, const std::vector<float>& values) {
  Matrix<float> m(rows, cols);
  std::copy(values.begin(), values.end(), m.data());
  return m;
}

Matrix<float> normal(std::int64_t rows, std::int64_t cols, std::uint64_t seed) {
  oracle::Draws draws(seed);
  Matrix<float> m(rows, cols);
  for (std::int64_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(draws.normal());
  return m;
}

// The other rows, nearest first, by the definition.
std::vector<std::int64_t> others(const Matrix<float>& rows, std::int64_t i) {
  std::vector<std::pair<Real, std::int64_t>> all;
  for (std::int64_t m = 0; m < rows.rows(); ++m) {
    Real sum = 0;
    for (std::int64_t j = 0; j < rows.cols(); ++j) {
      const Real delta = static_cast<Real>(rows(i, j)) - rows(m, j);
      sum += delta * delta;
    }
    if (m != i) all.emplace_back(sum, m);
  }
  std::sort(all.begin(), all.end());
  std::vector<std::int64_t> order;
  for (const auto& entry : all) order.push_back(entry.second);
  return order;
}

std::vector<std::int64_t> spread(std::int64_t n, std::int64_t count) {
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < count; ++i) rows.push_back(i * n / count);
  return rows;
}

eq::Quality naive_quality(const Matrix<float>& rows, const Matrix<float>& embedding, int k,
                          std::int64_t sample_rows) {
  const std::int64_t n = rows.rows(), m = std::min(n, sample_rows);
  Real excess = 0, shared = 0;
  for (const std::int64_t i : spread(n, m)) {
    const std::vector<std::int64_t> near = others(rows, i), placed = others(embedding, i);
    for (int c = 0; c < k; ++c) {
      const auto rank = std::find(near.begin(), near.end(), placed[at(c)]) - near.begin() + 1;
      excess += static_cast<Real>(std::max<std::int64_t>(0, rank - k));
      shared += rank <= k ? 1 : 0;
    }
  }
  const Real pairs = static_cast<Real>(m) * k;
  return {static_cast<double>(1 - 2 * excess / (pairs * static_cast<Real>(2 * n - 3 * k - 1))),
          static_cast<double>(shared / pairs), m};
}

double naive_accuracy(const Matrix<float>& embedding, const Labels& labels, int k,
                      std::int64_t sample_rows) {
  const std::int64_t n = embedding.rows(), m = std::min(n, sample_rows);
  std::int64_t right = 0;
  for (const std::int64_t i : spread(n, m)) {
    const std::vector<std::int64_t> order = others(embedding, i);
    std::map<std::int64_t, int> votes;
    for (int c = 0; c < k; ++c) ++votes[labels[at(order[at(c)])]];
    int most = 0;
    for (const auto& [label, count] : votes) most = std::max(most, count);
    const auto first = std::find_if(order.begin(), order.end(), [&](std::int64_t row) {
      return votes[labels[at(row)]] == most;
    });
    right += labels[at(*first)] == labels[at(i)] ? 1 : 0;
  }
  return static_cast<double>(right) / static_cast<double>(m);
}

// Both are fractions of whole numbers, then a product and a difference.
void expect_same(const eq::Quality& actual, const eq::Quality& expected) {
  EXPECT_NEAR(actual.trustworthiness, expected.trustworthiness, 4 * DBL_EPSILON);
  EXPECT_NEAR(actual.neighbour_preservation, expected.neighbour_preservation, 4 * DBL_EPSILON);
  EXPECT_EQ(actual.n_rows_used, expected.n_rows_used);
}

bool same_bits(const eq::Quality& a, const eq::Quality& b) {
  return a.trustworthiness == b.trustworthiness &&
         a.neighbour_preservation == b.neighbour_preservation && a.n_rows_used == b.n_rows_used;
}

// Whole numbers, so that every distance and every tie is exact.
Matrix<float> whole(const std::string& name, double factor) {
  const Matrix<double> read = golden::read_matrix(CULATENT_TEST_DATA "/data/" + name);
  Matrix<float> rows(read.rows(), read.cols());
  for (std::int64_t i = 0; i < rows.size(); ++i) {
    rows.data()[i] = static_cast<float>(std::round(factor * read.data()[i]));
  }
  return rows;
}

// Places that have nothing to do with the data.
Matrix<float> unrelated(std::int64_t n) {
  Matrix<float> embedding(n, 2);
  for (std::int64_t i = 0; i < n; ++i) {
    embedding(i, 0) = static_cast<float>((i * i * 31 + i * 7919) % 4093);
    embedding(i, 1) = static_cast<float>((i * i * 17 + i * 104729 + 577) % 4079);
  }
  return embedding;
}

// Two directions of the data; what i adds parts rows that would share a place.
Matrix<float> projection(const Matrix<float>& rows) {
  Matrix<float> embedding(rows.rows(), 2);
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    double x = static_cast<double>(i) / 4096.0, y = 3.0 * x;
    for (std::int64_t j = 0; j < rows.cols(); ++j) {
      x += static_cast<double>(rows(i, j)) * static_cast<double>((j * j * 31 + j * 7) % 23 - 11);
      y += static_cast<double>(rows(i, j)) * static_cast<double>((j * j * 13 + j * 5 + 3) % 19 - 9);
    }
    embedding(i, 0) = static_cast<float>(x);
    embedding(i, 1) = static_cast<float>(y);
  }
  return embedding;
}

TEST(EmbeddingQuality, AgreesWithScikitLearn) {
  // sklearn.manifold.trustworthiness 1.9.1 of the matrix of squared distances (metric =
  // "precomputed"), each with 1e-6 times the column's number added: ties then go to the lower
  // index, where scikit-learn leaves them to its sort. Preservation and accuracy by numpy, from
  // sets of neighbours. No row of an embedding has a tie at its k-th neighbour.
  struct Case {
    bool projected;
    int k;
    double trustworthiness, preservation;
    int right;
  };
  const std::map<std::string, std::vector<Case>> files = {
      {"iris",
       {{false, 1, 0.4859009009009009, 0.006666666666666667, 43},
        {false, 5, 0.5207042253521127, 0.028, 54},
        {false, 50, 0.5647624161073825, 0.336, 51},
        {true, 1, 0.9508558558558559, 0.26, 135},
        {true, 5, 0.9661032863849766, 0.544, 139},
        {true, 12, 0.9717110266159695, 0.6783333333333333, 138},
        {true, 50, 0.9904680089485458, 0.9306666666666669, 134}}},
      {"digits",
       {{false, 1, 0.4988825386786706, 0.0, 191},
        {true, 1, 0.6370050362489014, 0.0077907623817473565, 405},
        {true, 5, 0.6536862723506944, 0.02203672787979967, 477},
        {true, 12, 0.6593647238572269, 0.04414765349656835, 521},
        {true, 50, 0.663256794693321, 0.11141903171953257, 595}}}};
  for (const auto& [name, cases] : files) {
    const Matrix<float> rows = whole(name + ".npy", name == "iris" ? 10.0 : 1.0);
    const Matrix<float> known = whole(name + "_labels.npy", 1.0);
    const Labels labels(known.data(), known.data() + known.size());
    const Matrix<float> random = unrelated(rows.rows()), projected = projection(rows);
    for (const Case& c : cases) {
      const Matrix<float>& embedding = c.projected ? projected : random;
      SCOPED_TRACE(name + (c.projected ? " projected" : " unrelated") + std::to_string(c.k));
      const eq::Quality actual = quality(rows, embedding, {.n_neighbors = c.k});
      // numpy adds shares of neighbours row by row.
      const double loss = DBL_EPSILON * static_cast<double>(rows.rows());
      EXPECT_NEAR(actual.trustworthiness, c.trustworthiness, 4 * DBL_EPSILON);
      EXPECT_NEAR(actual.neighbour_preservation, c.preservation, loss);
      EXPECT_EQ(actual.n_rows_used, rows.rows());
      EXPECT_EQ(knn_accuracy(embedding, labels, {.n_neighbors = c.k}),
                c.right / static_cast<double>(rows.rows()));
    }
  }
}

TEST(EmbeddingQuality, IsOneForTheDataThemselves) {
  const Matrix<float> rows = normal(150, 3, 1);
  Matrix<float> moved = rows;  // twice as large, elsewhere
  for (std::int64_t i = 0; i < moved.size(); ++i) moved.data()[i] *= -2.0f;
  for (const int k : {1, 5, 74}) {
    const eq::Quality q = quality(rows, moved, {.n_neighbors = k});
    EXPECT_EQ(q.trustworthiness, 1.0);
    EXPECT_EQ(q.neighbour_preservation, 1.0);
  }
}

TEST(EmbeddingQuality, IsZeroWhereTheNearestWasTheFarthest) {
  // Every row's farthest is its nearest in the embedding: rank 3 of 3, 4 rows · excess 2.
  const Matrix<float> rows = matrix(4, 1, {0, 1, 3, 7});
  const Matrix<float> embedding = matrix(4, 2, {1, 0, -2, 0, 0, 3, 0, 0});
  const eq::Quality q = quality(rows, embedding, {.n_neighbors = 1});
  EXPECT_EQ(q.trustworthiness, 0.0);
  EXPECT_EQ(q.neighbour_preservation, 0.0);
}

TEST(EmbeddingQuality, CountsByHand) {
  // On a line 0 1 3 7 15 31 whose last two have changed places; k = 2, of 6. In the embedding row
  // 5 has 3 2 (ranks 2 3), row 4 has 5 3 (ranks 5 1: the others are all nearer than 31), and
  // rows 3 to 0 have 2 1, 1 0, 0 2, 1 2 as before: excess 1 + 3.
  const Matrix<float> rows = matrix(6, 1, {0, 1, 3, 7, 15, 31});
  const Matrix<float> embedding = matrix(6, 1, {0, 1, 3, 7, 31, 15});
  const eq::Quality q = quality(rows, embedding, {.n_neighbors = 2});
  EXPECT_NEAR(q.trustworthiness, 1.0 - 2.0 / (6.0 * 2.0 * 5.0) * 4.0, 2 * DBL_EPSILON);
  EXPECT_NEAR(q.neighbour_preservation, 10.0 / 12.0, DBL_EPSILON);
}

TEST(EmbeddingQuality, IsByTheDefinitionForEveryShape) {
  const struct {
    std::int64_t n, d, q;
    int k;
  } cases[] = {{3, 1, 1, 1},     {15, 2, 1, 7},     {16, 5, 2, 3},     {63, 255, 2, 31},
               {65, 256, 2, 15}, {129, 257, 3, 16}, {200, 513, 2, 17}, {257, 7, 4, 128}};
  for (const auto& c : cases) {
    SCOPED_TRACE(std::to_string(c.n) + " " + std::to_string(c.d) + " " + std::to_string(c.k));
    const Matrix<float> rows = normal(c.n, c.d, 2);
    Matrix<float> embedding = normal(c.n, c.q, 3);
    for (std::int64_t i = 0; i < c.n; ++i) embedding(i, 0) += 3.0f * rows(i, 0);
    Labels labels;
    for (std::int64_t i = 0; i < c.n; ++i) labels.push_back(rows(i, 0) > 0.0f ? 7 : i % 3 - 1);
    for (const std::int64_t sample : {std::int64_t{1}, c.n / 2 + 1, c.n, c.n + 1}) {
      const eq::Options options{.n_neighbors = c.k, .sample_rows = sample};
      expect_same(quality(rows, embedding, options), naive_quality(rows, embedding, c.k, sample));
      EXPECT_EQ(knn_accuracy(embedding, labels, options),
                naive_accuracy(embedding, labels, c.k, sample));
    }
  }
}

TEST(EmbeddingQuality, TiesGoToTheLowerRow) {
  // Few places, whole numbers: most distances are shared, many rows are equal.
  oracle::Draws draws(4);
  Matrix<float> rows(160, 3), embedding(160, 2);
  Labels labels;
  for (std::int64_t i = 0; i < rows.size(); ++i) {
    rows.data()[i] = static_cast<float>(draws.below(3));
  }
  for (std::int64_t i = 0; i < embedding.size(); ++i) {
    embedding.data()[i] = static_cast<float>(draws.below(4));
  }
  for (std::int64_t i = 0; i < 160; ++i) labels.push_back(draws.below(5));
  for (const int k : {1, 2, 5, 40, 79}) {
    expect_same(quality(rows, embedding, {.n_neighbors = k}),
                naive_quality(rows, embedding, k, 160));
    EXPECT_EQ(knn_accuracy(embedding, labels, {.n_neighbors = k}),
              naive_accuracy(embedding, labels, k, 160));
  }
  const Matrix<float> equal(160, 3);
  expect_same(quality(equal, embedding, {.n_neighbors = 7}),
              naive_quality(equal, embedding, 7, 160));
}

TEST(EmbeddingQuality, LabelsThatTieGoToTheNearest) {
  // Row 0 at 0: neighbours 1 (label 5), 2 and 3 (label 4), 4 (label 5).
  const Matrix<float> line = matrix(5, 1, {0, 1, 2, 3, 4});
  const eq::Options one_row{.n_neighbors = 4, .sample_rows = 1};
  EXPECT_EQ(knn_accuracy(line, {5, 5, 4, 4, 5}, one_row), 1.0);
  EXPECT_EQ(knn_accuracy(line, {4, 5, 4, 4, 5}, one_row), 0.0);
  EXPECT_EQ(knn_accuracy(line, {4, 5, 4, 4, 4}, one_row), 1.0);
  EXPECT_EQ(knn_accuracy(line, {4, 5, 4, 4, 5}, {.n_neighbors = 3, .sample_rows = 1}), 1.0);
}

TEST(EmbeddingQuality, SurvivesTheEndsOfFloat) {
  Matrix<float> rows = normal(60, 4, 5), embedding = normal(60, 2, 6);
  for (std::int64_t i = 0; i < 60; ++i) {
    rows(i, 1) *= 1e-30f;
    rows(i, 2) = i == 7 ? FLT_MAX : i == 8 ? -FLT_MAX : 1e38f * rows(i, 2);
    embedding(i, 1) *= 1e-42f;  // subnormal
  }
  expect_same(quality(rows, embedding, {}), naive_quality(rows, embedding, 5, 60));
}

TEST(EmbeddingQuality, BitsDependOnNeitherThreadsNorMemoryNorWhereRowsCome) {
  const Matrix<float> rows = normal(700, 300, 7), embedding = normal(700, 2, 8);
  const GeneratedRows<float> made(700, 300, [&](std::int64_t first, MatrixView<float> out) {
    for (std::int64_t i = 0; i < out.rows; ++i) {
      std::copy_n(&rows(first + i, 0), 300, out.row(i));
    }
  });
  const eq::Quality expected = quality(rows, embedding, {}, Context({.n_threads = 1}));
  for (const int threads : {2, 3, 7}) {
    const Context context({.n_threads = threads});
    EXPECT_TRUE(same_bits(quality(rows, embedding, {}, context), expected));
    EXPECT_TRUE(
        same_bits(eq::quality(context, made, MatrixRows<float>(embedding.view()), {}), expected));
  }
  const Context tight({.n_threads = 4, .memory_limit = 1'200'000});
  EXPECT_TRUE(same_bits(quality(rows, embedding, {}, tight), expected));
  const Context too_tight({.n_threads = 4, .memory_limit = 100'000});
  expect_contains(error_of<out_of_memory>([&] { quality(rows, embedding, {}, too_tight); }),
                  "the limit is 100000");
  const Labels labels(700, 1);
  error_of<out_of_memory>(
      [&] { knn_accuracy(embedding, labels, {}, Context({.memory_limit = 1000})); });
}

TEST(EmbeddingQuality, TakesWideRowsInSmallTiles) {
  const Matrix<float> rows = normal(40, 100'000, 9), embedding = normal(40, 2, 10);
  expect_same(quality(rows, embedding, {.n_neighbors = 3}), naive_quality(rows, embedding, 3, 40));
}

TEST(EmbeddingQuality, RefusesBadInput) {
  const Matrix<float> rows = normal(20, 3, 11), embedding = normal(20, 2, 12);
  const Labels labels(20, 0);
  const auto refused = [&](const eq::Options& options) {
    return error_of<invalid_argument>([&] { quality(rows, embedding, options); });
  };
  expect_contains(refused({.n_neighbors = 10}),
                  "n_neighbors is 10 (embedding_quality): give 1 to 9");
  EXPECT_NO_THROW(quality(rows, embedding, {.n_neighbors = 9}));
  expect_contains(refused({.n_neighbors = 0}), "n_neighbors is 0");
  expect_contains(refused({.sample_rows = 0}), "sample_rows is 0");
  EXPECT_NO_THROW(knn_accuracy(embedding, labels, {.n_neighbors = 19}));
  expect_contains(
      error_of<invalid_argument>([&] { knn_accuracy(embedding, labels, {.n_neighbors = 20}); }),
      "give 1 to 19");
  expect_contains(error_of<data_error>([&] { knn_accuracy(embedding, Labels(19), {}); }),
                  "19 labels for 20 rows");
  expect_contains(error_of<data_error>([&] { quality(rows, normal(19, 2, 1), {}); }),
                  "the embedding has 19 rows, the data 20");
  error_of<data_error>([&] { quality(Matrix<float>(0, 3), Matrix<float>(0, 2), {}); });
  error_of<data_error>([&] { quality(rows, Matrix<float>(20, 0), {}); });
  error_of<data_error>([&] { knn_accuracy(Matrix<float>(0, 2), {}, {}); });
}

TEST(EmbeddingQuality, NamesTheFirstValueThatIsNoNumber) {
  const Matrix<float> rows = normal(300, 3, 13), embedding = normal(300, 2, 14);
  Matrix<float> bad_rows = rows, bad_embedding = embedding;
  bad_rows(250, 1) = bad_rows(299, 0) = NAN;
  bad_embedding(0, 1) = -INFINITY;
  bad_embedding(299, 0) = NAN;
  for (const int threads : {1, 4}) {
    const Context context({.n_threads = threads});
    expect_contains(
        error_of<data_error>([&] { quality(bad_rows, embedding, {.sample_rows = 2}, context); }),
        "NaN in the data (row 250, column 1)");
    expect_contains(error_of<data_error>([&] { quality(rows, bad_embedding, {}, context); }),
                    "infinite value in the embedding (row 0, column 1)");
    expect_contains(
        error_of<data_error>([&] { knn_accuracy(bad_embedding, Labels(300), {}, context); }),
        "infinite value in the embedding (row 0, column 1)");
  }
}

}  // namespace
}  // namespace culatent
