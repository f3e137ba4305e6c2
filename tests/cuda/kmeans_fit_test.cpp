#include <algorithm>
#include <string>
#include <vector>

#include "culatent/error.hpp"
#include "culatent/kmeans.hpp"
#include "tests/core/kmeans_case.hpp"
#include "tests/cuda/cuda_test.hpp"

// Whole fits on a device beside those on the CPU: labels and the sums of the clusters are integers,
// so centroids have the same bits. And within less and less memory, from any place.
namespace culatent {
namespace {

using kmeans_case::at;
using kmeans_case::cast;
using kmeans_case::Draws;
using kmeans_case::same_bits;
using kmeans_case::uniform_rows;

class KMeansFitOnDevice : public CudaTest {
 protected:
  static Context cuda(std::int64_t memory_limit = 0, std::int64_t chunk_rows = 0) {
    return Context(
        {.n_threads = 2, .memory_limit = memory_limit, .chunk_rows = chunk_rows, .device = "cuda"});
  }

  // The trajectory is the CPU's: what differs is how squares are added up to the inertia.
  template <class T>
  void expect_like_the_cpu(const Matrix<T>& rows, const kmeans::Options& options,
                           const std::string& what) {
    SCOPED_TRACE(what);
    const kmeans::Fit cpu = kmeans::fit<T>(Context({.n_threads = 2}), rows.view(), options);
    const kmeans::Fit device = kmeans::fit<T>(cuda(), rows.view(), options);
    EXPECT_TRUE(same_bits(device.model.centroids, cpu.model.centroids));
    EXPECT_EQ(device.model.counts, cpu.model.counts);
    EXPECT_EQ(device.n_relocated, cpu.n_relocated);
    EXPECT_GT(device.plan.device_bytes, 0);
    ASSERT_EQ(device.trace.size(), cpu.trace.size());
    // D squares of one rounding each in either, added up in T in any order.
    const double unit = static_cast<double>(rows.cols() + 2) *
                        static_cast<double>(std::numeric_limits<T>::epsilon());
    for (std::size_t t = 0; t < cpu.trace.size(); ++t) {
      EXPECT_EQ(device.trace[t].moved, cpu.trace[t].moved) << t;
      EXPECT_NEAR(device.trace[t].inertia, cpu.trace[t].inertia, unit * cpu.trace[t].inertia) << t;
    }
  }

