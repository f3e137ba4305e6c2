#include <cstring>
#include <vector>

#include "culatent/bernoulli_mixture.hpp"
#include "culatent/error.hpp"
#include "culatent/gaussian_mixture.hpp"
#include "culatent/kmeans.hpp"
#include "culatent/tsne.hpp"
#include "kernels/cuda/upload.hpp"
#include "simt/simt.hpp"
#include "tests/core/planted.hpp"
#include "tests/cuda/cuda_test.hpp"
#include "tests/cuda/failing.hpp"

// What a failing device leaves behind; only the stand-in can be told to fail.
namespace culatent {
namespace {

namespace gm = gaussian_mixture;

class CudaFailures : public CudaTest {
 protected:
  CudaFailures() : rows_(200, 3) {
    gm::sample<float>(Context(), planted::model(gm::Covariance::full, 2, 3, 3.0, 1), 1, 0,
                      rows_.view());
  }

  gm::Fit fit(const Context& context, gm::Covariance covariance) const {
    return gm::fit<float>(
        context, rows_.view(),
        {.n_components = 2, .covariance = covariance, .max_iter = 1, .tol = 0.0, .seed = 1});
  }

  Matrix<float> rows_;
};

TEST_F(CudaFailures, AnyAllocationThatFailsIsOutOfMemoryAndLosesNothing) {
  for (const auto covariance : {gm::Covariance::full, gm::Covariance::tied}) {
    const Context context({.device = "cuda"});
    const std::uint64_t before = simt::allocations();
    const gm::Fit whole = fit(context, covariance);
    const std::uint64_t needed = simt::allocations() - before;
    const std::uint64_t live = simt::live_allocations();
    ASSERT_GT(needed, 10u);
    for (std::uint64_t i = 1; i <= needed; ++i) {
      simt::fail_allocation(i);
      EXPECT_THROW(fit(context, covariance), out_of_memory) << "allocation " << i;
      simt::fail_allocation(0);
      EXPECT_EQ(simt::live_allocations(), live) << "allocation " << i << " leaks";
    }
    const gm::Fit again = fit(context, covariance);
    EXPECT_EQ(std::memcmp(whole.model.means.data(), again.model.means.data(),
                          8 * static_cast<std::size_t>(whole.model.means.size())),
              0)
        << "the context is not what it was";
  }
}

TEST_F(CudaFailures, AnyAllocationOfResultsThatFailsIsOutOfMemoryAndLosesNothing) {
  const gm::Model model = planted::model(gm::Covariance::full, 2, 3, 3.0, 1);
  Matrix<float> rows(2500, 3);  // three pieces
  gm::sample<float>(Context(), model, 1, 0, rows.view());
  const MatrixRows<float> source(rows.view());
  const Context context({.chunk_rows = kBlockRows, .device = "cuda"});
  std::vector<float> log_prob(2500);
  std::vector<std::int32_t> labels(2500);
  Matrix<float> resp(2500, 2);
  const gm::Outputs<float> outputs{
      .log_prob = log_prob, .responsibilities = resp.view(), .labels = labels};
  const std::uint64_t live = simt::live_allocations(), handles = simt::live_handles();
  const std::uint64_t before = simt::allocations();
  static_cast<void>(gm::evaluate<float>(context, model, source, outputs));
  const std::uint64_t needed = simt::allocations() - before;
  const std::vector<float> whole = log_prob;
  ASSERT_GT(needed, 10u);
  for (std::uint64_t i = 1; i <= needed; ++i) {
    simt::fail_allocation(i);
    EXPECT_THROW(gm::evaluate<float>(context, model, source, outputs), out_of_memory)
        << "allocation " << i;
    simt::fail_allocation(0);
    EXPECT_EQ(simt::live_allocations(), live) << "allocation " << i << " leaks";
    EXPECT_EQ(simt::live_handles(), handles) << "allocation " << i << " leaks";
  }
  static_cast<void>(gm::evaluate<float>(context, model, source, outputs));
  EXPECT_EQ(log_prob, whole) << "the context is not what it was";
}

TEST_F(CudaFailures, AnyLaunchThatFailsIsADeviceErrorAndLosesNothing) {
  const Context context({.device = "cuda"});
  const std::uint64_t launches = simt::stats().launches;
  static_cast<void>(fit(context, gm::Covariance::full));
  const std::uint64_t needed = simt::stats().launches - launches;
  const std::uint64_t live = simt::live_allocations();
  for (std::uint64_t i = 1; i <= needed; ++i) {
    simt::fail_launch(i);
    EXPECT_THROW(fit(context, gm::Covariance::full), device_error) << "launch " << i;
    simt::fail_launch(0);
    EXPECT_EQ(simt::live_allocations(), live) << "launch " << i << " leaks";
  }
  EXPECT_EQ(fit(context, gm::Covariance::full).n_iter, 1);
}

// Fit and evaluation of a Bernoulli mixture of the data's signs, k-means before them.
TEST_F(CudaFailures, ABernoulliMixtureThatFailsAnywhereLosesNothing) {
  namespace bm = bernoulli_mixture;
  Matrix<float> signs(rows_.rows(), rows_.cols());
  for (std::int64_t i = 0; i < rows_.size(); ++i) signs.data()[i] = rows_.data()[i] > 0 ? 1 : 0;
  const Context context({.device = "cuda"});
  std::vector<std::int32_t> labels(static_cast<std::size_t>(signs.rows()));
  const auto run = [&] {
    const bm::Fit fit = bm::fit<float>(context, signs.view(),
                                       {.n_components = 2, .max_iter = 1, .tol = 0.0, .seed = 1});
    bm::predict<float>(context, fit.model, signs.view(), labels);
    return fit;
  };
  const bm::Fit whole = run();
  expect_nothing_lost([&] { run(); });
  EXPECT_EQ(run().model.weights, whole.model.weights) << "the context is not what it was";
}

TEST_F(CudaFailures, KMeansThatFailsAnywhereLosesNothing) {
  const Context context({.device = "cuda"});
  Matrix<float> distances(rows_.rows(), 33);
  for (const std::int64_t batch : {0, 50}) {
    kmeans::Options options{.n_clusters = 33, .max_iter = 1, .mini_batch = batch, .seed = 1};
    options.init = batch == 0 ? kmeans::Init::kmeans_parallel : kmeans::Init::random;
    const auto run = [&] {
      const kmeans::Fit fit = kmeans::fit<float>(context, rows_.view(), options);
      kmeans::transform<float>(context, fit.model, rows_.view(), distances.view());
      return fit;
    };
    const kmeans::Fit whole = run();
    expect_nothing_lost([&] { run(); });
    EXPECT_EQ(run().model.counts, whole.model.counts) << "the context is not what it was";
  }
}

TEST_F(CudaFailures, ADescentOfTsneThatFailsAnywhereLosesNothing) {
  const Context context({.device = "cuda"});
  for (const auto repulsion : {tsne::Repulsion::exact, tsne::Repulsion::fft}) {
    const auto run = [&] {
      return tsne::fit(context, rows_.view().slice(0, 60),
                       {.perplexity = {5.0}, .repulsion = repulsion, .max_iter = 2, .seed = 1});
    };
    const tsne::Fit whole = run();
    expect_nothing_lost([&] { run(); });
    EXPECT_EQ(run().kl, whole.kl) << "the context is not what it was";
  }
}

TEST_F(CudaFailures, PlacingNewRowsThatFailsAnywhereLosesNothing) {
  const Context context({.device = "cuda"});
  for (const std::int64_t q : {2, 3}) {
    Matrix<float> embedding(rows_.rows(), q);
    for (std::int64_t i = 0; i < embedding.size(); ++i) {
      embedding.data()[i] = static_cast<float>(i % 17);
    }
    const auto run = [&] {
      return tsne::transform(context, MatrixRows<float>(rows_.view()), embedding.view(),
                             MatrixRows<float>(rows_.view().slice(3, 5)), {.max_iter = 7});
    };
    const Matrix<float> whole = run();
    expect_nothing_lost([&] { run(); });
    const Matrix<float> again = run();
    for (std::int64_t i = 0; i < whole.size(); ++i) EXPECT_EQ(again.data()[i], whole.data()[i]);
  }
}

TEST_F(CudaFailures, ADescentOfTsneHasTheSameBitsInAnyOrderOfThreads) {
  const Context context({.device = "cuda"});
  const simt::Options before = simt::options();
  // 300 rows are two tiles of pairs.
  Matrix<float> rows(300, 3);
  for (std::int64_t i = 0; i < rows.size(); ++i) {
    rows.data()[i] = rows_.data()[i % rows_.size()] + static_cast<float>(i / rows_.size());
  }
  for (const auto repulsion : {tsne::Repulsion::exact, tsne::Repulsion::fft}) {
    std::vector<tsne::Fit> fits;
    for (const auto order : {simt::Order::kForward, simt::Order::kReverse, simt::Order::kRandom}) {
      simt::options().order = order;
      simt::options().random_blocks = order == simt::Order::kRandom;
      fits.push_back(
          tsne::fit(context, rows.view(),
                    {.perplexity = {5.0}, .repulsion = repulsion, .max_iter = 6, .seed = 1}));
    }
    simt::options() = before;
    for (const tsne::Fit& fit : fits) {
      EXPECT_EQ(fit.kl, fits[0].kl);
      for (std::int64_t i = 0; i < fit.embedding.size(); ++i) {
        ASSERT_EQ(fit.embedding.data()[i], fits[0].embedding.data()[i]) << i;
      }
    }
  }
}

// Whatever else failed before is not a lack of memory.
TEST_F(CudaFailures, AnUploadBufferOnADeviceThatIsGoneIsADeviceError) {
  CudaDevice& device = backend().device;
  simt::fail_allocation(1);
  EXPECT_THROW(UploadLane(device, 4096), out_of_memory);
  simt::set_device_count(0);
  EXPECT_THROW(UploadLane(device, 4096), device_error);
  simt::set_device_count(1);
  UploadLane(device, 4096);
}

// Steps that are one pass over the rows are launched once, not once for each tile of the rows.
TEST_F(CudaFailures, AnIterationOfFusedStepsTakesAsManyLaunchesForAnyRows) {
  const auto launches = [](std::int64_t n, int max_iter) {
    const GeneratedRows<float> rows(n, 1, [](std::int64_t first, MatrixView<float> buffer) {
      for (std::int64_t i = 0; i < buffer.rows; ++i) {
        buffer(i, 0) = static_cast<float>((first + i) % 7);
      }
    });
    const Context context({.device = "cuda"});
    const std::uint64_t before = simt::stats().launches;
    gm::fit<float>(context, rows,
                   {.n_components = 2,
                    .covariance = gm::Covariance::diagonal,
                    .max_iter = max_iter,
                    .tol = 0.0,
                    .init = gm::Init::random,
                    .seed = 1});
    return simt::stats().launches - before;
  };
  const std::uint64_t few = launches(100, 2) - launches(100, 1);
  EXPECT_LE(few, 12u);
  EXPECT_EQ(launches(200 * kBlockRows, 2) - launches(200 * kBlockRows, 1), few);
}

TEST_F(CudaFailures, WithoutADeviceTheReasonIsTold) {
  simt::set_device_count(0);
  try {
    const Context context({.device = "cuda"});
    ADD_FAILURE() << "no error";
  } catch (const device_error& error) {
    EXPECT_NE(std::string(error.what()).find("looked for cuda:0"), std::string::npos)
        << error.what();
  }
  EXPECT_EQ(Context({.device = "auto"}).device(), "cpu");
  simt::set_device_count(1);
  EXPECT_EQ(Context({.device = "auto"}).device(), "cuda:0");
}

}  // namespace
}  // namespace culatent
