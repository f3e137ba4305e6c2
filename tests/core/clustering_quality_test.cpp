#include "culatent/clustering_quality.hpp"

#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>
#include <map>
#include <mutex>
#include <set>
#include <vector>

#include "culatent/error.hpp"
#include "tests/core/oracle.hpp"
#include "tests/errors.hpp"

namespace culatent {
namespace {

namespace cq = clustering_quality;
using errors::error_of;
using errors::expect_contains;
using oracle::at;
using oracle::Real;
using Labels = std::vector<std::int64_t>;

struct Data {
  Matrix<double> rows;
  Labels labels, known;
};

// Numbers that Python makes alike: multiples of 1/64.
Data formula(std::int64_t n, std::int64_t d, std::int64_t k) {
  Data data{Matrix<double>(n, d), {}, {}};
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t label = (i * i + 3 * i) % k;
    data.labels.push_back(label);
    data.known.push_back((i * 7) % 11 / 4 + label % 2 * 3);
    for (std::int64_t j = 0; j < d; ++j) {
      const std::int64_t noise = (i * i * 31 + i * (7919 + 104 * j) + j * j * 577) % 1009;
      data.rows(i, j) =
          static_cast<double>(noise) / 64.0 + 6.0 * static_cast<double>(label * (j + 1) % k);
    }
  }
  return data;
}

// Rows around K places, labelled now and then by another; the last cluster has one row.
Data blobs(std::int64_t n, std::int64_t d, std::int64_t k, std::uint64_t seed) {
  oracle::Draws draws(seed);
  Data data{Matrix<double>(n, d), Labels(at(n)), {}};
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t place = draws.below(k - 1);
    for (std::int64_t j = 0; j < d; ++j) {
      data.rows(i, j) = draws.normal() + 3.0 * static_cast<double>((place * (j + 2)) % k);
    }
    data.labels[at(i)] = i == 1 ? k - 1 : i < k - 1 ? i : draws.uniform() < 0.9 ? place : 0;
  }
  return data;
}

template <class T>
Matrix<T> cast(const Matrix<double>& m, double scale = 1.0, double offset = 0.0) {
  Matrix<T> result(m.rows(), m.cols());
  for (std::int64_t i = 0; i < m.size(); ++i) {
    result.data()[i] = static_cast<T>(m.data()[i] * scale + offset);
  }
  return result;
}

template <class T = double>
double silhouette(const Matrix<T>& rows, const Labels& labels, const Context& context = Context()) {
  const cq::Silhouette result =
      cq::silhouette<T>(context, MatrixRows<T>(rows.view()), labels, {.sample_rows = rows.rows()});
  EXPECT_EQ(result.n_rows_used, rows.rows());
  return result.value;
}

template <class T = double>
double davies_bouldin(const Matrix<T>& rows, const Labels& labels,
                      const Context& context = Context()) {
  return cq::davies_bouldin<T>(context, MatrixRows<T>(rows.view()), labels);
}

Real distance(const double* a, const Real* b, std::int64_t d) {
  Real sum = 0;
  for (std::int64_t j = 0; j < d; ++j) sum += (a[j] - b[j]) * (a[j] - b[j]);
  return std::sqrt(sum);
}

// By the definition, in long double.
Real naive_silhouette(const Matrix<double>& rows, const Labels& labels) {
  std::map<std::int64_t, Real> count;
  for (const std::int64_t label : labels) count[label] += 1;
  Real total = 0;
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    const std::int64_t mine = labels[at(i)];
    const std::vector<Real> row(&rows(i, 0), &rows(i, 0) + rows.cols());
    std::map<std::int64_t, Real> sums;
    for (std::int64_t m = 0; m < rows.rows(); ++m) {
      sums[labels[at(m)]] += distance(&rows(m, 0), row.data(), rows.cols());
    }
    if (count[mine] == 1) continue;
    const Real a = sums[mine] / (count[mine] - 1);
    Real b = HUGE_VALL;
    for (const auto& [label, sum] : sums) {
      if (label != mine) b = std::min(b, sum / count[label]);
    }
    total += (b - a) / std::max(a, b);
  }
  return total / static_cast<Real>(rows.rows());
}