  template <class T>
  void expect_like_the_cpu() {
    // Some rows are equal, so that k-means++ meets ties.
    Matrix<T> rows = cast<T>(uniform_rows(1500, 6, 4));
    for (std::int64_t i = 0; i < 200; ++i) std::copy_n(&rows(i, 0), 6, &rows(1300 + i, 0));
    kmeans::Options options{.n_clusters = 7, .max_iter = 4, .tol = 0.0, .seed = 5};
    for (const auto init :
         {kmeans::Init::kmeans_plus, kmeans::Init::kmeans_parallel, kmeans::Init::random}) {
      options.init = init;
      expect_like_the_cpu(rows, options, kmeans::name(init));
    }
    options.n_clusters = 40;  // enough for a screen by tensor cores
    expect_like_the_cpu(rows, options, "40 clusters");
    options.mini_batch = 300;
    expect_like_the_cpu(rows, options, "mini-batches");
    options.metric = kmeans::Metric::cosine;
    expect_like_the_cpu(rows, options, "mini-batches of directions");
    options.mini_batch = 0;
    expect_like_the_cpu(rows, options, "directions");
  }
};

TEST_F(KMeansFitOnDevice, HasTheCentroidsOfTheCpuInFloat) { expect_like_the_cpu<float>(); }
TEST_F(KMeansFitOnDevice, HasTheCentroidsOfTheCpuInDouble) { expect_like_the_cpu<double>(); }

TEST_F(KMeansFitOnDevice, WeighsAndRelocatesLikeTheCpu) {
  const Matrix<float> rows = cast<float>(uniform_rows(1200, 5, 6));
  Draws draws(9);
  std::vector<double> weights;
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    weights.push_back(i % 9 == 0 ? 0.0 : draws.uniform(0.0, 5.0));
  }
  kmeans::Options options{.n_clusters = 5, .max_iter = 6, .tol = 0.0, .seed = 2};
  options.weights = weights;
  options.start = Matrix<double>(5, 5);  // two of them far from every row
  for (std::int64_t k = 0; k < 5; ++k) {
    for (std::int64_t j = 0; j < 5; ++j) {
      options.start(k, j) =
          k < 3 ? static_cast<double>(rows(k + 1, j)) : 50.0 + static_cast<double>(k);
    }
  }
  expect_like_the_cpu(rows, options, "weights and empty clusters");
}

// Rows that stream through in chunks of one block have the offsets of every array to be found.
TEST_F(KMeansFitOnDevice, StreamsRowsInChunksToTheSameBits) {
  const Matrix<float> rows = cast<float>(uniform_rows(10 * kBlockRows + 100, 24, 12));
  const MatrixRows<float> source(rows.view());
  Draws draws(13);
  std::vector<double> weights;
  for (std::int64_t i = 0; i < rows.rows(); ++i) weights.push_back(draws.uniform(0.0, 2.0));
  for (const auto init : {kmeans::Init::kmeans_plus, kmeans::Init::kmeans_parallel}) {
    for (const std::int64_t batch : {0, 600}) {
      const bool weighted = (init == kmeans::Init::kmeans_plus) == (batch > 0);
      kmeans::Options options{.n_clusters = 5, .max_iter = 1, .mini_batch = batch, .seed = 3};
      options.init = init;
      options.metric = weighted ? kmeans::Metric::cosine : kmeans::Metric::euclidean;
      if (weighted) options.weights = weights;
      const kmeans::Fit whole = kmeans::fit<float>(cuda(), source, options);
      // So little that the rows do not stay.
      const Context context = cuda(whole.plan.device_bytes * 2 / 3, kBlockRows);
      const kmeans::Fit streamed = kmeans::fit<float>(context, source, options);
      EXPECT_EQ(streamed.plan.chunk_rows, kBlockRows);
      EXPECT_LT(context.peak_device_bytes(), rows.size() * 4);
      EXPECT_TRUE(same_bits(streamed, whole)) << kmeans::name(init) << ", batches of " << batch;
    }
  }
}

TEST_F(KMeansFitOnDevice, TakesRowsAndOutputsWhereTheyLie) {
  constexpr std::int64_t n = 1300, d = 5, stride = 7, k = 34;
  const Matrix<float> rows = cast<float>(uniform_rows(n, d, 3));
  std::vector<float> strided(n * stride, std::numeric_limits<float>::quiet_NaN());
  for (std::int64_t i = 0; i < n; ++i) std::copy_n(&rows(i, 0), d, &strided[at(i * stride)]);
  const auto there = to_device(strided);
  const MatrixView<const float> device_rows(there.data(), n, d, stride, MemorySpace::device);
  for (const std::int64_t batch : {0, 200}) {
    const Context context = cuda();
    kmeans::Options options{.n_clusters = k, .max_iter = 3, .mini_batch = batch, .seed = 1};
    options.init = kmeans::Init::kmeans_parallel;
    const kmeans::Fit from_host = kmeans::fit<float>(context, rows.view(), options);
    const kmeans::Fit from_device = kmeans::fit<float>(context, device_rows, options);
    EXPECT_TRUE(same_bits(from_device, from_host)) << batch;
    EXPECT_LE(context.peak_device_bytes(),
              std::max(from_device.plan.device_bytes, from_host.plan.device_bytes));
    if (batch > 0) continue;

    std::vector<std::int32_t> labels(n);
    std::vector<float> squares(n);
    Matrix<float> distances(n, k);
    const kmeans::Model& model = from_host.model;
    kmeans::Outputs<float> out{labels, squares, distances.view()};
    const double inertia =
        kmeans::evaluate<float>(context, model, MatrixRows<float>(rows.view()), out).inertia;
    const auto labels_there = blank<std::int32_t>(n);
    const auto squares_there = blank<float>(n);
    const auto distances_there = blank<float>(n * k);
    out.labels = {labels_there.data(), n};
    out.squared_distances = {squares_there.data(), n};
    out.distances = {distances_there.data(), n, k, k, MemorySpace::device};
    EXPECT_THROW(kmeans::evaluate<float>(context, model, MatrixRows<float>(device_rows), out),
                 invalid_argument);  // `space` says host
    out.space = MemorySpace::device;
    EXPECT_EQ(kmeans::evaluate<float>(context, model, MatrixRows<float>(device_rows), out).inertia,
              inertia);
    EXPECT_EQ(to_host(labels_there), labels);
    EXPECT_EQ(to_host(squares_there), squares);
    EXPECT_EQ(to_host(distances_there),
              std::vector<float>(distances.data(), distances.data() + n * k));

    std::vector<std::int32_t> cpu_labels(n);
    Matrix<float> cpu_distances(n, k);
    kmeans::predict<float>(Context(), model, rows.view(), cpu_labels);
    kmeans::transform<float>(Context(), model, rows.view(), cpu_distances.view());
    EXPECT_EQ(labels, cpu_labels);
    for (std::int64_t i = 0; i < n * k; ++i) {
      ASSERT_NEAR(distances.data()[i], cpu_distances.data()[i],
                  1e-6F * (1.0F + cpu_distances.data()[i]))
          << i;
    }
  }
}

TEST_F(KMeansFitOnDevice, ShrinksToTheLimitAndKeepsItsBits) {
  const Matrix<float> rows = cast<float>(uniform_rows(12 * kBlockRows + 7, 24, 8));
  const MatrixRows<float> source(rows.view());
  kmeans::Options options{.n_clusters = 40, .max_iter = 1, .seed = 1};
  options.init = kmeans::Init::random;
  const Context whole_context = cuda();
  const kmeans::Fit whole = kmeans::fit<float>(whole_context, source, options);
  EXPECT_LE(whole_context.peak_device_bytes(), whole.plan.device_bytes);
  std::int64_t refused = 0, taken = std::int64_t{1} << 30;
  while (taken - refused > 256) {
    const std::int64_t middle = (taken + refused) / 2;
    try {
      kmeans::plan<float>(cuda(middle), source, options);
      taken = middle;
    } catch (const out_of_memory&) {
      refused = middle;
    }
  }
  EXPECT_LT(taken, whole.plan.device_bytes * 3 / 4);
  const Context context = cuda(taken);
  const kmeans::Fit least = kmeans::fit<float>(context, source, options);
  EXPECT_LE(context.peak_device_bytes(), least.plan.device_bytes);
  EXPECT_LE(least.plan.device_bytes, taken);
  EXPECT_LE(least.plan.host_bytes, taken);
  EXPECT_TRUE(same_bits(least, whole));
  EXPECT_THROW(kmeans::fit<float>(cuda(refused), source, options), out_of_memory);
}

}  // namespace
}  // namespace culatent
