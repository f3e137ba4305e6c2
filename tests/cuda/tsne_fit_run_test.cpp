#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "culatent/error.hpp"
#include "host/tsne.hpp"
#include "tests/core/tsne_case.hpp"
#include "tests/cuda/tsne_fit_case.hpp"
#include "tests/io/files.hpp"

// How a descent on a device goes: the same bits, told and stopped, resumed, on any rows and
// streams.
namespace culatent::tsne {
namespace {

TEST_F(TsneFitOnDevice, TakesRowsThatLieThere) {
  const Matrix<float> rows = planted(60, 4, 2, 4.0);
  const Context context = cuda();
  const DeviceArray<float> there =
      to_device(std::vector<float>(rows.data(), rows.data() + rows.size()));
  const MatrixView<const float> on_device(there.data(), 60, 4, 4, MemorySpace::device);
  Options options = quick();
  options.max_iter = 3;
  for (const Init init : {Init::random, Init::pca, Init::spectral}) {
    options.init = init;
    const Fit fit = tsne::fit(context, on_device, options);
    EXPECT_TRUE(same_bits(fit.embedding, tsne::fit(context, rows.view(), options).embedding));
    EXPECT_EQ(
        divergence(context, MatrixRows<float>(on_device), fit.embedding.view(), options).kl,
        divergence(context, MatrixRows<float>(rows.view()), fit.embedding.view(), options).kl);
  }
  options.start = scattered(60, 2, 1.0);
  EXPECT_TRUE(same_bits(tsne::fit(context, on_device, options).embedding,
                        tsne::fit(context, rows.view(), options).embedding));
  const Matrix<float> placed = transform(context, MatrixRows<float>(on_device),
                                         options.start.view(), MatrixRows<float>(on_device));
  EXPECT_TRUE(same_bits(placed, transform(context, MatrixRows<float>(rows.view()),
                                          options.start.view(), MatrixRows<float>(rows.view()))));
}

TEST_F(TsneFitOnDevice, RowsThatAreAllEqualAreADataError) {
  const Matrix<float> rows(60, 3);
  std::string words[2];
  for (const bool on_device : {false, true}) {
    try {
      tsne::fit(on_device ? cuda() : Context({.n_threads = 1}), rows.view(), quick());
      ADD_FAILURE() << "no error";
    } catch (const data_error& error) {
      words[on_device ? 1 : 0] = error.what();
    }
  }
  EXPECT_EQ(words[0], words[1]);
  EXPECT_NE(words[0].find("every row equals its 24 nearest neighbours"), std::string::npos);
}

TEST_F(TsneFitOnDevice, HasTheSameBitsAgainAndForAnyInterval) {
  const Matrix<float> rows = planted(60, 6, 3, 4.0);
  Options options = quick();
  options.max_iter = 70;
  const Fit first = tsne::fit(cuda(), rows.view(), options);
  const Context context = cuda();
  for (const int interval : {7, 1000}) {
    options.interval = interval;
    const Fit fit = tsne::fit(context, rows.view(), options);
    EXPECT_TRUE(same_bits(fit.embedding, first.embedding)) << interval;
    EXPECT_EQ(fit.kl, first.kl);
    ASSERT_EQ(fit.trace.size(), first.trace.size());
    for (std::size_t t = 0; t < fit.trace.size(); ++t) {
      EXPECT_EQ(fit.trace[t].gradient_norm, first.trace[t].gradient_norm) << t;
    }
  }
}

TEST_F(TsneFitOnDevice, TellsObserversWhatIsThereAndStopsWhenTold) {
  const Matrix<float> rows = planted(60, 4, 2, 4.0);
  Options options = quick();
  options.interval = 10;
  Matrix<float> seen;
  int told = 0;
  options.snapshot = [&](const Snapshot& snapshot) {
    seen = Matrix<float>(snapshot.embedding.rows, snapshot.embedding.cols);
    std::copy_n(snapshot.embedding.data, seen.size(), seen.data());
    ++told;
    return snapshot.iteration < 30;
  };
  const Fit fit = tsne::fit(cuda(), rows.view(), options);
  EXPECT_TRUE(fit.interrupted);
  EXPECT_EQ(fit.n_iter, 30);
  EXPECT_EQ(told, 4);
  EXPECT_TRUE(same_bits(seen, fit.embedding));
  options.snapshot = {};
  const Fit stopped =
      tsne::fit(cuda([](const Progress& progress) {
                  return std::string(progress.phase) != "fit" || progress.iteration < 20;
                }),
                rows.view(), options);
  EXPECT_TRUE(stopped.interrupted);
  EXPECT_EQ(stopped.n_iter, 20);
}

// On all pairs and on grids that grow with the embedding: the end of an interval is a clean
// cut, whatever the grid was.
TEST_F(TsneFitOnDevice, ResumesToTheSameBits) {
  const io::testing::Folder folder;
  const Matrix<float> rows = planted(40, 6, 3, 4.0);
  for (const Repulsion repulsion : {Repulsion::exact, Repulsion::fft}) {
    Options options = quick(repulsion == Repulsion::fft ? 1 : 2);
    options.repulsion = repulsion;
    options.learning_rate = 100.0;
    options.exaggeration_iter = 15;
    options.max_iter = 40;
    options.interval = 8;
    const Fit undisturbed = tsne::fit(cuda(), rows.view(), options);
    options.checkpoint = {.path = folder.path("state"), .resume = true};
    for (const int last : {0, 15, 24}) {
      options.snapshot = [&](const Snapshot& snapshot) { return snapshot.iteration < last; };
      EXPECT_EQ(tsne::fit(cuda(), rows.view(), options).n_iter, last);
      options.snapshot = {};
      const Fit fit = tsne::fit(cuda(), rows.view(), options);
      EXPECT_TRUE(same_bits(fit.embedding, undisturbed.embedding)) << name(repulsion) << last;
      EXPECT_EQ(fit.kl, undisturbed.kl);
      ASSERT_EQ(fit.trace.size(), undisturbed.trace.size());
      for (std::size_t t = 0; t < fit.trace.size(); ++t) {
        EXPECT_EQ(fit.trace[t].gradient_norm, undisturbed.trace[t].gradient_norm) << t;
      }
      std::filesystem::remove(options.checkpoint.path);
    }
  }
}

TEST_F(TsneFitOnDevice, ResumesWithRowsThatLieThereAndKnowsTheirOrder) {
  const io::testing::Folder folder;
  Matrix<float> rows = planted(60, 4, 2, 4.0);
  const Context context = cuda();
  const DeviceArray<float> there =
      to_device(std::vector<float>(rows.data(), rows.data() + rows.size()));
  const MatrixView<const float> on_device(there.data(), 60, 4, 4, MemorySpace::device);
  Options options = quick();
  options.init = Init::random;
  options.max_iter = 12;
  options.interval = 5;
  const Fit undisturbed = tsne::fit(context, rows.view(), options);
  options.checkpoint = {.path = folder.path("state"), .resume = true};
  options.snapshot = [](const Snapshot& snapshot) { return snapshot.iteration < 5; };
  EXPECT_TRUE(tsne::fit(context, on_device, options).interrupted);
  options.snapshot = {};
  EXPECT_TRUE(same_bits(tsne::fit(context, on_device, options).embedding, undisturbed.embedding));
  EXPECT_TRUE(same_bits(tsne::fit(context, rows.view(), options).embedding, undisturbed.embedding));
  std::swap_ranges(rows.data(), rows.data() + 4, rows.data() + 4);
  const DeviceArray<float> swapped =
      to_device(std::vector<float>(rows.data(), rows.data() + rows.size()));
  const MatrixView<const float> others(swapped.data(), 60, 4, 4, MemorySpace::device);
  EXPECT_THROW(tsne::fit(context, others, options), data_error);
}

// The backends' forces differ in their last bits.
TEST_F(TsneFitOnDevice, RefusesACheckpointOfTheCpu) {
  const io::testing::Folder folder;
  const Matrix<float> rows = planted(60, 6, 3, 4.0);
  Options options = quick();
  options.checkpoint = {.path = folder.path("state"), .resume = true};
  options.snapshot = [](const Snapshot& snapshot) { return snapshot.iteration < 50; };
  EXPECT_TRUE(tsne::fit(Context({.n_threads = 1}), rows.view(), options).interrupted);
  EXPECT_THROW(tsne::fit(cuda(), rows.view(), options), data_error);
}

// The legacy default stream cannot be recorded.
TEST_F(TsneFitOnDevice, HasTheSameBitsOnAStreamOfTheCaller) {
  const Matrix<float> rows = planted(40, 4, 2, 4.0);
  Options options = quick();
  options.max_iter = 5;
  auto* const legacy = reinterpret_cast<CUstream_st*>(1);
  const Context given({.n_threads = 2, .device = "cuda", .stream = legacy});
  EXPECT_TRUE(same_bits(tsne::fit(given, rows.view(), options).embedding,
                        tsne::fit(cuda(), rows.view(), options).embedding));
}

TEST_F(TsneFitOnDevice, TakesTheFewestRowsAndNoUpdates) {
  const Matrix<float> rows = planted(3, 2, 3, 4.0);
  for (const int q : {1, 2, 3}) {
    Options options = quick(q);
    options.perplexity = {1.5};
    options.affinities = Affinities::automatic;
    options.max_iter = 20;
    const Fit fit = tsne::fit(cuda(), rows.view(), options);
    EXPECT_EQ(fit.affinities, Affinities::dense);
    EXPECT_TRUE(std::isfinite(fit.kl));
    options.max_iter = 0;
    options.start = fit.embedding;
    const Fit still = tsne::fit(cuda(), rows.view(), options);
    EXPECT_EQ(still.n_iter, 0);
    EXPECT_TRUE(same_bits(still.embedding, fit.embedding));
    EXPECT_EQ(still.kl, fit.kl);
  }
}

TEST_F(TsneFitOnDevice, AGradientBeyondFloatIsADataError) {
  Options options = quick();
  options.early_exaggeration = 1e300;
  EXPECT_THROW(tsne::fit(cuda(), planted(40, 4, 2, 4.0).view(), options), data_error);
}

// The device's part of the limit, which the host's part is below: [tiles, N q] of floats.
TEST_F(TsneFitOnDevice, AMemoryLimitIsHeldOrRefusedBeforeWork) {
  const std::int64_t n = 5000;
  const Matrix<float> rows = planted(n, 4, 3, 4.0);
  Options options = quick(3);
  options.perplexity = {2.0};
  options.init = Init::random;
  const MatrixRows<float> source(rows.view());
  const Plan free = plan(cuda(), source, options);
  ASSERT_GT(free.device_bytes, 0);
  EXPECT_NO_THROW(plan(cuda({}, std::max(free.device_bytes, free.host_bytes)), source, options));
  // The search for neighbours makes do with less, the descent does not.
  std::int64_t limit = free.device_bytes;
  const auto is_refused = [&] {
    try {
      limit = plan(cuda({}, limit), source, options).device_bytes - 1;
      return false;
    } catch (const out_of_memory&) {
      return true;
    }
  };
  while (!is_refused()) continue;
  bool called = false;
  EXPECT_THROW(tsne::fit(cuda(
                             [&](const Progress&) {
                               called = true;
                               return true;
                             },
                             limit),
                         rows.view(), options),
               out_of_memory);
  EXPECT_FALSE(called);
}

}  // namespace
}  // namespace culatent::tsne
