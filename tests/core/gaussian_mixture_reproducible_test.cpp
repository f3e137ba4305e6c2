#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <memory>

#include "culatent/dataset.hpp"
#include "culatent/gaussian_mixture.hpp"
#include "tests/core/planted.hpp"
#include "tests/device.hpp"
#include "tests/io/files.hpp"

namespace culatent {
namespace {

namespace gm = gaussian_mixture;
using io::testing::Folder;

constexpr std::int64_t kRows = 9000;  // eight whole blocks and a part
constexpr std::int64_t kFeatures = 5;

// A matrix with margins of NaN, which no step may read.
template <class T>
struct Strided {
  explicit Strided(const Matrix<T>& rows) : all(rows.rows(), rows.cols() + 3) {
    std::fill(all.data(), all.data() + all.size(), std::numeric_limits<T>::quiet_NaN());
    for (std::int64_t i = 0; i < rows.rows(); ++i) {
      std::copy_n(rows.data() + i * rows.cols(), rows.cols(), &all(i, 1));
    }
    source = std::make_unique<MatrixRows<T>>(
        MatrixView<const T>(all.data() + 1, rows.rows(), rows.cols(), all.cols()));
  }
  Matrix<T> all;
  std::unique_ptr<MatrixRows<T>> source;
};

template <class T>
GeneratedRows<T> generated(const Matrix<T>& rows) {
  return {rows.rows(), rows.cols(), [&rows](std::int64_t first, MatrixView<T> out) {
            for (std::int64_t i = 0; i < out.rows; ++i) {
              std::copy_n(rows.data() + (first + i) * rows.cols(), rows.cols(), out.row(i));
            }
          }};
}

template <class T>
std::unique_ptr<RowSource<T>> mapped(const Matrix<T>& rows, const std::string& path) {
  const std::string header = io::testing::npy_header(
      sizeof(T) == 4 ? "<f4" : "<f8",
      "(" + std::to_string(rows.rows()) + ", " + std::to_string(rows.cols()) + ")");
  const std::string data(reinterpret_cast<const char*>(rows.data()),
                         static_cast<std::size_t>(rows.size()) * sizeof(T));
  std::ofstream(path, std::ios::binary) << io::testing::npy(header, data);
  return open_dataset(path).source<T>();
}

class GaussianMixtureBits : public testing::TestWithParam<gm::Covariance> {};

template <class T>
void same_bits_for_threads_chunks_and_sources(gm::Covariance covariance, bool missing) {
  Matrix<double> wide = planted::rows(planted::model(covariance, 5, kFeatures, 2.0, 1), kRows, 2);
  if (missing) planted::remove_values(wide, 0.02, 3);
  const Matrix<T> rows = planted::cast<T>(wide);
  planted::Draws draws(4);
  std::vector<double> weights;
  for (std::int64_t i = 0; i < kRows; ++i) weights.push_back(draws.uniform(0.0, 3.0));
  const gm::Options options{.n_components = 5,
                            .covariance = covariance,
                            .max_iter = missing ? 2 : 4,
                            .tol = 0.0,
                            .n_init = missing ? 1 : 2,
                            .missing = missing,
                            .seed = 9,
                            .weights = weights};
  const Folder folder;
  const Strided<T> strided(rows);
  const GeneratedRows<T> made = generated(rows);
  const auto file = mapped(rows, folder.path("rows.npy"));
  const MatrixRows<T> plain(rows.view());
  const std::vector<const RowSource<T>*> sources = {&plain, strided.source.get(), &made,
                                                    file.get()};
  const Context one(on_device({.n_threads = 1}));
  const gm::Fit expected = gm::fit<T>(one, plain, options);
  planted::expect_finite(expected);
  for (const int n_threads : {1, 2, 3, 7}) {
    for (const std::int64_t chunk_rows :
         {std::int64_t{1024}, std::int64_t{3000}, std::int64_t{0}}) {
      const Context context(on_device({.n_threads = n_threads, .chunk_rows = chunk_rows}));
      for (std::size_t s = 0; s < sources.size(); ++s) {
        EXPECT_TRUE(planted::same_bits(gm::fit<T>(context, *sources[s], options), expected))
            << n_threads << " threads, chunks of " << chunk_rows << ", source " << s;
      }
    }
  }
}

TEST_P(GaussianMixtureBits, DoNotDependOnThreadsChunksOrSourceInFloat) {
  same_bits_for_threads_chunks_and_sources<float>(GetParam(), false);
}

TEST_P(GaussianMixtureBits, DoNotDependOnThreadsChunksOrSourceInDouble) {
  same_bits_for_threads_chunks_and_sources<double>(GetParam(), false);
}

TEST_P(GaussianMixtureBits, DoNotDependOnThreadsWithMissingValues) {
  same_bits_for_threads_chunks_and_sources<double>(GetParam(), true);
}

TEST_P(GaussianMixtureBits, DoNotDependOnTheMemoryLimit) {
  const Matrix<double> rows =
      planted::rows(planted::model(GetParam(), 4, kFeatures, 2.0, 1), kRows, 2);
  const MatrixRows<double> source(rows.view());
  const gm::Options options{
      .n_components = 4, .covariance = GetParam(), .max_iter = 4, .tol = 0.0, .seed = 1};
  const Context wide(on_device({.n_threads = 7}));
  const Context one(on_device({.n_threads = 1}));
  const std::int64_t least = gm::plan<double>(one, source, options).host_bytes;
  const Context narrow(on_device({.n_threads = 7, .memory_limit = least}));
  const gm::Fit fit = gm::fit<double>(narrow, source, options);
  EXPECT_EQ(fit.plan.n_workers, 1);
  EXPECT_LE(fit.plan.host_bytes, least);
  EXPECT_TRUE(planted::same_bits(fit, gm::fit<double>(wide, source, options)));
}

TEST_P(GaussianMixtureBits, OfOutputsDoNotDependOnThreadsChunksOrSource) {
  const gm::Model model = planted::model(GetParam(), 3, kFeatures, 2.0, 5);
  const Matrix<float> rows = planted::cast<float>(planted::rows(model, 5000, 6));
  const auto outputs = [&](const Context& context, const RowSource<float>& source) {
    std::vector<float> log_prob(5000);
    Matrix<float> resp(5000, 3);
    std::vector<std::int32_t> labels(5000);
    const auto summary = gm::evaluate<float>(
        context, model, source,
        {.log_prob = log_prob, .responsibilities = resp.view(), .labels = labels});
    std::vector<double> all = {summary.log_likelihood, summary.entropy};
    all.insert(all.end(), log_prob.begin(), log_prob.end());
    all.insert(all.end(), resp.data(), resp.data() + resp.size());
    all.insert(all.end(), labels.begin(), labels.end());
    return all;
  };
  const MatrixRows<float> plain(rows.view());
  const GeneratedRows<float> made = generated(rows);
  const Context one(on_device({.n_threads = 1}));
  const std::vector<double> expected = outputs(one, plain);
  for (const int n_threads : {2, 3, 7}) {
    for (const std::int64_t chunk_rows : {1024, 3000}) {
      const Context context(on_device({.n_threads = n_threads, .chunk_rows = chunk_rows}));
      EXPECT_TRUE(planted::same_bits(outputs(context, plain), expected));
      EXPECT_TRUE(planted::same_bits(outputs(context, made), expected));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Covariances, GaussianMixtureBits, testing::ValuesIn(oracle::kCovariances),
                         [](const auto& test) { return gm::name(test.param); });

}  // namespace
}  // namespace culatent