Real naive_davies_bouldin(const Matrix<double>& rows, const Labels& labels) {
  const std::int64_t d = rows.cols();
  std::map<std::int64_t, std::vector<Real>> centroids;
  std::map<std::int64_t, Real> count, spread;
  for (const std::int64_t label : labels) count[label] += 1;
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    const std::int64_t k = labels[at(i)];
    centroids[k].resize(at(d));
    for (std::int64_t j = 0; j < d; ++j) centroids[k][at(j)] += rows(i, j) / count[k];
  }
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    const std::int64_t k = labels[at(i)];
    spread[k] += distance(&rows(i, 0), centroids[k].data(), d) / count[k];
  }
  Real total = 0;
  for (const auto& [k, mine] : centroids) {
    Real greatest = 0;
    for (const auto& [m, other] : centroids) {
      if (m == k) continue;
      Real square = 0;
      for (std::size_t j = 0; j < at(d); ++j) square += (mine[j] - other[j]) * (mine[j] - other[j]);
      greatest = std::max(greatest, (spread[k] + spread[m]) / std::sqrt(square));
    }
    total += greatest / static_cast<Real>(centroids.size());
  }
  return total;
}

TEST(ClusteringQuality, AgreesWithScikitLearn) {
  // sklearn.metrics 1.9.1 of formula(): adjusted_rand_score, normalized_mutual_info_score,
  // silhouette_score, davies_bouldin_score.
  const struct {
    std::int64_t n, d, k;
    double adjusted_rand, information, silhouette, davies_bouldin;
  } cases[] = {
      {60, 2, 3, 0.30201019524862943, 0.5402550956019435, 0.449466931267436, 0.7686736038533606},
      {500, 3, 7, 0.2487395576120342, 0.436972301106915, 0.624535098476985, 0.5539077593684156},
      {2100, 5, 11, 0.5703985686007933, 0.7525133811911453, 0.7353844765463071,
       0.38479924721137393},
  };
  for (const auto& c : cases) {
    const Data data = formula(c.n, c.d, c.k);
    // scikit-learn's |x|² − 2 x y + |y|² loses some digits to cancellation.
    const double loss = 64.0 * DBL_EPSILON * static_cast<double>(c.d + 10);
    EXPECT_NEAR(cq::adjusted_rand(data.known, data.labels), c.adjusted_rand, 8 * DBL_EPSILON);
    EXPECT_NEAR(cq::normalized_mutual_information(data.known, data.labels), c.information,
                32 * DBL_EPSILON);
    EXPECT_NEAR(silhouette(data.rows, data.labels), c.silhouette, loss);
    EXPECT_NEAR(davies_bouldin(data.rows, data.labels), c.davies_bouldin, loss);
    const Matrix<float> narrow = cast<float>(data.rows);  // the same numbers
    EXPECT_EQ(silhouette(narrow, data.labels), silhouette(data.rows, data.labels));
    EXPECT_EQ(davies_bouldin(narrow, data.labels), davies_bouldin(data.rows, data.labels));
  }
}

TEST(ClusteringQuality, FourPointsByHand) {
  Matrix<double> rows(4, 1);
  for (std::int64_t i = 0; i < 4; ++i) rows(i, 0) = static_cast<double>(i + (i > 1 ? 8 : 0));
  const Labels labels = {3, 3, -8, -8};  // at 0, 1 and 10, 11
  const double expected = (9.5 / 10.5 + 8.5 / 9.5) / 2.0;
  for (const double scale : {1.0, 0x1p-700, 0x1p990}) {
    const Matrix<double> scaled = cast<double>(rows, scale);
    EXPECT_NEAR(silhouette(scaled, labels), expected, 2 * DBL_EPSILON);
    EXPECT_NEAR(davies_bouldin(scaled, labels), 0.1, DBL_EPSILON);
  }
  for (const double offset : {1e8, -1e15}) {
    const Matrix<double> shifted = cast<double>(rows, 1.0, offset);
    EXPECT_NEAR(silhouette(shifted, labels), expected, 2 * DBL_EPSILON);
    EXPECT_NEAR(davies_bouldin(shifted, labels), 0.1, DBL_EPSILON);
  }
  const Matrix<double> same = cast<double>(rows, 0.0, 5.0);
  EXPECT_EQ(silhouette(same, labels), 0.0);
  EXPECT_EQ(davies_bouldin(same, labels), 0.0);
}

TEST(ClusteringQuality, IsItsDefinitionAtAnySize) {
  const std::int64_t shapes[][3] = {{3, 1, 2},    {5, 3, 3},    {16, 4, 4},     {17, 5, 2},
                                    {255, 2, 7},  {256, 17, 3}, {257, 8, 40},   {600, 3, 2},
                                    {1024, 2, 9}, {1025, 1, 3}, {1500, 33, 200}};
  for (const auto& [n, d, k] : shapes) {
    const Data data = blobs(n, d, k, static_cast<std::uint64_t>(n));
    const Labels& labels = data.labels;
    // Sums of at most n terms in blocks of 64 or 1024; far below n roundings.
    const double loss = DBL_EPSILON * static_cast<double>(d + 64);
    EXPECT_NEAR(silhouette(data.rows, labels),
                static_cast<double>(naive_silhouette(data.rows, labels)), loss);
    const auto index = static_cast<double>(naive_davies_bouldin(data.rows, labels));
    EXPECT_NEAR(davies_bouldin(data.rows, labels), index, loss * 16 * index);
    const Matrix<float> narrow = cast<float>(data.rows, 1.0, 1e3);
    const Matrix<double> wide = [&] {
      Matrix<double> copy(n, d);
      for (std::int64_t i = 0; i < copy.size(); ++i) {
        copy.data()[i] = static_cast<double>(narrow.data()[i]);
      }
      return copy;
    }();
    EXPECT_NEAR(silhouette(narrow, labels), static_cast<double>(naive_silhouette(wide, labels)),
                loss);
    const auto narrow_index = static_cast<double>(naive_davies_bouldin(wide, labels));
    EXPECT_NEAR(davies_bouldin(narrow, labels), narrow_index, loss * 16 * narrow_index);
  }
}

TEST(ClusteringQuality, BitsDoNotDependOnThreadsChunksNamesOrSource) {
  const Data data = blobs(5000, 3, 6, 4);
  const GeneratedRows<double> generated(5000, 3, [&](std::int64_t first, MatrixView<double> out) {
    for (std::int64_t i = 0; i < out.rows; ++i) {
      for (std::int64_t j = 0; j < 3; ++j) out(i, j) = data.rows(first + i, j);
    }
  });
  const MatrixRows<double> matrix(data.rows.view());
  Labels renamed;
  for (const std::int64_t label : data.labels) renamed.push_back(1'000'000'007 * (9 - label));
  std::set<double> silhouettes, samples, indices;
  for (const int n_threads : {1, 2, 3, 7}) {
    const Context context({.n_threads = n_threads, .chunk_rows = n_threads * 777});
    for (const Labels& labels : {data.labels, renamed}) {
      for (const RowSource<double>* rows :
           std::initializer_list<const RowSource<double>*>{&matrix, &generated}) {
        silhouettes.insert(cq::silhouette<double>(context, *rows, labels).value);
        samples.insert(
            cq::silhouette<double>(context, *rows, labels, {.sample_rows = 700, .seed = 3}).value);
        indices.insert(cq::davies_bouldin<double>(context, *rows, labels));
      }
    }
  }
  EXPECT_EQ(silhouettes.size(), 1u);
  EXPECT_EQ(samples.size(), 1u);
  EXPECT_EQ(indices.size(), 1u);
  EXPECT_NE(*samples.begin(), *silhouettes.begin());
}

TEST(ClusteringQuality, ASampleIsTheSilhouetteOfItsRows) {
  constexpr std::int64_t n = 20'000, m = 500;
  const Data data = blobs(n, 2, 5, 8);
  std::mutex mutex;
  std::set<std::int64_t> read;
  const GeneratedRows<double> rows(n, 2, [&](std::int64_t first, MatrixView<double> out) {
    const std::lock_guard lock(mutex);
    for (std::int64_t i = 0; i < out.rows; ++i) {
      read.insert(first + i);
      for (std::int64_t j = 0; j < 2; ++j) out(i, j) = data.rows(first + i, j);
    }
  });
  std::set<double> values;
  for (const std::uint64_t seed : {0u, 1u, 2u}) {
    read.clear();
    const cq::Silhouette result =
        cq::silhouette<double>(Context(), rows, data.labels, {.sample_rows = m, .seed = seed});
    EXPECT_EQ(result.n_rows_used, m);
    ASSERT_EQ(static_cast<std::int64_t>(read.size()), m);
    Matrix<double> sample(m, 2);
    Labels labels;
    std::int64_t i = 0;
    for (const std::int64_t row : read) {
      EXPECT_EQ(row / (n / m), i);  // one of each stretch
      std::copy_n(&data.rows(row, 0), 2, &sample(i++, 0));
      labels.push_back(data.labels[at(row)]);
    }
    EXPECT_NEAR(result.value, static_cast<double>(naive_silhouette(sample, labels)),
                64 * DBL_EPSILON);
    values.insert(result.value);
  }
  EXPECT_EQ(values.size(), 3u);
}

TEST(ClusteringQuality, BadInputIsATypedError) {
  const Context context;
  Data data = blobs(40, 2, 3, 1);
  const Labels one(40, 7);
  Labels all;
  for (std::int64_t i = 0; i < 40; ++i) all.push_back(i);
  const Labels none, nine(9, 0);
  const auto both = [&](const Labels& labels, const std::string& words) {
    expect_contains(error_of<data_error>([&] { silhouette(data.rows, labels); }), words);
    expect_contains(error_of<data_error>([&] { davies_bouldin(data.rows, labels); }), words);
  };
  both(one, "1 clusters in 40 rows");
  both(all, "40 clusters in 40 rows");
  both(nine, "9 labels for 40 rows");
  EXPECT_THROW(davies_bouldin(Matrix<double>(0, 2), none), data_error);
  EXPECT_THROW(
      cq::silhouette<double>(context, MatrixRows<double>(Matrix<double>(0, 2).view()), none),
      data_error);
  EXPECT_THROW(davies_bouldin(Matrix<double>(40, 0), data.labels), data_error);
  const MatrixRows<double> rows(data.rows.view());
  for (const std::int64_t m : {1, 0, -5}) {
    EXPECT_THROW(cq::silhouette<double>(context, rows, data.labels, {.sample_rows = m}),
                 invalid_argument);
  }
  const MatrixView<const double> elsewhere(data.rows.data(), 40, 2, 2, MemorySpace::device);
  EXPECT_THROW(cq::davies_bouldin<double>(context, MatrixRows<double>(elsewhere), data.labels),
               invalid_argument);
  for (const auto& [value, words] :
       {std::pair{std::nan(""), "NaN"}, {HUGE_VAL, "infinite"}, {-1.5e308, "rescale"}}) {
    data.rows(17, 1) = value;
    data.rows(30, 0) = value;
    both(data.labels, words);
    both(data.labels, "row 17, column 1");
  }
}

TEST(ClusteringQuality, TheFirstOfManyBadRowsIsNamed) {
  Data data = blobs(9000, 2, 3, 1);
  for (std::int64_t i = 8999; i > 1500; i -= 1000) data.rows(i, 0) = std::nan("");
  const Context context({.n_threads = 3});
  expect_contains(error_of<data_error>([&] { davies_bouldin(data.rows, data.labels, context); }),
                  "row 1999, column 0");
}

TEST(ClusteringQuality, TheMemoryLimitHolds) {
  const Data data = blobs(3000, 4, 3, 1);
  const MatrixRows<double> rows(data.rows.view());
  const Context small({.n_threads = 2, .memory_limit = 1 << 12});
  EXPECT_THROW(cq::silhouette<double>(small, rows, data.labels), out_of_memory);
  EXPECT_THROW(cq::davies_bouldin<double>(small, rows, data.labels), out_of_memory);
  // Fewer rows take less, and fewer workers do the same.
  const Context narrow({.n_threads = 8, .memory_limit = 400 << 10});
  EXPECT_EQ(cq::silhouette<double>(narrow, rows, data.labels, {.sample_rows = 900}).value,
            cq::silhouette<double>(Context(), rows, data.labels, {.sample_rows = 900}).value);
}

}  // namespace
}  // namespace culatent
